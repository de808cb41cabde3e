package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"sluice/tlsconf/acme"
	"sluice/tlsconf/certfile"
	"sluice/tlsconf/localca"
)

// source is where the certificate for some names comes from.
type source interface {
	certificate() (*tls.Certificate, error)
	valid(now time.Time) bool // there is a certificate, it has begun and not expired
	names() []string
	status() Source
}

// isValid reports whether now is within the time of a certificate.
func isValid(leaf *x509.Certificate, now time.Time) bool {
	return !now.Before(leaf.NotBefore) && !now.After(leaf.NotAfter)
}

// fileSource is a certificate from files.
type fileSource struct{ pair *certfile.Pair }

func (f fileSource) certificate() (*tls.Certificate, error) { return &f.pair.Certificate, nil }
func (f fileSource) valid(now time.Time) bool               { return isValid(f.pair.Leaf, now) }
func (f fileSource) names() []string                        { return f.pair.Names() }
func (f fileSource) status() Source {
	return Source{Names: f.names(), From: f.pair.File.Cert, Expiry: f.pair.Leaf.NotAfter}
}

// orderedSource is the certificate that an ACME account orders for one host.
type orderedSource struct {
	account *acme.Account
	host    string
}

func (o orderedSource) certificate() (*tls.Certificate, error) {
	switch s := o.account.Status(o.host); {
	case s.Certificate != nil:
		return s.Certificate, nil
	case s.Err != nil:
		return nil, fmt.Errorf("no certificate for %s: %w", o.host, s.Err)
	}
	return nil, fmt.Errorf("no certificate for %s yet", o.host)
}

func (o orderedSource) valid(now time.Time) bool {
	c := o.account.Status(o.host).Certificate
	return c != nil && isValid(c.Leaf, now)
}

func (o orderedSource) names() []string { return []string{o.host} }

func (o orderedSource) status() Source {
	known := o.account.Status(o.host)
	s := Source{Names: o.names(), From: "acme", Err: known.Err}
	if known.Certificate != nil {
		s.Expiry = known.Certificate.Leaf.NotAfter
	}
	if known.Err != nil {
		s.Next = known.Next
	}
	return s
}

// localSource is the certificate of the local CA. It is always valid: a new one
// is made when it is needed.
type localSource struct{ issuer *localca.Issuer }

func (l localSource) certificate() (*tls.Certificate, error) { return l.issuer.Certificate() }
func (l localSource) valid(time.Time) bool                   { return true }
func (l localSource) names() []string                        { return l.issuer.Names() }
func (l localSource) status() Source                         { return Source{Names: l.names(), From: "local CA"} }
