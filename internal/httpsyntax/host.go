package httpsyntax

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// MaxName is the length of the longest host name in bytes (RFC 1035, section 2.3.4, without the bytes
// that only the wire format has).
const MaxName = 253

// ErrNotASCII is what [CheckLabel] returns for an internationalized name. DNS, Host and SNI carry its
// punycode.
var ErrNotASCII = errors.New("is not ASCII: write the name in punycode")

var (
	errEmptyLabel = errors.New("has an empty label (two dots, or a dot at an end)")
	errLongLabel  = errors.New("has a label of more than 63 bytes")
	errHyphen     = errors.New("has a label that begins or ends with '-'")
	errNotName    = errors.New("has a character that no host name has")
)

// CheckLabel returns what is wrong with one label of a host name (RFC 1123, section 2.1), or nil.
// An underscore is allowed, as in the names of services (RFC 2782). The text of the error follows the
// name in a sentence.
func CheckLabel(label string) error {
	switch {
	case label == "":
		return errEmptyLabel
	case len(label) > 63:
		return errLongLabel
	case label[0] == '-' || label[len(label)-1] == '-':
		return errHyphen
	case strings.IndexFunc(label, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0:
		return ErrNotASCII
	}
	for i := range len(label) {
		if !IsNameByte(label[i]) {
			return errNotName
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
