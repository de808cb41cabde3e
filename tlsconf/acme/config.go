package acme

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"sluice/tlsconf/certfile"
)

// Config says which account to use at which CA. Equal values mean the same
// account, and only one [Account] of a process may have it.
type Config struct {
	Directory string // URL; "" means Let's Encrypt
	Email     string // where the CA may write to; may be ""
	RootCA    string // PEM file of the authorities that the directory's own certificate comes from; "" means the system's
	KeyID     string // of an external account binding (RFC 8555, section 7.3.4); "" means none
	HMACKey   string // the bytes of the key of the same binding
	Cache     string // directory for accounts, keys and certificates
}

// New returns the account for c, which it sets up at the CA when the first order
// is made. It creates the directory for the cache. A nil transport means one of
// its own, with RootCA; a nil now means [time.Now]. It is idle until
// [Account.Run].
func New(c Config, transport http.RoundTripper, now func() time.Time) (*Account, error) {
	c.Directory = cmp.Or(c.Directory, autocert.DefaultACMEDirectory)
	dir, err := openCache(filepath.Join(c.Cache, c.folder()))
	if err != nil {
		return nil, err
	}
	if transport == nil {
		if transport, err = newTransport(c.RootCA); err != nil {
			return nil, err
		}
	}
	if now == nil {
		now = time.Now
	}
	a := &Account{
		cache: dir, now: now, turn: make(chan struct{}, 1), status: make(map[string]*Status),
		client: &acme.Client{
			DirectoryURL: c.Directory,
			HTTPClient:   &http.Client{Transport: transport, Timeout: requestTimeout},
			RetryBackoff: retryBackoff,
			UserAgent:    "sluice",
		},
		registration: &acme.Account{},
		challenges:   &autocert.Manager{Cache: challengeCache{dir}},
	}
	if c.Email != "" {
		a.registration.Contact = []string{"mailto:" + c.Email}
	}
	if c.KeyID != "" {
		a.registration.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: c.KeyID, Key: []byte(c.HMACKey)}
	}
	a.challengeConfig = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{acme.ALPNProto},
		GetCertificate: a.challengeCertificate,
	}
	return a, nil
}

// folder returns the name of the account's directory inside the cache. What one
// CA has issued must not be taken for a certificate of another one, so each has
// a directory of its own.
func (c Config) folder() string {
	host := "acme"
	if u, err := url.Parse(c.Directory); err == nil && u.Hostname() != "" {
		host = strings.ReplaceAll(u.Hostname(), ":", "-")
	}
	sum := sha256.Sum256([]byte(c.Directory + "\n" + c.KeyID))
	return fmt.Sprintf("%s-%x", host, sum[:4])
}

func newTransport(rootCA string) (http.RoundTripper, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: requestTimeout, IdleConnTimeout: requestTimeout,
	}
	if rootCA == "" {
		return t, nil
	}
	authorities, err := certfile.Authorities(rootCA)
	if err != nil {
		return nil, &certfile.Error{Option: "tls.acme.root_ca", Err: fmt.Errorf("root_ca %w", err)}
	}
	roots := x509.NewCertPool()
	for _, a := range authorities {
		roots.AddCert(a)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots}
	return t, nil
}
