// Package httpsyntax is the small syntax that HTTP headers and URLs are made of: tokens,
// percent-escapes, host names and origins. It reads and writes text; what a text means is the
// caller's to decide.
package httpsyntax

import "strings"

// IsToken reports whether s is a token (RFC 9110, section 5.6.2): the form of methods and of the
// names of headers, cookies and subprotocols.
func IsToken(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
