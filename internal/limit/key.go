// Package limit counts and paces by client address, in bounded memory.
package limit

import "net/netip"

// Key returns what an address is limited as: an IPv4 address by itself, an
// IPv6 one by its /64, which is what one client gets to choose from. An address
// that is not known, as on a Unix socket, is one key.
func Key(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64) // 64 fits
	return p.Addr()
}
