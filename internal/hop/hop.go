// Package hop knows the headers that belong to one connection, which a proxy does not forward.
package hop

import (
	"net/http"
	"net/textproto"
	"strings"
)

// Strip removes from h the headers that belong to one connection (RFC 9110, section 7.6.1): those
// that Connection names, and those that always do. It removes "Proxy" too, which CGI programs take
// for the address of a proxy to use (CVE-2016-5385).
func Strip(h http.Header) {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range [...]string{
		"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Http2-Settings", "Proxy", "Proxy-Authenticate", "Proxy-Authorization",
	} {
		delete(h, name)
	}
}
