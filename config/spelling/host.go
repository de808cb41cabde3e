// Package spelling checks texts of a configuration and brings each into one spelling, so that two
// texts that mean the same are equal. What is wrong with a text is a predicate such as "has no
// port", or "". The package opens nothing and looks nothing up.
package spelling

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"sluice/config/report"
	"sluice/internal/httpsyntax"
)

// Name checks a host name or IP address without brackets and port, and returns it in lower case. A
// name may end in a dot.
func Name(name string) (clean, wrong string) {
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

// Advice returns how to write the text of a name, host or origin without what is wrong with it,
// as the end of a sentence, or "" if the package cannot tell.
func Advice(text, wrong string) string {
	switch wrong {
	case noScheme:
		return ", did you mean " + report.Quote("https://"+text) + "?"
	case httpsyntax.ErrNotASCII.Error():
		scheme, name := "", text
		if before, after, found := strings.Cut(text, "://"); found {
			scheme, name = before+"://", after
		}
		if rest, wildcard := strings.CutPrefix(name, "*."); wildcard {
			scheme, name = scheme+"*.", rest
		}
		if ascii, err := idna.Lookup.ToASCII(name); err == nil {
			return ", as in " + report.Quote(scheme+ascii)
		}
	}
	return ""
}

// Pattern is [Name] for a name whose first label may be '*'.
func Pattern(name string) (clean, wrong string) {
	rest, wildcard := strings.CutPrefix(name, "*.")
	if strings.Contains(rest, "*") {
		return "", "has a '*' that is not the whole first label, as in *.example.com"
	}
	clean, wrong = Name(rest)
	switch {
	case wrong != "" || !wildcard:
		return clean, wrong
	case httpsyntax.IsIP(clean):
		return "", "has a '*' before an IP address"
	}
	return "*." + clean, ""
}

// Host is [Pattern] for the host of a route: brackets and one dot at the end are removed, a port and
// what else does not belong to a host is refused.
func Host(host string) (clean, wrong string) {
	switch _, port, err := net.SplitHostPort(host); {
	case host == "":
		return "", "is empty: remove the key to match any host"
	case host == "*":
		return "", "matches what no host at all does: remove the key"
	case strings.Contains(host, ","):
		return "", "has a ',': write several as a list, as in [a.example.com, b.example.com]"
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
	host, wrong = Pattern(host)
	return strings.TrimSuffix(host, "."), wrong
}

// Network reads a network such as 10.0.0.0/8, or an address, which is a network of one.
func Network(text string) (network netip.Prefix, wrong string) {
	p, err := netip.ParsePrefix(text)
	if ip, notIP := netip.ParseAddr(text); notIP == nil && ip.Zone() == "" {
		p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	switch {
	case err != nil:
		return netip.Prefix{}, "is not an IP address or network, as in 10.0.0.0/8"
	case p.Addr().Is4In6():
		return netip.Prefix{}, "is IPv4 in the form of IPv6: write it as IPv4"
	case p != p.Masked():
		return netip.Prefix{}, "has bits set behind its first " + strconv.Itoa(p.Bits())
	}
	return p, ""
}
