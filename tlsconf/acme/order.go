package acme

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

// order orders a certificate for host (RFC 8555, section 7.4), and returns it
// with its entry for the cache. A renewal keeps the key of the old certificate,
// which may be nil. Keys are ECDSA: a certificate for clients that know only RSA
// has to come from a file. What goes wrong at the CA, or on the way to it, is a
// [*failure].
func (a *Account) order(ctx context.Context, host string, old *tls.Certificate) (c *tls.Certificate, entry []byte, err error) {
	var key *ecdsa.PrivateKey
	if old != nil {
		key, _ = old.PrivateKey.(*ecdsa.PrivateKey)
	}
	if key == nil {
		if key, err = newKey(); err != nil {
			return nil, nil, err
		}
	}
	request := &x509.CertificateRequest{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}}
	csr, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		return nil, nil, err
	}
	f := new(failure)
	if err := a.register(ctx); err != nil {
		return nil, nil, f.add("", err)
	}
	o := a.openOrder(ctx, host, f)
	if o == nil {
		return nil, nil, f
	}
	chain, _, err := a.client.CreateCertFromOrder(ctx, o, csr, true)
	if err != nil {
		return nil, nil, f.add("", err)
	}
	if entry, err = encodeEntry(key, chain); err != nil {
		return nil, nil, err
	}
	if c, err = a.parse(host, entry); err != nil {
		return nil, nil, f.add("", fmt.Errorf("what the CA issued cannot be used: %w", err))
	}
	return c, entry, nil
}

// openOrder returns an order that the CA is ready to issue the certificate of, or
// nil with the reasons added to f. An order whose challenge failed cannot be used
// again, so the next type of challenge gets an order of its own.
func (a *Account) openOrder(ctx context.Context, host string, f *failure) *acme.Order {
	for types := []string{"tls-alpn-01", "http-01"}; len(types) > 0; {
		o, err := a.client.AuthorizeOrder(ctx, acme.DomainIDs(host))
		if err != nil {
			f.add("", err)
			return nil
		}
		f.ordered = true
		failed, err := a.authorize(ctx, o, host, types)
		if err == nil {
			return o
		}
		a.giveUp(ctx, o)
		f.add(failed, err)
		if failed == "" {
			return nil
		}
		types = types[slices.Index(types, failed)+1:]
	}
	return nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// register makes the client ready for orders: it needs the account's key, and
// an account at the CA (RFC 8555, section 7.3).
func (a *Account) register(ctx context.Context) (err error) {
	if a.client.KID != "" {
		return nil
	}
	if a.client.Key, err = a.accountKey(ctx); err != nil {
		return err
	}
	_, err = a.client.Register(ctx, a.registration, autocert.AcceptTOS)
	if errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil
	}
	return err
}

// accountKey returns the account's key from the cache. It puts a new one there
// when there is none.
func (a *Account) accountKey(ctx context.Context) (*ecdsa.PrivateKey, error) {
	text, err := a.cache.Get(ctx, accountEntry)
	if err == nil {
		return parseAccountKey(text)
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

// authorize proves to the CA that host leads here (RFC 8555, section 7.5), with
// the first type of challenge in types that the CA offers. On an error, failed is
// the type of the challenge that failed, or "" when something else did.
func (a *Account) authorize(ctx context.Context, o *acme.Order, host string, types []string) (failed string, err error) {
	if o.Status == acme.StatusReady {
		return "", nil // proved before
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

// answer answers the challenge c of an authorization (its URL), and waits until
// the CA has checked the answer. The answer is in the cache until then, so that
// each of the processes that share it can give it to the CA.
func (a *Account) answer(ctx context.Context, c *acme.Challenge, authorization, host string) error {
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
	defer func() { _ = a.cache.Delete(ctx, entry) }() // an answer that stays there is harmless
	if _, err := a.client.Accept(ctx, c); err != nil {
		return err
	}
	_, err := a.client.WaitAuthorization(ctx, authorization)
	return err
}

// giveUp tells the CA that the authorizations of a failed order are not needed
// any more: it limits how many may be pending.
func (a *Account) giveUp(ctx context.Context, o *acme.Order) {
	for _, url := range o.AuthzURLs {
		if z, err := a.client.GetAuthorization(ctx, url); err == nil && z.Status == acme.StatusPending {
			_ = a.client.RevokeAuthorization(ctx, url) // they expire by themselves
		}
	}
}
