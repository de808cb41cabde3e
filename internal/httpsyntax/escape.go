package httpsyntax

import "strings"

// IsUnreserved reports whether c means the same escaped and not escaped (RFC 3986, section 2.3).
func IsUnreserved(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("-._~", c) >= 0
}

// AppendEscape appends the percent-escape of c with the upper-case digits that RFC 3986, section
// 2.1, asks for.
func AppendEscape(dst []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

// Escape writes every byte of s that keep does not allow as a percent-escape. A caller whose s
// may hold escapes already allows '%'. Without a byte to escape it returns s and allocates nothing.
func Escape(s string, keep func(c byte) bool) string {
	for i := range len(s) {
		if !keep(s[i]) {
			return escapeFrom(s, i, keep)
		}
	}
	return s
}

// escapeFrom is Escape for an s whose first byte to escape is at first.
func escapeFrom(s string, first int, keep func(c byte) bool) string {
	b := append(make([]byte, 0, len(s)+16), s[:first]...)
	for i := first; i < len(s); i++ {
		if keep(s[i]) {
			b = append(b, s[i])
		} else {
			b = AppendEscape(b, s[i])
		}
	}
	return string(b)
}

// Unescape returns the byte that the percent-escape at the start of s stands for, in hexadecimal
// digits of either case (RFC 3986, section 2.1). It is not ok if s does not start with one.
func Unescape(s string) (c byte, ok bool) {
	if len(s) < len("%XX") || s[0] != '%' {
		return 0, false
	}
	high, ok1 := unhex(s[1])
	low, ok2 := unhex(s[2])
	return high<<4 | low, ok1 && ok2
}

func unhex(c byte) (digit byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
