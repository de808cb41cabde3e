package forward

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/httpsyntax"
)

// Screen refuses a head of more than maxHead bytes and what net/http lets
// through but two servers could read in two ways, and makes the rest canonical.
// It returns what is wrong, or "".
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
	case !goodTarget(r):
		return http.StatusBadRequest, "The request target is malformed."
	case r.Host == "" && r.ProtoAtLeast(1, 1):
		return http.StatusBadRequest, "The Host header is empty."
	case strings.Count(r.Host, ":") > 1 && !strings.HasPrefix(r.Host, "["):
		return http.StatusBadRequest, "The Host header is not a host."
	case r.Method == http.MethodTrace && r.ContentLength != 0:
		return http.StatusBadRequest, "A TRACE request has no body." // RFC 9110, section 9.3.8
	case !goodMaxForwards(r):
		return http.StatusBadRequest, "The Max-Forwards header is malformed."
	case r.ProtoMajor == 2 && !agrees(r):
		return http.StatusBadRequest, "The request's headers contradict each other."
	}
	// HTTP/2 leaves here what HTTP/1.1 has taken out.
	delete(r.Header, "Host")
	if r.ContentLength == 0 {
		delete(r.Header, "Expect") // a 100 is for the body (RFC 9110, section 10.1.1)
	}
	r.URL.RawQuery = cleanQuery(r.URL.RawQuery)
	return 0, ""
}

// HeadSize returns the length of a request's head as HTTP/1.1 writes it, in
// bytes, give or take the white space that it allows.
func HeadSize(r *http.Request) int64 {
	n := len(r.Method) + len(" ") + len(r.RequestURI) + len(" HTTP/1.1\r\n") + len("Host: \r\n") + len(r.Host) + len("\r\n")
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	return int64(n)
}

// goodTarget reports whether the target has origin form, asterisk form, or is
// a URL with a host (RFC 9112, section 3.2).
func goodTarget(r *http.Request) bool {
	switch {
	case strings.HasPrefix(r.RequestURI, "/"):
		return true
	case r.RequestURI == "*":
		return r.Method == http.MethodOptions
	}
	return r.ProtoMajor == 1 && r.URL.Host != "" && r.URL.User == nil &&
		(r.URL.Scheme == "http" || r.URL.Scheme == "https")
}

// agrees reports whether the Host and Content-Length fields of an HTTP/2
// request say the same as its pseudo-headers and frames do (RFC 9113, sections
// 8.1.1 and 8.3.1).
func agrees(r *http.Request) bool {
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

// goodMaxForwards reports whether Max-Forwards is there at most once and is a
// number, in the requests it means something in.
func goodMaxForwards(r *http.Request) bool {
	values := r.Header["Max-Forwards"]
	return !counted(r) || len(values) == 1 && values[0] != "" && only(values[0], "")
}

// counted reports whether the recipients of r are counted (RFC 9110, section
// 7.6.2).
func counted(r *http.Request) bool {
	return (r.Method == http.MethodOptions || r.Method == http.MethodTrace) && len(r.Header["Max-Forwards"]) > 0
}

// Last reports whether a screened request may go no further than this gateway.
// If it may, that is counted in its Max-Forwards. Once it has been called for a
// request, the count is the next recipient's.
func Last(r *http.Request) bool {
	if !counted(r) {
		return false
	}
	n, err := strconv.ParseUint(r.Header["Max-Forwards"][0], 10, 31)
	if n == 0 {
		return true
	}
	if err == nil { // else it was more than can be counted, which n is now
		n--
	}
	r.Header["Max-Forwards"] = []string{strconv.FormatUint(n, 10)}
	return false
}

// Ambiguous reports whether the client may have meant another end of its
// request than the one net/http found: it does not tell whether there was a
// Content-Length beside the chunks, or chunks in HTTP/1.0. After such a request
// the connection has to be closed (RFC 9112, section 6.1).
func Ambiguous(r *http.Request) bool {
	return r.ProtoMajor == 1 && (r.ProtoMinor == 0 || len(r.TransferEncoding) > 0)
}

// cleanQuery escapes the bytes of a query that may not stand in one.
func cleanQuery(query string) string {
	return httpsyntax.Escape(query, func(c byte) bool {
		return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>'
	})
}
