package tlsconf

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Names of what is in the cache beside certificates, as autocert has them.
const (
	accountEntry = "acme_account+key"
	alpnSuffix   = "+token"   // behind a host: the certificate that answers TLS-ALPN-01
	tokenSuffix  = "+http-01" // behind a token: the text that answers HTTP-01
)

// order has the CA issue a certificate for host, and returns it as the cache
// keeps it. A renewal keeps the key of the old certificate, which may be nil.
// Keys are ECDSA: a certificate for clients that know only RSA has to come from
// a file. What goes wrong at the CA, or on the way to it, is a [*failure].
func (a *account) order(ctx context.Context, host string, old *tls.Certificate) (entry []byte, err error) {
	var key *ecdsa.PrivateKey
	if old != nil {
		key, _ = old.PrivateKey.(*ecdsa.PrivateKey)
	}
	if key == nil {
		if key, err = newKey(); err != nil {
			return nil, err
		}
	}
	request := &x509.CertificateRequest{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}}
	csr, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		return nil, err
	}
	f := new(failure)
	if err := a.register(ctx); err != nil {
		return nil, f.add("", err)
	}
	// An order whose challenge failed cannot be used again: the next type of
	// challenge gets an order of its own.
	for types := []string{"tls-alpn-01", "http-01"}; ; {
		o, err := a.client.AuthorizeOrder(ctx, acme.DomainIDs(host))
		if err != nil {
			return nil, f.add("", err)
		}
		f.ordered = true
		failed, err := a.authorize(ctx, o, host, types)
		if err == nil {
			chain, _, err := a.client.CreateCertFromOrder(ctx, o, csr, true)
			if err != nil {
				return nil, f.add("", err)
			}
			return encodeEntry(key, chain)
		}
		a.giveUp(ctx, o)
		f.add(failed, err)
		types = types[slices.Index(types, failed)+1:]
		if failed == "" || len(types) == 0 {
			return nil, f
		}
	}
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// register makes the client ready for orders: with the account's key, and an
// account at the CA, which it keeps until the process ends.
func (a *account) register(ctx context.Context) (err error) {
	if a.client.KID != "" {
		return nil
	}
	if a.client.Key, err = a.accountKey(ctx); err != nil {
		return err
	}
	_, err = a.client.Register(ctx, a.contract, autocert.AcceptTOS)
	if errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil
	}
	return err
}

// accountKey returns the account's key from the cache, where it puts a new one
// if there is none.
func (a *account) accountKey(ctx context.Context) (*ecdsa.PrivateKey, error) {
	text, err := a.cache.Get(ctx, accountEntry)
	if err == nil {
		return parseKey(text)
	}
	if !errors.Is(err, autocert.ErrCacheMiss) {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	if text, err = encodeEntry(key, nil); err != nil {
		return nil, err
	}
	return key, a.cache.Put(ctx, accountEntry, text)
}

// authorize shows the CA that host leads here, with the first of the types of
// challenge that the CA offers. Failed is the type that did not show it, "" when
// it was not a challenge that failed.
func (a *account) authorize(ctx context.Context, o *acme.Order, host string, types []string) (failed string, err error) {
	if o.Status == acme.StatusReady {
		return "", nil // it was shown before
	}
	for _, uri := range o.AuthzURLs {
		z, err := a.client.GetAuthorization(ctx, uri)
		if err != nil {
			return "", err
		}
		if z.Status != acme.StatusPending {
			continue
		}
		c := choose(z.Challenges, types)
		if c == nil {
			return "", errors.New("the CA offers no challenge that can be answered")
		}
		if err := a.answer(ctx, c, uri, host); err != nil {
			return c.Type, err
		}
	}
	_, err = a.client.WaitOrder(ctx, o.URI)
	return "", err
}

// choose returns the challenge whose type is the first in types, or nil.
func choose(offered []*acme.Challenge, types []string) *acme.Challenge {
	for _, t := range types {
		if i := slices.IndexFunc(offered, func(c *acme.Challenge) bool { return c.Type == t }); i >= 0 {
			return offered[i]
		}
	}
	return nil
}

// answer answers the challenge c of an authorization, and waits until the CA has
// checked the answer. The answer is in the cache until then, so that any of the
// processes that share it can give it to the CA.
func (a *account) answer(ctx context.Context, c *acme.Challenge, authorization, host string) error {
	if !isToken(c.Token) { // it becomes the name of a file
		return fmt.Errorf("the CA's token %q is none", printable(c.Token))
	}
	entry, text := c.Token+tokenSuffix, []byte(nil)
	if c.Type == "http-01" {
		s, err := a.client.HTTP01ChallengeResponse(c.Token)
		if err != nil {
			return err
		}
		text = []byte(s)
	} else {
		key, err := newKey()
		if err != nil {
			return err
		}
		cert, err := a.client.TLSALPN01ChallengeCert(c.Token, host, acme.WithKey(key))
		if err != nil {
			return err
		}
		entry = host + alpnSuffix
		if text, err = encodeEntry(key, cert.Certificate); err != nil {
			return err
		}
	}
	if err := a.cache.Put(ctx, entry, text); err != nil {
		return err
	}
	defer func() { _ = a.cache.Delete(ctx, entry) }() // what stays gives nothing away
	if _, err := a.client.Accept(ctx, c); err != nil {
		return err
	}
	_, err := a.client.WaitAuthorization(ctx, authorization)
	return err
}

// giveUp tells the CA that the authorizations of a failed order are not needed:
// it limits how many may be pending.
func (a *account) giveUp(ctx context.Context, o *acme.Order) {
	for _, url := range o.AuthzURLs {
		if z, err := a.client.GetAuthorization(ctx, url); err == nil && z.Status == acme.StatusPending {
			_ = a.client.RevokeAuthorization(ctx, url) // they expire by themselves
		}
	}
}
