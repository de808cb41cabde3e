// Package hop knows the headers that belong to one connection and are not
// passed on.
package hop

import (
	"net/http"
	"net/textproto"
	"strings"
)

// Strip removes from h what belongs to one hop alone (RFC 9110, section 7.6.1):
// the headers that Connection names and those that always do. "Proxy" is among
// them because of what CGI programs take it for (CVE-2016-5385).
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
