package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/internal/httpsyntax"
)

// CleanHost returns the host of a Host header (RFC 9110, section 7.2) as matching compares it: in
// lower case, without port, brackets and one trailing dot; an IPv6 address in its canonical form. An
// empty header, which HTTP/1.0 permits, is the empty host, which only routes for any host match.
func CleanHost(hostport string) (string, error) {
	host, _, err := splitHost(hostport)
	return host, err
}

// cleanPatternHost is CleanHost for [Pattern.Host].
func cleanPatternHost(pattern string) (string, error) {
	name, wildcard := strings.CutPrefix(pattern, "*.")
	host, port, err := splitHost(name)
	switch {
	case err != nil:
		return "", err
	case port:
		return "", fmt.Errorf("host %q has a port: routes match on every port", pattern)
	case wildcard && (host == "" || httpsyntax.IsIP(host)):
		return "", fmt.Errorf("host %q has no name below its '*'", pattern)
	case wildcard:
		return "*." + host, nil
	}
	return host, nil
}

// splitHost returns the clean host of hostport, and whether hostport has a port.
func splitHost(hostport string) (host string, port bool, err error) {
	if hostport == "" {
		return "", false, nil
	}
	if len(hostport) > httpsyntax.MaxName+len(".:65535") {
		return "", false, fmt.Errorf("host is longer than %d bytes", httpsyntax.MaxName)
	}
	name, rest := hostport, ""
	bracket := strings.HasPrefix(hostport, "[")
	if bracket {
		var closed bool
		if name, rest, closed = strings.Cut(hostport[1:], "]"); !closed {
			return "", false, fmt.Errorf("host %q has no ']'", hostport)
		}
	} else if strings.Count(hostport, ":") == 1 {
		colon := strings.IndexByte(hostport, ':')
		name, rest = hostport[:colon], hostport[colon:]
	}
	digits, port := strings.CutPrefix(rest, ":")
	if rest != "" && !(port && isPort(digits)) {
		return "", false, fmt.Errorf("host %q has a bad port", hostport)
	}
	if bracket || strings.Contains(name, ":") {
		a, err := netip.ParseAddr(name)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", false, fmt.Errorf("host %q is not an IPv6 address", hostport)
		}
		return a.String(), port, nil
	}
	name = strings.TrimSuffix(name, ".")
	if err := checkName(name); err != nil {
		return "", false, fmt.Errorf("host %q %w", hostport, err)
	}
	return strings.ToLower(name), port, nil
}

// checkName returns what is wrong with a host name, or nil. It refuses less than
// [httpsyntax.CheckLabel], because it checks what clients send and not what an operator writes:
// labels may have any length and hyphens may stand anywhere.
func checkName(name string) error {
	if len(name) > httpsyntax.MaxName {
		return fmt.Errorf("is longer than %d bytes", httpsyntax.MaxName)
	}
	for _, c := range name {
		if c >= utf8.RuneSelf || !httpsyntax.IsNameByte(byte(c)) && c != '.' {
			return fmt.Errorf("holds %q: a name is made of letters, digits, '-' and '_', and of punycode for all others", c)
		}
	}
	if name == "" || name[0] == '.' || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return errors.New("has an empty label")
	}
	return nil
}

// isPort reports whether s is a port. RFC 3986, section 3.2.3, permits an empty one.
func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil || s == ""
}
