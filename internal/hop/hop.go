// Package hop knows the headers that belong to one connection, which a proxy does not forward.
package hop

import (
	"slices"

	"sluice/internal/header"
)

// Strip removes from h the headers that belong to one connection (RFC 9110, section 7.6.1): those
// that Connection names, and those that always do. It removes "Proxy" too, which CGI programs take
// for the address of a proxy to use (CVE-2016-5385).
func Strip(h *header.Fields) {
	named := namedByConnection(*h)
	h.DelFunc(func(f *header.Field) bool {
		switch f.ID {
		case header.Connection, header.ProxyConnection, header.KeepAlive, header.TE, header.Trailer, header.TransferEncoding,
			header.Upgrade, header.HTTP2Settings, header.Proxy, header.ProxyAuthenticate, header.ProxyAuthorization:
			return true
		}
		return slices.ContainsFunc(named, f.Is)
	})
}

// namedByConnection returns what Connection names, except for fields that never pass.
func namedByConnection(h header.Fields) (names []string) {
	for e := range h.Elements(header.Connection) {
		switch header.Lookup(e) {
		case header.KeepAlive, header.Upgrade, header.TE:
		default:
			names = append(names, e)
		}
	}
	return names
}
