package telemetry

import (
	"net/url"
	"slices"
	"strings"
)

// Redact replaces the values of the query parameters of these names in a request
// target with "REDACTED". Names are compared as they are and percent-decoded,
// without regard to case. A ';' separates parameters too, because some servers
// read it so.
func Redact(uri string, names []string) string {
	path, query, ok := strings.Cut(uri, "?")
	if !ok || len(names) == 0 {
		return uri
	}
	var b strings.Builder
	b.WriteString(path)
	sep := byte('?')
	for pair := range strings.SplitSeq(query, "&") {
		b.WriteByte(sep)
		sep = '&'
		if n := secretEnd(pair, names); n >= 0 {
			b.WriteString(pair[:n])
			b.WriteString("=REDACTED")
		} else {
			b.WriteString(pair)
		}
	}
	return b.String()
}

// secretEnd returns where the name of a secret ends in pair, the text between two
// '&', or -1 when there is none. All that follows must be hidden: for a server
// that does not separate at ';', it belongs to the value.
func secretEnd(pair string, names []string) int {
	if name, _, valued := strings.Cut(pair, "="); valued && isSecret(name, names) {
		return len(name)
	}
	start := 0
	for part := range strings.SplitSeq(pair, ";") {
		if name, _, valued := strings.Cut(part, "="); valued && isSecret(name, names) {
			return start + len(name)
		}
		start += len(part) + 1
	}
	return -1
}

// isSecret reports whether name, as it is in a request target, is one of names.
func isSecret(name string, names []string) bool {
	plain, err := url.QueryUnescape(name)
	if err != nil {
		return true // a name that cannot be decoded could be any name
	}
	return slices.ContainsFunc(names, func(n string) bool {
		return strings.EqualFold(n, name) || strings.EqualFold(n, plain)
	})
}
