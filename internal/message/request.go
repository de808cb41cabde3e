// Package message is a request as the gateway's policies see it, whatever carried it. Routes,
// origins, CORS, cookies and limits decide by it. Its inside is what net/http has read; another
// reader of requests can stand behind the same fields and methods.
package message

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
)

// A Request is the head of a request, and what is known of its connection. The fields with the
// names of [http.Request]'s mean the same. It belongs to the one exchange that it is part of.
type Request struct {
	Method     string
	RequestURI string // the request target as it was sent
	Host       string // as it was sent, with its port
	Path       string // of the target, escaped as it was sent; "/" where a URL ends with its host
	RawQuery   string // of the target, escaped, without '?'
	ForceQuery bool   // there is a '?' with nothing after it
	Header     Header

	Proto                  string // such as "HTTP/1.1"
	ProtoMajor, ProtoMinor int
	ContentLength          int64 // bytes of the body; -1 if unknown
	Chunked                bool  // the body has the transfer coding chunked

	Peer netip.AddrPort       // of the connection; invalid on a unix socket
	TLS  *tls.ConnectionState // of the connection; nil if it is plain

	carrier *http.Request // nil in a request that is not from FromHTTP
}

// FromHTTP returns r, which came from peer. The result shares r's header. Changes of it reach r
// with [Request.HTTP] at the latest.
func FromHTTP(r *http.Request, peer netip.AddrPort) Request {
	return Request{
		Method: r.Method, RequestURI: r.RequestURI, Host: r.Host,
		Path: PathOf(r.URL), RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery, Header: HeaderOf(r.Header),
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		ContentLength: r.ContentLength, Chunked: len(r.TransferEncoding) > 0,
		Peer: peer, TLS: r.TLS, carrier: r,
	}
}

// HTTP returns r for code that needs net/http: with the body, and with the query as it is in r.
// It is the same *http.Request each time. R must come from [FromHTTP], for URI, Context and
// DropBody too.
func (r *Request) HTTP() *http.Request {
	if r.carrier.URL.RawQuery != r.RawQuery {
		r.carrier.URL.RawQuery = r.RawQuery
	}
	return r.carrier
}

// URI returns the target without scheme and host, escaped.
func (r *Request) URI() string { return r.HTTP().URL.RequestURI() }

// Context returns a context that ends when the client has left.
func (r *Request) Context() context.Context { return r.carrier.Context() }

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
	return int64(n) + r.Header.size()
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
	for _, c := range (&http.Request{Header: r.Header.fields}).CookiesNamed(name) {
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
