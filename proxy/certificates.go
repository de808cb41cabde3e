package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sluice/config"
	"sluice/tlsconf"
)

// certificates returns the store that a configuration asks for.
func (b *builder) certificates(s *snapshot, c *config.TLS) *tlsconf.Store {
	o := tlsconf.Options{
		SelfSigned: c.SelfSigned, StateDir: b.state, MinVersion: tls.VersionTLS12,
		ACME: b.acme(c.ACME), Curves: curves(c.Curves), CipherSuites: cipherSuites(c.CipherSuites),
	}
	if c.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	for _, f := range c.Certificates {
		o.Files = append(o.Files, tlsconf.File{Cert: f.Cert, Key: f.Key, Option: fmt.Sprintf("tls.certificates[%d]", f.Index)})
	}
	if a := c.ClientAuth; a != nil {
		o.ClientAuth = &tlsconf.ClientAuth{Require: a.Mode == "require", CA: a.CA, CRL: a.CRL}
	}
	var old *tlsconf.Store
	if b.old != nil {
		old = b.old.store
	}
	store, err := tlsconf.New(o, old)
	if err == nil {
		if c.ACME != nil {
			b.unordered(s, store)
		}
		return store
	}
	for _, err := range split(err) {
		b.failTLS("tls", err)
	}
	return nil
}

// failTLS reports a mistake in what stands at at, more exactly if the mistake
// tells.
func (b *builder) failTLS(at string, err error) {
	if f, ok := errors.AsType[*tlsconf.FileError](err); ok {
		at = f.Option
	}
	b.fail(b.cfg.Position(at), at, err)
}

// acme returns what to order: certificates for the hosts of routes that can
// have one.
func (b *builder) acme(c *config.ACME) *tlsconf.ACME {
	if c == nil {
		return nil
	}
	a := &tlsconf.ACME{Directory: c.Directory, RootCA: c.RootCA, Email: c.Email, Cache: c.Cache, Listed: c.Hosts}
	if b.state != b.cfg.StateDir { // only a check
		a.Cache = filepath.Join(b.state, "acme")
	}
	if c.EAB != nil {
		a.KeyID, a.HMACKey = c.EAB.KeyID, c.EAB.Key
	}
	for _, r := range b.cfg.Routes {
		if tlsconf.CanOrder(r.Host) == nil && !slices.Contains(a.Hosts, r.Host) {
			a.Hosts = append(a.Hosts, r.Host)
		}
	}
	return a
}

// unordered names the routes that ACME cannot serve and that no other
// certificate is for. A route without a host takes what the others leave, so
// its clients may come by names that there are certificates for.
func (b *builder) unordered(s *snapshot, store *tlsconf.Store) {
	listed := func(host string) bool {
		return slices.ContainsFunc(b.cfg.TLS.ACME.Hosts, func(name string) bool {
			return strings.HasPrefix(host, "*.") && strings.HasSuffix(name, host[1:])
		})
	}
	for i := range b.cfg.Routes {
		r := &b.cfg.Routes[i]
		err := tlsconf.CanOrder(r.Host)
		switch {
		case err == nil || store.Serves(r.Host) || listed(r.Host):
		case r.Host == "" && len(store.Names()) > 0:
			s.notes = append(s.notes, fmt.Sprintf("%s (line %d): %v; over TLS it is reached by the names of other certificates only",
				place(r), r.Pos.Line, err))
		case r.Host == "":
			b.fail(r.Pos, place(r), fmt.Errorf("%w, and nothing else has a certificate: give the route a host, or list names in 'tls.acme.hosts'", err))
		default:
			b.fail(r.Pos, place(r)+".host", fmt.Errorf("%s: %w: list one that covers it in 'tls.certificates', or what it stands for in 'tls.acme.hosts'", r.Host, err))
		}
	}
}

// curves returns the key exchanges of these names, which are checked already.
func curves(names []string) []tls.CurveID {
	known := map[string]tls.CurveID{
		"X25519MLKEM768": tls.X25519MLKEM768, "SecP256r1MLKEM768": tls.SecP256r1MLKEM768, "SecP384r1MLKEM1024": tls.SecP384r1MLKEM1024,
		"X25519": tls.X25519, "P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521,
	}
	var list []tls.CurveID
	for _, name := range names {
		list = append(list, known[name])
	}
	return list
}

// cipherSuites returns the suites of these names.
func cipherSuites(names []string) []uint16 {
	var list []uint16
	for _, suite := range tls.CipherSuites() {
		if slices.Contains(names, suite.Name) {
			list = append(list, suite.ID)
		}
	}
	return list
}
