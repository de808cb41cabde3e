package tlsconf

import (
	"fmt"
	"slices"
	"time"
)

// expiryNotice is how long before its end a certificate is warned about.
const expiryNotice = 14 * 24 * time.Hour

// Source tells where the certificate for some names comes from, and its state.
type Source struct {
	Names  []string  // DNS names, wildcards and IP addresses
	From   string    // the certificate's file, "acme", or "local CA"
	Expiry time.Time // zero when there is no certificate yet, or the local CA renews it
	Err    error     // why the last order failed; nil when it did not
	Next   time.Time // when the next order is made; zero without an error
}

// Names returns the names that are served, by certificate, in order of
// preference. The first certificate is also the one for all other names.
func (s *Store) Names() []Source {
	var list []Source
	for _, from := range s.current.Load().sources {
		list = append(list, from.status())
	}
	return list
}

// Warnings returns what is wrong with the certificates now but no reason to
// refuse them, one sentence each.
func (s *Store) Warnings() []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	st, now := s.current.Load(), s.now()
	for i, p := range st.pairs {
		cert, begin, end := p.File.Cert, p.Leaf.NotBefore, p.Leaf.NotAfter
		switch {
		case now.After(end):
			warn("certificate %s: expired on %s", cert, end.Format(time.DateOnly))
		case now.Before(begin):
			warn("certificate %s: not valid before %s", cert, begin.Format(time.RFC3339))
		case end.Sub(now) < expiryNotice:
			warn("certificate %s: expires on %s", cert, end.Format(time.DateOnly))
		}
		if names := p.Names(); len(names) == 0 {
			warn("certificate %s: has no subject alternative names, so no client accepts it", cert)
		} else if st.shadowed(i, now) {
			warn("certificate %s: never used; those listed before it have all its names and the same kind of key", cert)
		}
		if p.Exposed {
			warn("key %s: every user of this machine can read it; use chmod 600", p.File.Key)
		}
	}
	for _, host := range s.hosts {
		from := orderedSource{s.account, host}.status()
		switch left := from.Expiry.Sub(now); {
		case from.Expiry.IsZero():
		case left < 0:
			warn("certificate for %s: expired on %s, and could not be renewed: %v", host, from.Expiry.Format(time.DateOnly), from.Err)
		case from.Err != nil && left < expiryNotice:
			warn("certificate for %s: expires on %s, and could not be renewed: %v", host, from.Expiry.Format(time.DateOnly), from.Err)
		}
	}
	if s.local != nil && s.local.Exposed() {
		warn("the local CA's key can be read by every user of this machine; use chmod 600 on the files beside %s", s.local.RootFile())
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
	return !slices.ContainsFunc(st.pairs[i].Names(), func(name string) bool { return !covered(name) })
}

// RootFile returns the PEM file of the local CA's root certificate, for a user
// to trust, or "" without self-signed names.
func (s *Store) RootFile() string {
	if s.local == nil {
		return ""
	}
	return s.local.RootFile()
}
