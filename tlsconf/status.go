package tlsconf

import (
	"fmt"
	"slices"
	"time"
)

// expiryNotice is how long before its end a certificate is warned about.
const expiryNotice = 14 * 24 * time.Hour

// Source is where the certificate for some names comes from, and how it is.
type Source struct {
	Names  []string  // DNS names, wildcards and IP addresses
	From   string    // the certificate's file, "acme", or "local CA"
	Expiry time.Time // zero: there is none yet, or it is renewed without end
	Err    error     // of the last order, nil when it went well
	Next   time.Time // when the next order may be made; zero without an error
}

// Names lists the names served, by certificate, in order of preference. The
// first certificate is the fallback for every other name.
func (s *Store) Names() []Source {
	var list []Source
	for _, from := range s.current.Load().sources {
		list = append(list, from.status())
	}
	return list
}

// Warnings says, one sentence each, what is wrong with the certificates now
// but no reason to refuse them.
func (s *Store) Warnings() []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	st, now := s.current.Load(), s.now()
	for i, p := range st.pairs {
		cert, begin, end := p.file.Cert, p.Leaf.NotBefore, p.Leaf.NotAfter
		switch {
		case now.After(end):
			warn("certificate %s: expired on %s", cert, end.Format(time.DateOnly))
		case now.Before(begin):
			warn("certificate %s: not valid before %s", cert, begin.Format(time.RFC3339))
		case end.Sub(now) < expiryNotice:
			warn("certificate %s: expires on %s", cert, end.Format(time.DateOnly))
		}
		if names := p.names(); len(names) == 0 {
			warn("certificate %s: has no subject alternative names, so no client accepts it", cert)
		} else if st.shadowed(i, now) {
			warn("certificate %s: never used; those listed before it have all its names and the same kind of key", cert)
		}
		if p.exposed {
			warn("key %s: every user of this machine can read it; use chmod 600", p.file.Key)
		}
	}
	if s.account != nil {
		list = append(list, s.account.warnings(s.hosts)...)
	}
	if s.issued != nil && s.issued.ca.exposed {
		warn("the local CA's key can be read by every user of this machine; use chmod 600 on the files beside %s", s.issued.ca.file)
	}
	if st.client != nil {
		list = append(list, st.client.warnings(now)...)
	}
	return list
}

// shadowed reports whether every name of pairs[i] is served, for as long as it
// is valid, by certificates listed before it that have the same kind of key.
func (st *state) shadowed(i int, now time.Time) bool {
	last := st.pairs[i].Leaf
	covered := func(name string) bool {
		return slices.ContainsFunc(st.byName[name], func(source int) bool {
			if source >= i {
				return false
			}
			leaf := st.pairs[source].Leaf
			return leaf.PublicKeyAlgorithm == last.PublicKeyAlgorithm && isValid(leaf, now) && !leaf.NotAfter.Before(last.NotAfter)
		})
	}
	return !slices.ContainsFunc(st.pairs[i].names(), func(name string) bool { return !covered(name) })
}
