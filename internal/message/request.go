// Package message is a request as the gateway's policies see it, whatever carried it. Routes,
// origins, CORS, cookies and limits decide by it. Its inside is what net/http has read; another
// reader of requests can stand behind the same fields and methods.
package message

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"

	"sluice/internal/header"
)

// A Request is the head of a request, and what is known of its connection. The fields with the
// names of [http.Request]'s mean the same, but for Header. It belongs to the one exchange that it is
// part of.
type Request struct {
	Method     string
	RequestURI string // the request target as it was sent
	Host       string // as it was sent, with its port
	Path       string // of the target, escaped as it was sent; "/" where a URL ends with its host
	RawQuery   string // of the target, escaped, without '?'
	ForceQuery bool   // there is a '?' with nothing after it
	Header     header.Fields

	Proto                  string // such as "HTTP/1.1"
	ProtoMajor, ProtoMinor int
	ContentLength          int64 // bytes of the body; -1 if unknown
	Chunked                bool  // the body has the transfer coding chunked

	Peer netip.AddrPort       // of the connection; invalid on a unix socket
	TLS  *tls.ConnectionState // of the connection; nil if it is plain

	carrier *http.Request // nil in a request that is not from FromHTTP
}

// FromHTTP returns r, which came from peer.
func FromHTTP(r *http.Request, peer netip.AddrPort) Request {
	return Request{
		Method: r.Method, RequestURI: r.RequestURI, Host: r.Host,
		Path: PathOf(r.URL), RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery, Header: header.FromHTTP(r.Header),
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		ContentLength: r.ContentLength, Chunked: len(r.TransferEncoding) > 0,
		Peer: peer, TLS: r.TLS, carrier: r,
	}
}

// HTTP returns r for code that needs net/http: with the body, and with the header and the query as
// they are in r. It is the same *http.Request each time. R must come from [FromHTTP], for URI, Body,
// Trailer, Context and DropBody too.
func (r *Request) HTTP() *http.Request {
	r.carrier.Header = r.Header.HTTP()
	r.carrier.URL.RawQuery = r.RawQuery
	return r.carrier
}

// Body returns the body. It is never nil.
func (r *Request) Body() io.ReadCloser { return r.carrier.Body }

// SetBody replaces the body.
func (r *Request) SetBody(b io.ReadCloser) { r.carrier.Body = b }

// Trailer returns the names that the request announces for its trailer section, and their values
// once the body was read to its end.
func (r *Request) Trailer() http.Header { return r.carrier.Trailer }

// Copy returns a copy of r with another body, which outlives the exchange. It has no trailers.
func (r *Request) Copy(body []byte) *Request {
	c := *r
	c.Header, c.ContentLength, c.Chunked = r.Header.Clone(), int64(len(body)), false
	c.carrier = r.carrier.Clone(context.WithoutCancel(r.carrier.Context()))
	c.carrier.Body, c.carrier.Trailer = io.NopCloser(bytes.NewReader(body)), nil
	return &c
}

// URI returns the target without scheme and host, escaped.
func (r *Request) URI() string {
	r.carrier.URL.RawQuery = r.RawQuery
	return r.carrier.URL.RequestURI()
}

// Context returns a context that ends when the client has left.
func (r *Request) Context() context.Context { return r.carrier.Context() }

// SetContext replaces the context.
func (r *Request) SetContext(ctx context.Context) { r.carrier = r.carrier.WithContext(ctx) }

// DropBody makes r a request without a body.
func (r *Request) DropBody() {
	r.ContentLength = 0
	r.carrier.ContentLength, r.carrier.Body = 0, http.NoBody
}

// ProtoAtLeast reports whether r came over that version of HTTP or a later one.
func (r *Request) ProtoAtLeast(major, minor int) bool {
	return r.ProtoMajor > major || r.ProtoMajor == major && r.ProtoMinor >= minor
}

// HeadSize returns the size in bytes of the head as HTTP/1.1 writes it. The client's own may
// differ by optional white space.
func (r *Request) HeadSize() int64 {
	n := len(r.Method) + len(" ") + len(r.RequestURI) + len(" HTTP/1.1\r\n") + len("Host: \r\n") + len(r.Host) + len("\r\n")
	return int64(n + r.Header.Size())
}

// WithQuery returns an escaped path with the query of r.
func (r *Request) WithQuery(path string) string {
	if r.RawQuery != "" || r.ForceQuery {
		return path + "?" + r.RawQuery
	}
	return path
}

// Cookies returns the values of the cookies with that name, in the order in which they were sent.
func (r *Request) Cookies(name string) []string {
	var values []string
	lines := http.Header{"Cookie": slices.Collect(r.Header.Values(header.Cookie))}
	for _, c := range (&http.Request{Header: lines}).CookiesNamed(name) {
		values = append(values, c.Value)
	}
	return values
}

// PathOf returns the path of u as it was sent. URL.EscapedPath would encode the decoded path again
// where the client's is not quite valid, and a %2F in it would become a separator.
func PathOf(u *url.URL) string {
	switch {
	case u.Opaque != "": // of a URL that has no host: it is no path
		return u.Opaque
	case u.RawPath != "":
		return u.RawPath
	case u.Path == "": // of a URL that ends with its host
		return "/"
	}
	return u.EscapedPath()
}
