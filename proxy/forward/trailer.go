package forward

import (
	"net/http"

	"sluice/internal/fieldname"
)

// notInTrailers is the fields that must not be in a trailer section: those that
// frame or route a message, or that say who sent it (RFC 9110, section 6.5.1). A trace context there would
// be another one than that of the header.
var notInTrailers = fieldname.NewSet(
	"Host", "Connection", "Proxy-Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Content-*",
	"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "WWW-Authenticate", "Cookie", "Set-Cookie",
	"Via", "Age", "Cache-Control", "Expect", "Max-Forwards", "Pragma", "Range", "Vary", "Location", "Retry-After", "Date", "Expires",
	"Traceparent", "Tracestate", "Baggage",
)

// allowedInTrailer reports whether a field may pass in a trailer section. The
// reserved fields may not.
func allowedInTrailer(name string, reserved *fieldname.Set) bool {
	return !notInTrailers.Has(name) && !gatewayFields.Has(name) && !reserved.Has(name)
}

// announcedTrailer returns a trailer section with the names of t that may pass,
// whose values follow at the end of the body. It is nil if there are none.
func announcedTrailer(t http.Header, reserved *fieldname.Set) http.Header {
	var out http.Header
	for name := range t {
		if allowedInTrailer(name, reserved) {
			if out == nil {
				out = make(http.Header)
			}
			out[name] = nil
		}
	}
	return out
}

// copyTrailer copies the fields of from that may pass to t, whether they were
// announced or not. It is called at the end of the body.
func copyTrailer(t, from http.Header, reserved *fieldname.Set) {
	for name, values := range from {
		if allowedInTrailer(name, reserved) {
			t[name] = values
		}
	}
}
