package localca

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// localDomains are the domains that are reserved for local use (RFC 6761, RFC
// 6762, RFC 8375 and ICANN's reservation of "internal"). A constraint covers
// every name below its domain.
func localDomains() []string {
	return []string{"localhost", "test", "internal", "local", "home.arpa"}
}

// localNetworks are the loopback, private, shared and link-local networks.
func localNetworks() []*net.IPNet {
	var networks []*net.IPNet
	for _, text := range []string{
		"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
		"::1/128", "fc00::/7", "fe80::/10",
	} {
		_, network, _ := net.ParseCIDR(text) // a constant
		networks = append(networks, network)
	}
	return networks
}

// unpermitted returns the names that the constraints of the root exclude.
func (a *authority) unpermitted(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		if ip := net.ParseIP(name); ip != nil {
			return slices.ContainsFunc(a.root.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(ip) })
		}
		name = "." + strings.TrimPrefix(name, "*.")
		return slices.ContainsFunc(a.root.PermittedDNSDomains, func(domain string) bool { return strings.HasSuffix(name, "."+domain) })
	})
}

// split returns the DNS names and the IP addresses among names: a certificate
// holds them in separate fields.
func split(names []string) (dns []string, ips []net.IP) {
	for _, name := range names {
		if ip, err := netip.ParseAddr(name); err == nil {
			ips = append(ips, ip.AsSlice())
		} else {
			dns = append(dns, name)
		}
	}
	return dns, ips
}
