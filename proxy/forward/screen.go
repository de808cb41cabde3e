package forward

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sluice/internal/header"
	"sluice/internal/httpsyntax"
	"sluice/internal/message"
)

// Screen makes r canonical, or returns the status and the reason why it must be
// refused: its head has more than maxHead bytes, or net/http accepts it although
// two servers could read it in two ways. The reason is "" otherwise.
func Screen(r *message.Request, maxHead int) (status int, wrong string) {
	switch {
	case len(r.RequestURI) > maxHead:
		return http.StatusRequestURITooLong, "The request target is too long."
	case r.HeadSize() > int64(maxHead):
		return http.StatusRequestHeaderFieldsTooLarge, "The request's head is too large."
	case r.Method == http.MethodConnect:
		return http.StatusBadRequest, "CONNECT is not served here."
	case !httpsyntax.IsToken(r.Method):
		return http.StatusBadRequest, "The method is malformed."
	case !validTarget(r):
		return http.StatusBadRequest, "The request target is malformed."
	case r.Host == "" && r.ProtoAtLeast(1, 1):
		return http.StatusBadRequest, "The Host header is empty."
	case strings.Count(r.Host, ":") > 1 && !strings.HasPrefix(r.Host, "["):
		return http.StatusBadRequest, "The Host header is not a host."
	case r.Method == http.MethodTrace && r.ContentLength != 0:
		return http.StatusBadRequest, "A TRACE request has no body." // RFC 9110, section 9.3.8
	case !validMaxForwards(r):
		return http.StatusBadRequest, "The Max-Forwards header is malformed."
	case r.ProtoMajor == 2 && !fieldsAgree(r):
		return http.StatusBadRequest, "The request's headers contradict each other."
	}
	// Over HTTP/2, net/http leaves Host in the header.
	r.Header.Del(header.Host)
	if r.ContentLength == 0 {
		r.Header.Del(header.Expect) // a 100 is for the body (RFC 9110, section 10.1.1)
	}
	r.RawQuery = cleanQuery(r.RawQuery)
	return 0, ""
}

// validTarget reports whether the target is in origin form, in asterisk form, or a
// URL with a host (RFC 9112, section 3.2).
func validTarget(r *message.Request) bool {
	switch {
	case strings.HasPrefix(r.RequestURI, "/"):
		return true
	case r.RequestURI == "*":
		return r.Method == http.MethodOptions
	}
	u, err := url.ParseRequestURI(r.RequestURI)
	return err == nil && r.ProtoMajor == 1 && u.Host != "" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// fieldsAgree reports whether the Host and Content-Length fields of an HTTP/2
// request agree with its pseudo-headers and frames (RFC 9113, sections 8.1.1 and
// 8.3.1).
func fieldsAgree(r *message.Request) bool {
	for host := range r.Header.Values(header.Host) {
		if !strings.EqualFold(host, r.Host) {
			return false
		}
	}
	if r.Header.Count(header.Host) > 1 || r.Header.Count(header.ContentLength) > 1 {
		return false
	}
	for length := range r.Header.Values(header.ContentLength) {
		if n, err := strconv.ParseUint(length, 10, 63); err != nil || int64(n) != r.ContentLength {
			return false
		}
	}
	return true
}

// Ambiguous reports whether the request may end in another place than net/http
// found: it hides a Content-Length beside chunks, and chunks in HTTP/1.0. After
// such a request the connection must be closed (RFC 9112, section 6.1).
func Ambiguous(r *message.Request) bool {
	return r.ProtoMajor == 1 && (r.ProtoMinor == 0 || r.Chunked)
}

// cleanQuery escapes the bytes of a query that may not stand in one.
func cleanQuery(query string) string {
	return httpsyntax.Escape(query, func(c byte) bool {
		return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>'
	})
}
