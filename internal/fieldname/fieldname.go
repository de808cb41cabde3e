// Package fieldname compares the names of header fields as programs behind the
// gateway may. CGI, WSGI and PHP take X_User for X-User (RFC 3875, section
// 4.1.18), and some write '-' for other bytes too: for them a name has many
// spellings.
package fieldname

import (
	"net/http"
	"strings"
)

// Fold returns the one spelling of all names that may be taken for name: lower
// case, and '-' for every byte but letters and digits.
func Fold(name string) string { return string(appendFolded(nil, name)) }

func appendFolded(b []byte, name string) []byte {
	for i := range len(name) {
		b = append(b, fold(name[i]))
	}
	return b
}

func fold(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	case 'A' <= c && c <= 'Z':
		return c - 'A' + 'a'
	}
	return '-'
}

// Set is names in every spelling. It never changes; the zero value is empty.
type Set struct {
	names    map[string]struct{} // folded
	prefixes []string            // folded
	lengths  uint64              // of names, a bit for each modulo 64: most of a request's fields have none of them
}

// NewSet returns the set of the names. One that ends in '*' stands for all that
// begin as it does.
func NewSet(names ...string) Set {
	s := Set{names: make(map[string]struct{}, len(names))}
	for _, name := range names {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			s.prefixes = append(s.prefixes, Fold(prefix))
			continue
		}
		s.names[Fold(name)] = struct{}{}
		s.lengths |= 1 << (len(name) % 64)
	}
	return s
}

// Has reports whether name, in any spelling, is in the set.
func (s *Set) Has(name string) bool {
	for _, p := range s.prefixes {
		if begins(name, p) {
			return true
		}
	}
	if s.lengths&(1<<(len(name)%64)) == 0 {
		return false
	}
	var b [64]byte // of a longer name the rest is allocated
	_, ok := s.names[string(appendFolded(b[:0], name))]
	return ok
}

// begins reports whether name, folded, begins with prefix.
func begins(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if fold(name[i]) != prefix[i] {
			return false
		}
	}
	return true
}

// Strip removes from h the fields whose names are in the set.
func (s *Set) Strip(h http.Header) {
	if len(s.names) == 0 && len(s.prefixes) == 0 {
		return
	}
	for name := range h {
		if s.Has(name) {
			delete(h, name)
		}
	}
}
