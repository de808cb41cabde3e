package forward

import (
	"net/http"

	"sluice/internal/fieldname"
)

// trailless are the fields that may not stand in a trailer section: what frames
// or routes a message, or says who sent it (RFC 9110, section 6.5.1).
var trailless = fieldname.NewSet(
	"Host", "Connection", "Proxy-Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Content-*",
	"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "WWW-Authenticate", "Cookie", "Set-Cookie",
	"Via", "Age", "Cache-Control", "Expect", "Max-Forwards", "Pragma", "Range", "Vary", "Location", "Retry-After", "Date", "Expires",
)

// mayTrail reports whether a field may pass in a trailer section, where those
// of kept may not.
func mayTrail(name string, kept *fieldname.Set) bool {
	return !trailless.Has(name) && !own.Has(name) && !kept.Has(name)
}

// announced returns a trailer section with the names of t that may pass, to be
// filled in when the body has ended.
func announced(t http.Header, kept *fieldname.Set) http.Header {
	var out http.Header
	for name := range t {
		if mayTrail(name, kept) {
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
func fill(t, from http.Header, kept *fieldname.Set) {
	for name, values := range from {
		if mayTrail(name, kept) {
			t[name] = values
		}
	}
}
