package importer

import (
	"regexp"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer/mapping"
)

// Headers of a connection or a handshake, and those that sluice itself tells backends.
var (
	connectionHeaders = []string{"connection", "upgrade", "te", "trailer", "keep-alive", "proxy-connection", "transfer-encoding", "content-length"}
	gatewayHeaders    = []string{"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "x-request-id"}
)

var fieldName = regexp.MustCompile("^[A-Za-z0-9!#$%&'+.^_`|~-]+$")

// Settable reports whether a text is the name of a header that routes may set and remove. Host is one.
func Settable(name string) bool {
	lower := strings.ToLower(name)
	return fieldName.MatchString(name) && !slices.Contains(connectionHeaders, lower) && !strings.HasPrefix(lower, "sec-websocket-")
}

// GatewayHeader reports whether sluice itself sets a request header of that name, in place of what
// clients send.
func GatewayHeader(name string) bool {
	return slices.Contains(gatewayHeaders, strings.ToLower(name))
}

// MaxConnections bounds what an endpoint has at once. Sources count requests and sessions together and
// sluice counts them apart, so each gets a half. It returns whether there are two halves.
func MaxConnections(endpoint *mapping.Map, n int) bool {
	n = min(n, 10_000_000)
	endpoint.Set(max(n-n/2, 1), "max_requests")
	endpoint.Set(max(n/2, 1), "max_sessions")
	return n > 1
}
