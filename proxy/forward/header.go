package forward

import (
	"net/http"
	"net/netip"
)

// SetForwarded replaces what a request says about its way by what is known:
// nobody in front of the gateway is trusted.
func SetForwarded(h http.Header, r *http.Request) {
	for _, name := range [...]string{
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-Ip",
	} {
		delete(h, name)
	}
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		h["X-Forwarded-For"] = []string{a.Addr().Unmap().WithZone("").String()}
	}
	h["X-Forwarded-Host"] = []string{r.Host}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	h["X-Forwarded-Proto"] = []string{proto}
}
