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
	"strings"

	"sluice/internal/h1"
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

	ctx     context.Context
	body    io.ReadCloser
	trailer *http.Header  // nil if there is none and will be none
	carrier *http.Request // for net/http; nil until it is needed
}

// FromHTTP returns r, which came from peer.
func FromHTTP(r *http.Request, peer netip.AddrPort) Request {
	return Request{
		Method: r.Method, RequestURI: r.RequestURI, Host: r.Host,
		Path: PathOf(r.URL), RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery, Header: header.FromHTTP(r.Header),
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		ContentLength: r.ContentLength, Chunked: len(r.TransferEncoding) > 0,
		Peer: peer, TLS: r.TLS, ctx: r.Context(), body: r.Body, trailer: &r.Trailer, carrier: r,
	}
}

// FromHead returns the request with a head, which came from peer over a plain connection, and whose
// trailer section has the announced names. It has an empty body and a context that does not end,
// until [Request.Carry].
func FromHead(h *h1.Head, peer netip.AddrPort, announced http.Header) Request {
	r := Request{
		Method: h.Method, RequestURI: h.Target, Host: h.Host, Header: h.Fields,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: h.Minor, ContentLength: h.Length,
		Peer: peer, ctx: context.Background(), body: http.NoBody,
	}
	if announced != nil {
		names := announced
		r.trailer = &names
	}
	if h.Minor == 0 {
		r.Proto = "HTTP/1.0"
	}
	if h.Length == h1.Chunks {
		r.ContentLength, r.Chunked = -1, true
	}
	r.Header.DelFunc(func(f *header.Field) bool {
		switch f.ID {
		case header.Host, header.TransferEncoding, header.Trailer:
			return true
		}
		return false
	})
	target := h.Target
	if _, rest, ok := strings.Cut(target, "://"); ok && !strings.HasPrefix(target, "/") { // absolute form
		target = "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			if target = rest[i:]; target[0] == '?' {
				target = "/" + target
			}
		}
	}
	var query bool
	r.Path, r.RawQuery, query = strings.Cut(target, "?")
	r.ForceQuery = query && r.RawQuery == ""
	return r
}

// HTTP returns r for code that needs net/http: with the body, and with the header and the query as
// they are in r. It is the same *http.Request each time. R must come from [FromHTTP] or [FromHead],
// for Body, Trailer, Context and what changes them too.
func (r *Request) HTTP() *http.Request {
	if r.carrier == nil {
		r.carrier = r.newCarrier()
	}
	c := r.carrier
	c.Header, c.Body, c.ContentLength, c.URL.RawQuery = r.Header.HTTP(), r.body, r.ContentLength, r.RawQuery
	return c
}

// newCarrier returns r as net/http would have read it.
func (r *Request) newCarrier() *http.Request {
	c := &http.Request{
		Method: r.Method, URL: &url.URL{Path: r.Path, ForceQuery: r.ForceQuery}, RequestURI: r.RequestURI, Host: r.Host,
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor, RemoteAddr: r.Peer.String(), TLS: r.TLS, Trailer: r.Trailer(),
	}
	if path, err := url.PathUnescape(r.Path); err == nil {
		c.URL.Path, c.URL.RawPath = path, r.Path
	}
	if r.Chunked {
		c.TransferEncoding = []string{"chunked"}
	}
	return c.WithContext(r.ctx)
}

// Body returns the body. It is never nil.
func (r *Request) Body() io.ReadCloser { return r.body }

// Carry gives a request of [FromHead] its context, which ends when the client has left, and its
// body. The trailer has its values once the body was read to its end.
func (r *Request) Carry(ctx context.Context, body io.ReadCloser, trailer *http.Header) {
	r.ctx, r.body, r.trailer, r.carrier = ctx, body, trailer, nil
}

// SetBody replaces the body.
func (r *Request) SetBody(b io.ReadCloser) { r.body = b }

// DropBody makes r a request without a body.
func (r *Request) DropBody() { r.ContentLength, r.body = 0, http.NoBody }

// Trailer returns the names that the request announces for its trailer section, and their values
// once the body was read to its end.
func (r *Request) Trailer() http.Header {
	if r.trailer == nil {
		return nil
	}
	return *r.trailer
}

// Context returns a context that ends when the client has left.
func (r *Request) Context() context.Context { return r.ctx }

// SetContext replaces the context.
func (r *Request) SetContext(ctx context.Context) { r.ctx, r.carrier = ctx, nil }

// Copy returns a copy of r with another body, which outlives the exchange. It has no trailers.
func (r *Request) Copy(body []byte) *Request {
	c := *r
	c.Header, c.ContentLength, c.Chunked = r.Header.Clone(), int64(len(body)), false
	c.ctx, c.body, c.trailer, c.carrier = context.WithoutCancel(r.ctx), io.NopCloser(bytes.NewReader(body)), nil, nil
	return &c
}

// URI returns the target without scheme and host, escaped as it was sent.
func (r *Request) URI() string { return r.WithQuery(r.Path) }

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
