package tlsconf

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"time"

	"sluice/tlsconf/certfile"
)

// ClientAuth says which certificates clients have to show.
type ClientAuth struct {
	Require bool   // else a client may show none; one that it shows is verified
	CA      string // PEM file of the authorities that issue them
	CRL     string // PEM or DER file of their revocation lists; "" means none
}

// clientAuth is what the files of a ClientAuth hold.
type clientAuth struct {
	options ClientAuth
	pool    *x509.CertPool // of roots
	roots   []*x509.Certificate
	lists   []*x509.RevocationList
	revoked map[string]bool // by revocationKey
}

func loadClientAuth(o ClientAuth) (*clientAuth, error) {
	c := &clientAuth{options: o, pool: x509.NewCertPool()}
	var err error
	if c.roots, err = certfile.Authorities(o.CA); err != nil {
		return nil, &certfile.Error{Option: "tls.client_auth.ca", Err: fmt.Errorf("client authorities %w", err)}
	}
	for _, authority := range c.roots {
		c.pool.AddCert(authority)
	}
	if o.CRL == "" {
		return c, nil
	}
	if c.lists, err = readRevoked(o.CRL, c.roots); err != nil {
		return nil, &certfile.Error{Option: "tls.client_auth.crl", Err: fmt.Errorf("revocation list %w", err)}
	}
	c.revoked = make(map[string]bool)
	for _, list := range c.lists {
		for _, entry := range list.RevokedCertificateEntries {
			c.revoked[revocationKey(list.RawIssuer, entry.SerialNumber)] = true
		}
	}
	return c, nil
}

// same reports whether c and o hold the same authorities and lists.
func (c *clientAuth) same(o *clientAuth) bool {
	return slices.EqualFunc(c.roots, o.roots, (*x509.Certificate).Equal) &&
		slices.EqualFunc(c.lists, o.lists, func(a, b *x509.RevocationList) bool { return bytes.Equal(a.Raw, b.Raw) })
}

// readRevoked reads the lists in a file. Each must be signed by one of the
// authorities.
func readRevoked(file string, authorities []*x509.Certificate) ([]*x509.RevocationList, error) {
	lists, err := certfile.RevocationLists(file)
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		signed := slices.ContainsFunc(authorities, func(a *x509.Certificate) bool { return list.CheckSignatureFrom(a) == nil })
		if !signed {
			return nil, fmt.Errorf("%s: the list of %s is signed by none of the client authorities", file, list.Issuer)
		}
	}
	return lists, nil
}

// apply makes t ask clients for certificates.
func (c *clientAuth) apply(t *tls.Config) {
	t.ClientCAs = c.pool
	t.ClientAuth = tls.VerifyClientCertIfGiven
	if c.options.Require {
		t.ClientAuth = tls.RequireAndVerifyClientCert
	}
	// Unlike VerifyPeerCertificate this is called for resumed sessions too.
	t.VerifyConnection = c.verify
}

// verify refuses a client when each of its chains is revoked or does not lead to
// an authority any more. A resumed session may have the chains of an older
// configuration, so they are built again.
func (c *clientAuth) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return nil // crypto/tls has checked that there need not be one
	}
	chains := s.VerifiedChains
	if s.DidResume {
		intermediates := x509.NewCertPool()
		for _, cert := range s.PeerCertificates[1:] {
			intermediates.AddCert(cert)
		}
		var err error
		chains, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{
			Roots: c.pool, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			return fmt.Errorf("client certificate: %w", err)
		}
	}
	for _, chain := range chains {
		if !c.isRevoked(chain) {
			return nil
		}
	}
	return fmt.Errorf("client certificate of %s: revoked", s.PeerCertificates[0].Subject)
}

// isRevoked reports whether a certificate of chain is on the list of its issuer.
func (c *clientAuth) isRevoked(chain []*x509.Certificate) bool {
	return slices.ContainsFunc(chain, func(cert *x509.Certificate) bool {
		return c.revoked[revocationKey(cert.RawIssuer, cert.SerialNumber)]
	})
}

// revocationKey identifies a certificate (RFC 5280, section 4.1.2.2).
func revocationKey(issuer []byte, serial *big.Int) string {
	return string(issuer) + " " + serial.String()
}

// warnings returns a sentence for each list past its time. Such a list is still
// used: no list at all would know less, and to refuse every client would be
// worse.
func (c *clientAuth) warnings(now time.Time) []string {
	var list []string
	for _, l := range c.lists {
		if !l.NextUpdate.IsZero() && now.After(l.NextUpdate) {
			list = append(list, fmt.Sprintf("revocation list %s: should have been replaced by %s; it is still used",
				c.options.CRL, l.NextUpdate.Format(time.DateOnly)))
		}
	}
	return list
}
