package importer

import (
	"net"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer/mapping"
)

// A Listen is an address of a source to listen on, with TLS or without.
type Listen struct {
	Address string
	TLS     bool
}

// Within reports whether an address to listen on is one of those that another one, of all addresses, stands for.
func Within(address, wide string) bool {
	host, port, err := net.SplitHostPort(address)
	all, widePort, wideErr := net.SplitHostPort(wide)
	return err == nil && wideErr == nil && port == widePort && !unspecified(host) && unspecified(all)
}

func unspecified(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// Covers reports whether all of some are among all.
func Covers(all, some []Listen) bool {
	return !slices.ContainsFunc(some, func(l Listen) bool { return !slices.Contains(all, l) })
}

// SharedListens returns the addresses that most of the sites listen on; of several the ones with TLS, then
// the most.
func SharedListens(sites [][]Listen) (best []Listen) {
	secure := func(listens []Listen) bool { return slices.ContainsFunc(listens, func(l Listen) bool { return l.TLS }) }
	most := 0
	for _, site := range sites {
		n := 0
		for _, other := range sites {
			if Covers(other, site) {
				n++
			}
		}
		if n > most || n == most && (secure(site) && !secure(best) || secure(site) == secure(best) && len(site) > len(best)) {
			best, most = site, n
		}
	}
	return best
}

// Listen adds a listener, unless one is there that has its connections.
func (p *Plan) Listen(address string, keys mapping.Map) {
	_, port, err := net.SplitHostPort(address)
	if slices.ContainsFunc(p.Listeners, func(l Listener) bool {
		host, otherPort, otherErr := net.SplitHostPort(l.Address)
		return l.Address == address || err == nil && otherErr == nil && port == otherPort && (host == "" || strings.HasPrefix(address, ":"))
	}) {
		return
	}
	p.Listeners = append(p.Listeners, Listener{Address: address, Keys: keys})
}
