package proxy

import (
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"strings"

	"sluice/internal/httpsyntax"
	"sluice/proxy/backend"
	"sluice/proxy/forward"
	"sluice/route"
	"sluice/upgrade"
)

// statusGone is logged where the client left before there was an answer.
const statusGone = 499

// Headers that tell a backend who a client is that showed a certificate.
const (
	subjectHeader = "X-Client-Subject" // as RFC 2253 writes it
	sanHeader     = "X-Client-San"     // DNS:name, IP:address, email:address, URI:uri
)

// edit makes the changes to a request that its backend sees. It comes after the
// hop-by-hop headers are gone: Connection cannot name what it sets.
//
// A TRACE request gets nothing that its answer may not show.
func (x *exchange) edit(h http.Header) {
	if x.r.Method == http.MethodTrace {
		x.svc.request.names.Strip(h)
		credentials.Strip(h)
		return
	}
	if s := x.r.TLS; s != nil && len(s.VerifiedChains) > 0 {
		leaf := s.PeerCertificates[0]
		h.Set(subjectHeader, escape(leaf.Subject.String(), ""))
		if names := alternatives(leaf); names != "" {
			h.Set(sanHeader, names)
		}
	}
	x.svc.request.apply(x, h)
}

// alternatives lists the subject alternative names of a certificate.
func alternatives(c *x509.Certificate) string {
	var names []string
	add := func(kind, name string) { names = append(names, kind+":"+escape(name, ",")) }
	for _, name := range c.DNSNames {
		add("DNS", name)
	}
	for _, ip := range c.IPAddresses {
		add("IP", ip.String())
	}
	for _, address := range c.EmailAddresses {
		add("email", address)
	}
	for _, uri := range c.URIs {
		add("URI", uri.String())
	}
	return strings.Join(names, ", ")
}

// escape writes bytes that may not stand in a header, '%' and those in also as
// %XX.
func escape(s, also string) string {
	return httpsyntax.Escape(s, func(c byte) bool {
		return c >= ' ' && c < 0x7f && c != '%' && strings.IndexByte(also, c) < 0
	})
}

// finish answers for an exchange that failed, or cuts one that was under way.
func (x *exchange) finish(result *forward.Result) {
	var e *forward.Error
	switch {
	case result.Err == nil:
	case result.Status != 0:
		x.record.Error = result.Err.Error()
		x.sent.FlushError() // what came of the answer reaches the client
		panic(http.ErrAbortHandler)
	case errors.Is(result.Err, forward.ErrTooLarge):
		x.fail(http.StatusRequestEntityTooLarge, "The request's body is too large.", result.Err)
	case !errors.As(result.Err, &e) || !e.Client:
		x.failBackend(result.Err)
	case errors.Is(result.Err, os.ErrDeadlineExceeded): // net/http takes it for a client that left
		if !x.sent.streams {
			x.w.Header().Set("Connection", "close")
		}
		x.fail(http.StatusRequestTimeout, "The request's body came too slowly.", result.Err)
	case x.r.Context().Err() != nil:
		x.gone(result.Err)
	default:
		x.fail(http.StatusBadRequest, "The request's body could not be read.", result.Err)
	}
}

// redirectHTTPS answers a plain request with the same URL over TLS.
func (x *exchange) redirectHTTPS() {
	host, err := route.CleanHost(x.r.Host)
	if err != nil || host == "" {
		x.fail(http.StatusBadRequest, "The Host header is not a host.", err)
		return
	}
	host = httpsyntax.Bracket(host)
	if x.s.httpsPort != "443" {
		host += ":" + x.s.httpsPort
	}
	path, err := route.Clean(rawPath(x.r.URL))
	if err != nil {
		x.fail(http.StatusBadRequest, "The path is malformed.", err)
		return
	}
	x.w.Header().Set("Location", "https://"+host+withQuery(path, x.r.URL))
	x.w.WriteHeader(http.StatusPermanentRedirect)
}

// refuse answers a handshake that is not let through.
func (x *exchange) refuse(r *upgrade.Refusal) {
	for name, values := range r.Header {
		x.w.Header()[name] = values
	}
	var detail error
	if r.Detail != "" {
		detail = errors.New(r.Detail)
	}
	x.fail(r.Status, r.Reason, detail)
}

// failRequest answers for a request that got no endpoint.
func (x *exchange) failRequest(err error) {
	if x.r.Context().Err() != nil {
		x.gone(err)
	}
	x.failBackend(err)
}

// failBackend answers for a backend that could not be reached or is broken.
func (x *exchange) failBackend(err error) {
	if short := backend.ShortageOf(err); short != 0 {
		x.failShort(short, err)
		return
	}
	var none *backend.UnavailableError
	if errors.As(err, &none) {
		x.w.Header().Set("Retry-After", retryAfter(none.RetryAfter))
		x.fail(http.StatusServiceUnavailable, "The backend has no room or is down.", err)
		return
	}
	var unreachable *backend.DialError
	if errors.As(err, &unreachable) {
		err = unreachable // which says it all
	}
	if isTimeout(err) {
		x.fail(http.StatusGatewayTimeout, "The backend did not answer in time.", err)
		return
	}
	x.fail(http.StatusBadGateway, "The backend could not be reached or did not answer properly.", err)
}

// fail answers with an error of the gateway's own: detail is for the client,
// err for the log.
func (x *exchange) fail(status int, detail string, err error) {
	x.record.Error = detail
	if err != nil {
		x.record.Error = err.Error()
	}
	x.own = true
	x.pages().Error(x.w, x.r, status, x.record.ID, detail)
}

// gone gives up a request that nobody waits for any more.
func (x *exchange) gone(err error) {
	x.record.Error = err.Error()
	x.sent.status = statusGone
	panic(http.ErrAbortHandler)
}

func unreachable(err error) bool {
	var d *backend.DialError
	return errors.As(err, &d)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
