// Package localca is a small certificate authority for names inside a network
// or a machine. A user trusts its root certificate once; the certificates for
// servers are made as they are needed and live in memory alone.
package localca

import (
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"time"
)

// leafLife is how long a server's certificate is valid. The certificate is never
// written down, so it can be short.
const leafLife = 7 * 24 * time.Hour

// Issuer holds one certificate of the local CA for all its names. It makes a new
// one during a handshake when at most a third of the life is left. It is safe
// for concurrent use.
type Issuer struct {
	ca    *authority
	names []string
	now   func() time.Time

	mu      sync.Mutex
	current *tls.Certificate // nil before the first handshake
}

// Open returns an issuer for names, which are DNS names in lower case,
// wildcards ("*.") among them, and IP addresses as [netip.Addr.String] writes
// them. The CA is kept in the directory "ca" of stateDir. Open creates it when
// there is none, or none that permits all the names.
func Open(stateDir string, names []string, now func() time.Time) (*Issuer, error) {
	ca, err := openAuthority(stateDir, names, now())
	if err != nil {
		return nil, err
	}
	return &Issuer{ca: ca, names: names, now: now}, nil
}

// Inherit takes over the certificate of old, which may be nil, when it is as
// good as a new one: of the same root and for the same names.
func (i *Issuer) Inherit(old *Issuer) {
	if old == nil || !old.ca.root.Equal(i.ca.root) || !slices.Equal(old.names, i.names) {
		return
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	i.current = old.current
}

// Certificate returns the certificate in use, or a new one when it is due.
func (i *Issuer) Certificate() (*tls.Certificate, error) {
	now := i.now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current != nil && i.current.Leaf.NotAfter.Sub(now) > leafLife/3 {
		return i.current, nil
	}
	c, err := i.ca.issue(i.names, now, leafLife)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	i.current = c
	return c, nil
}

// Names returns the names that the certificate is for.
func (i *Issuer) Names() []string { return i.names }

// RootFile returns the PEM file of the root certificate, for a user to trust.
func (i *Issuer) RootFile() string { return i.ca.file }

// Exposed reports whether every user of the machine can read the CA's key.
func (i *Issuer) Exposed() bool { return i.ca.exposed }
