// Package limit counts and limits what clients use, by address and in bounded
// memory, and knows what the process itself has left: descriptors and memory.
// It knows neither requests nor configuration.
package limit

import "net/netip"

// Key returns the key under which an address is counted: an IPv4 address by
// itself, an IPv6 address by its /64, because one client can use all addresses
// of a /64. All unknown addresses, as on a Unix socket, share one key.
func Key(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64) // does not fail: 64 is within an IPv6 address
	return p.Addr()
}
