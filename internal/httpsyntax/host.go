package httpsyntax

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Longest host name and longest label of one, in bytes (RFC 1035, section 2.3.4, without the bytes
// that only the wire format has).
const (
	MaxName  = 253
	MaxLabel = 63
)

// What [CheckLabel] finds. Each reads as what follows the name in a sentence.
var (
	ErrEmptyLabel = errors.New("has an empty label (two dots, or a dot at an end)")
	ErrLongLabel  = errors.New("has a label of more than 63 bytes")
	ErrHyphen     = errors.New("has a label that begins or ends with '-'")
	ErrNotASCII   = errors.New("is not ASCII: write the name in punycode") // as DNS, Host and SNI carry it
	ErrNotName    = errors.New("has a character that no host name has")
)

// CheckLabel returns what is wrong with one label of a host name (RFC 1123, section 2.1), or nil.
// An underscore is allowed, as in the names of services (RFC 2782).
func CheckLabel(label string) error {
	switch {
	case label == "":
		return ErrEmptyLabel
	case len(label) > MaxLabel:
		return ErrLongLabel
	case label[0] == '-' || label[len(label)-1] == '-':
		return ErrHyphen
	case strings.IndexFunc(label, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0:
		return ErrNotASCII
	}
	for i := range len(label) {
		if !IsNameByte(label[i]) {
			return ErrNotName
		}
	}
	return nil
}

// IsNameByte reports whether c may stand in a label of a host name: a letter, a digit, '-' or '_'.
func IsNameByte(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '_' }

// IsIP reports whether s is an IP address, without brackets and port.
func IsIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// Bracket returns host as it stands in a URL and in a Host header: an IPv6 address in brackets (RFC
// 3986, section 3.2.2), any other host as it is.
func Bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// DefaultPort returns the port of http and of https, which a URL may leave out (RFC 9110, sections
// 4.2.1 and 4.2.2), and "" for any other scheme.
func DefaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}
