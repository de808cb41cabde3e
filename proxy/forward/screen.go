package forward

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/httpsyntax"
)

// Screen makes r canonical, or returns the status and the reason why it must be
// refused: its head has more than maxHead bytes, or net/http accepts it although
// two servers could read it in two ways. The reason is "" otherwise.
func Screen(r *http.Request, maxHead int) (status int, wrong string) {
	switch {
	case len(r.RequestURI) > maxHead:
		return http.StatusRequestURITooLong, "The request target is too long."
	case HeadSize(r) > int64(maxHead):
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
	delete(r.Header, "Host")
	if r.ContentLength == 0 {
		delete(r.Header, "Expect") // a 100 is for the body (RFC 9110, section 10.1.1)
	}
	r.URL.RawQuery = cleanQuery(r.URL.RawQuery)
	return 0, ""
}

// HeadSize returns the size in bytes of a request's head as HTTP/1.1 writes it.
// The client's own may differ by optional white space.
func HeadSize(r *http.Request) int64 {
	n := len(r.Method) + len(" ") + len(r.RequestURI) + len(" HTTP/1.1\r\n") + len("Host: \r\n") + len(r.Host) + len("\r\n")
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	return int64(n)
}

// validTarget reports whether the target is in origin form, in asterisk form, or a
// URL with a host (RFC 9112, section 3.2).
func validTarget(r *http.Request) bool {
	switch {
	case strings.HasPrefix(r.RequestURI, "/"):
		return true
	case r.RequestURI == "*":
		return r.Method == http.MethodOptions
	}
	return r.ProtoMajor == 1 && r.URL.Host != "" && r.URL.User == nil &&
		(r.URL.Scheme == "http" || r.URL.Scheme == "https")
}

// fieldsAgree reports whether the Host and Content-Length fields of an HTTP/2
// request agree with its pseudo-headers and frames (RFC 9113, sections 8.1.1 and
// 8.3.1).
func fieldsAgree(r *http.Request) bool {
	for _, host := range r.Header["Host"] {
		if !strings.EqualFold(host, r.Host) {
			return false
		}
	}
	lengths := r.Header["Content-Length"]
	if len(r.Header["Host"]) > 1 || len(lengths) > 1 {
		return false
	}
	return !slices.ContainsFunc(lengths, func(v string) bool {
		n, err := strconv.ParseUint(v, 10, 63)
		return err != nil || int64(n) != r.ContentLength
	})
}

// Ambiguous reports whether the request may end in another place than net/http
// found: it hides a Content-Length beside chunks, and chunks in HTTP/1.0. After
// such a request the connection must be closed (RFC 9112, section 6.1).
func Ambiguous(r *http.Request) bool {
	return r.ProtoMajor == 1 && (r.ProtoMinor == 0 || len(r.TransferEncoding) > 0)
}

// cleanQuery escapes the bytes of a query that may not stand in one.
func cleanQuery(query string) string {
	return httpsyntax.Escape(query, func(c byte) bool {
		return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>'
	})
}
