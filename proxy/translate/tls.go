package translate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sluice/config"
	"sluice/tlsconf"
	"sluice/tlsconf/certfile"
)

// TLS returns the options of the store of certificates. State is the directory for what
// outlives the process.
func TLS(cfg *config.Config, state string) tlsconf.Options {
	c := cfg.TLS
	o := tlsconf.Options{
		SelfSigned: c.SelfSigned, StateDir: state, MinVersion: tls.VersionTLS12,
		ACME: acme(cfg, state), Curves: curves(c.Curves), CipherSuites: cipherSuites(c.CipherSuites),
	}
	if c.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	for _, f := range c.Certificates {
		o.Files = append(o.Files, certfile.File{Cert: f.Cert, Key: f.Key, Option: fmt.Sprintf("tls.certificates[%d]", f.Index)})
	}
	if a := c.ClientAuth; a != nil {
		o.ClientAuth = &tlsconf.ClientAuth{Require: a.Mode == "require", CA: a.CA, CRL: a.CRL}
	}
	return o
}

// TLSMistakes returns the mistakes that were joined to err, each with its path.
func TLSMistakes(err error) (all []Mistake) {
	for _, err := range split(err) {
		all = append(all, tlsMistake("tls", err))
	}
	return all
}

// tlsMistake returns a mistake at a path, or at a more exact one if err has it.
func tlsMistake(path string, err error) Mistake {
	if f, ok := errors.AsType[*certfile.Error](err); ok {
		path = f.Option
	}
	return Mistake{path, err}
}

// acme returns what to order: certificates for the hosts of routes that can have one.
func acme(cfg *config.Config, state string) *tlsconf.ACME {
	c := cfg.TLS.ACME
	if c == nil {
		return nil
	}
	a := &tlsconf.ACME{Directory: c.Directory, RootCA: c.RootCA, Email: c.Email, Cache: c.Cache, Listed: c.Hosts}
	if state != cfg.StateDir { // this is only a check
		a.Cache = filepath.Join(state, "acme")
	}
	if c.EAB != nil {
		a.KeyID, a.HMACKey = c.EAB.KeyID, c.EAB.Key
	}
	for _, r := range cfg.Routes {
		for _, host := range r.Hosts {
			if tlsconf.CanOrder(host) == nil && !slices.Contains(a.Hosts, host) {
				a.Hosts = append(a.Hosts, host)
			}
		}
	}
	return a
}

// OrderMistakes returns the routes that ACME cannot serve and that no other certificate is for, and
// what is to be said of others. A route without a host matches what other routes do not, so its clients
// may use names that there are certificates for.
func OrderMistakes(cfg *config.Config, store *tlsconf.Store) (mistakes []Mistake, notes []string) {
	listed := func(host string) bool {
		return slices.ContainsFunc(cfg.TLS.ACME.Hosts, func(name string) bool {
			return strings.HasPrefix(host, "*.") && strings.HasSuffix(name, host[1:])
		})
	}
	for i := range cfg.Routes {
		c := &cfg.Routes[i]
		err := tlsconf.CanOrder("")
		switch {
		case len(c.Hosts) > 0:
		case len(store.Names()) > 0:
			notes = append(notes, fmt.Sprintf("%s (%s): %v; over TLS it is reached by the names of other certificates only", RoutePath(c), cfg.Line(c.Pos), err))
		default:
			mistakes = append(mistakes, Mistake{RoutePath(c), fmt.Errorf("%w, and nothing else has a certificate: give the route a host, or list names in 'tls.acme.hosts'", err)})
		}
		for n, host := range c.Hosts {
			if err := tlsconf.CanOrder(host); err != nil && !store.Serves(host) && !listed(host) {
				mistakes = append(mistakes, Mistake{hostPath(c, n),
					fmt.Errorf("%s: %w: list one that covers it in 'tls.certificates', or what it stands for in 'tls.acme.hosts'", host, err)})
			}
		}
	}
	return mistakes, notes
}

// curves returns the key exchanges of these names, which were checked before.
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
