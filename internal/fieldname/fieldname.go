// Package fieldname compares the names of header fields as programs behind the gateway may compare
// them. CGI, WSGI and PHP take X_User for X-User (RFC 3875, section 4.1.18), and some write '-' for
// other bytes too. For them a name has many spellings.
package fieldname

import (
	"strings"

	"sluice/internal/header"
)

// Fold returns the one spelling that all names share which a program may take for name: lower case,
// and '-' in place of every byte that is no letter and no digit.
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

// Set is a set of names, each in every spelling. It never changes; the zero value is empty.
type Set struct {
	names    map[string]struct{} // folded
	prefixes []string            // folded
	lengths  uint64              // of names, one bit for each length modulo 64; rules out most fields of a request
}

// NewSet returns the set of names. A name that ends in '*' stands for all names with that beginning.
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

// Empty reports whether the set has no names.
func (s *Set) Empty() bool { return len(s.names) == 0 && len(s.prefixes) == 0 }

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
	var b [64]byte // only a longer name allocates
	_, ok := s.names[string(appendFolded(b[:0], name))]
	return ok
}

// begins reports whether name, once folded, begins with prefix.
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
func (s *Set) Strip(h *header.Fields) {
	if s.Empty() {
		return
	}
	h.DelFunc(func(f *header.Field) bool { return s.Has(f.Name) })
}
