package forward

import (
	"net/http"
	"strings"
)

// announced returns a trailer section with the names of t that may pass, to be
// filled in when the body has ended.
func announced(t http.Header) http.Header {
	var out http.Header
	for name := range t {
		if mayTrail(name) {
			if out == nil {
				out = make(http.Header)
			}
			out[name] = nil
		}
	}
	return out
}

// fill puts the fields of from that may pass into t, once the body has ended:
// those that were announced and others.
func fill(t, from http.Header) {
	for name, values := range from {
		if mayTrail(name) {
			t[name] = values
		}
	}
}

// mayTrail reports whether a field may stand in a trailer section. What frames
// or routes a message, or says who sent it, may not (RFC 9110, section 6.5.1).
func mayTrail(name string) bool {
	name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")) // CGI cannot tell them apart
	switch name {
	case "Host", "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "Www-Authenticate", "Cookie", "Set-Cookie",
		"Forwarded", "X-Real-Ip", "X-Request-Id", "Via", "Age", "Cache-Control", "Expect", "Max-Forwards", "Pragma",
		"Range", "Vary", "Location", "Retry-After", "Date", "Expires":
		return false
	}
	return !strings.HasPrefix(name, "Content-") && !strings.HasPrefix(name, "X-Forwarded-") &&
		!strings.HasPrefix(name, "X-Client-")
}
