package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"sluice/internal/httpsyntax"
)

// cleanName checks a host name or IP address, without brackets and port, and
// returns it in lower case. The second result is what is wrong.
func cleanName(name string) (string, string) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.String(), ""
	}
	name = strings.ToLower(name)
	if strings.Contains(name, ":") {
		return "", "has a ':' but is not an IP address"
	}
	if len(name) > httpsyntax.MaxName {
		return "", "has a name of more than 253 bytes"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if err := httpsyntax.CheckLabel(label); err != nil {
			return "", err.Error()
		}
	}
	return name, ""
}

// noScheme is what is wrong with an origin such as app.example.com.
const noScheme = "has no scheme"

// spelling returns how to write the literal with what is wrong mended, or "" if
// that cannot be told.
func spelling(literal, wrong string) string {
	switch wrong {
	case noScheme:
		return ", did you mean " + quote("https://"+literal) + "?"
	case httpsyntax.ErrNotASCII.Error():
		scheme, name := "", literal
		if before, after, found := strings.Cut(literal, "://"); found {
			scheme, name = before+"://", after
		}
		if rest, wildcard := strings.CutPrefix(name, "*."); wildcard {
			scheme, name = scheme+"*.", rest
		}
		if ascii, err := idna.Lookup.ToASCII(name); err == nil {
			return ", as in " + quote(scheme+ascii)
		}
	}
	return ""
}

// cleanPattern is cleanName for a name whose first label may be '*'.
func cleanPattern(name string) (string, string) {
	rest, wildcard := strings.CutPrefix(name, "*.")
	if strings.Contains(rest, "*") {
		return "", "has a '*' that is not the whole first label, as in *.example.com"
	}
	clean, wrong := cleanName(rest)
	switch {
	case wrong != "" || !wildcard:
		return clean, wrong
	case httpsyntax.IsIP(clean):
		return "", "has a '*' before an IP address"
	}
	return "*." + clean, ""
}

// cleanHost is cleanPattern for the host of a route: brackets and one trailing
// dot are removed, what does not belong to a host is refused.
func cleanHost(host string) (string, string) {
	switch _, port, err := net.SplitHostPort(host); {
	case host == "":
		return "", "is empty: remove the key to match any host"
	case host == "*":
		return "", "matches what no host at all does: remove the key"
	case strings.ContainsAny(host, "/?#@"):
		return "", "is not a host: leave out scheme, user and path"
	case err == nil && checkPort(port) == "" && !httpsyntax.IsIP(host):
		return "", "has a port: leave it out, a route matches on every listener"
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
		if !strings.Contains(host, ":") || !httpsyntax.IsIP(host) {
			return "", "has brackets without an IPv6 address in them"
		}
	}
	host, wrong := cleanPattern(host)
	return strings.TrimSuffix(host, "."), wrong
}

// parseProxy reads a network such as 10.0.0.0/8, an address, which is a network
// of one, or the word unix. The second result is what is wrong.
func parseProxy(text string) (Proxy, string) {
	if text == "unix" {
		return Proxy{Unix: true}, ""
	}
	p, err := netip.ParsePrefix(text)
	if ip, notIP := netip.ParseAddr(text); notIP == nil && ip.Zone() == "" {
		p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	switch {
	case strings.HasPrefix(strings.ToLower(text), "unix"):
		return Proxy{}, "is not the word unix, which stands for the proxies on all Unix sockets"
	case err != nil:
		return Proxy{}, "is not an IP address or network, as in 10.0.0.0/8"
	case p.Addr().Is4In6():
		return Proxy{}, "is IPv4 in the form of IPv6: write it as IPv4"
	case p != p.Masked():
		return Proxy{}, "has bits set behind its first " + strconv.Itoa(p.Bits())
	}
	return Proxy{Prefix: p}, ""
}

// String returns p as it is written.
func (p Proxy) String() string {
	if p.Unix {
		return "unix"
	}
	return p.Prefix.String()
}
