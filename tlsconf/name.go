package tlsconf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sluice/internal/httpsyntax"
)

// parseNames returns the names in the form that certificates are looked up by,
// each once: DNS names in lower case, IP addresses as [netip.Addr.String] writes
// them. It reports every mistake.
func parseNames(texts []string) ([]string, error) {
	var names []string
	var mistakes []error
	for _, text := range texts {
		name, err := parseName(text)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("self-signed name %q: %w", text, err))
		} else if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, errors.Join(mistakes...)
}

// parseName returns one name in the form of [parseNames].
func parseName(text string) (string, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		if ip.Zone() != "" {
			return "", errors.New("a certificate cannot hold an address with a zone; leave out what follows '%'")
		}
		return ip.Unmap().String(), nil
	}
	name := strings.ToLower(text)
	if len(name) > httpsyntax.MaxName {
		return "", errors.New("longer than 253 bytes")
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(name, "*."), ".") {
		if httpsyntax.CheckLabel(label) != nil {
			return "", errors.New("neither an IP address nor a DNS name (letters, digits and '-' between dots; '*' only as the first label)")
		}
	}
	return name, nil
}
