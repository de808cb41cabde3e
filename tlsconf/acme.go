package tlsconf

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACME says which certificates to order, and from whom.
type ACME struct {
	Directory string   // URL; "" means Let's Encrypt
	RootCA    string   // PEM file of the authorities that the directory's own certificate comes from; "" means the system's
	Email     string   // where the CA may write to; may be ""
	KeyID     string   // of an external account binding (RFC 8555, section 7.3.4); "" means none
	HMACKey   []byte   // of the same
	Cache     string   // directory for accounts, keys and certificates
	Hosts     []string // to order for unless Files or SelfSigned have them
	Listed    []string // to order for in any case

	Transport http.RoundTripper // nil means one of its own, with RootCA
}

// CanOrder tells why no certificate for host can be ordered, or nil. Of ACME's
// challenges TLS-ALPN-01 and HTTP-01 are answered, neither of which is for
// wildcards.
func CanOrder(host string) error {
	switch _, err := netip.ParseAddr(host); {
	case host == "":
		return errors.New("there is no host to order a certificate for")
	case err == nil:
		return errors.New("certificates for IP addresses are not ordered")
	case strings.HasPrefix(host, "*."):
		return errors.New("a wildcard certificate cannot be ordered, as that takes a challenge over DNS")
	case !strings.Contains(host, "."):
		return errors.New("no public CA has certificates for a name without a dot")
	}
	if _, err := parseName(host); err != nil {
		return err
	}
	return nil
}

// openAccount decides what to order, and makes the account for it if there is
// something to order and no such account yet.
func (s *Store) openAccount(o ACME, pairs []*pair) error {
	served := &state{byName: make(map[string][]int)}
	for _, p := range pairs {
		served.offer(p)
	}
	if s.issued != nil {
		served.offer(s.issued)
	}
	var mistakes []error
	for i, host := range slices.Concat(o.Listed, o.Hosts) {
		host = strings.ToLower(host)
		switch err := CanOrder(host); {
		case err != nil:
			mistakes = append(mistakes, fmt.Errorf("%s: %w", host, err))
		case slices.Contains(s.hosts, host):
		case i < len(o.Listed) || len(served.candidates(host)) == 0:
			s.hosts = append(s.hosts, host)
		}
	}
	if err := errors.Join(mistakes...); err != nil || len(s.hosts) == 0 {
		return err
	}
	key := accountKey{
		cmp.Or(o.Directory, autocert.DefaultACMEDirectory), o.Email, o.RootCA, o.KeyID, string(o.HMACKey), o.Cache,
	}
	a := s.accounts[key]
	if a == nil {
		var err error
		if a, err = newAccount(key, o.Transport, s.now); err != nil {
			return err
		}
		s.accounts[key] = a
	}
	s.account = a
	for _, host := range s.hosts { // so that the first handshakes find them
		if _, err := a.fromCache(context.Background(), host); err != nil {
			return err
		}
	}
	return nil
}

// accountKey is what makes an account another one.
type accountKey struct {
	directory, email, rootCA, keyID, hmacKey, cache string
}

// folder is the directory inside the cache: what one CA has issued must not be
// taken for another's.
func (k accountKey) folder() string {
	host := "acme"
	if u, err := url.Parse(k.directory); err == nil && u.Hostname() != "" {
		host = strings.ReplaceAll(u.Hostname(), ":", "-")
	}
	sum := sha256.Sum256([]byte(k.directory + "\n" + k.keyID))
	return fmt.Sprintf("%s-%x", host, sum[:4])
}

func newAccount(key accountKey, transport http.RoundTripper, now clock) (*account, error) {
	dir, err := openCache(filepath.Join(key.cache, key.folder()))
	if err != nil {
		return nil, err
	}
	if transport == nil {
		if transport, err = newTransport(key.rootCA); err != nil {
			return nil, err
		}
	}
	a := &account{
		cache: dir, now: now, turn: make(chan struct{}, 1), names: make(map[string]*name),
		client: &acme.Client{
			DirectoryURL: key.directory,
			HTTPClient:   &http.Client{Transport: transport, Timeout: requestTimeout},
			RetryBackoff: retryBackoff,
			UserAgent:    "sluice",
		},
		contract:   &acme.Account{},
		challenges: &autocert.Manager{Cache: challenges{dir}},
	}
	a.challenged = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{acme.ALPNProto},
		GetCertificate: a.challengeCertificate,
	}
	if key.email != "" {
		a.contract.Contact = []string{"mailto:" + key.email}
	}
	if key.keyID != "" {
		a.contract.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: key.keyID, Key: []byte(key.hmacKey)}
	}
	return a, nil
}

func newTransport(rootCA string) (http.RoundTripper, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: requestTimeout, IdleConnTimeout: requestTimeout,
	}
	if rootCA == "" {
		return t, nil
	}
	authorities, err := Authorities(rootCA)
	if err != nil {
		return nil, &FileError{Option: "tls.acme.root_ca", Err: fmt.Errorf("root_ca %w", err)}
	}
	roots := x509.NewCertPool()
	for _, a := range authorities {
		roots.AddCert(a)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots}
	return t, nil
}

// isChallenge reports whether a handshake is that of a CA that checks a
// TLS-ALPN-01 challenge (RFC 8737, section 3).
func isChallenge(h *tls.ClientHelloInfo) bool {
	return len(h.SupportedProtos) == 1 && h.SupportedProtos[0] == acme.ALPNProto
}

// challengeCertificate answers a TLS-ALPN-01 challenge. A stranger cannot make it
// look into the cache for other names.
func (a *account) challengeCertificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !a.wants(strings.TrimSuffix(strings.ToLower(h.ServerName), ".")) {
		return nil, fmt.Errorf("no certificate is ordered for %q", h.ServerName)
	}
	return a.challenges.GetCertificate(h)
}

// challengePath is where a CA looks for the answer to an HTTP-01 challenge (RFC
// 8555, section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// Challenge answers r if it is a CA's that checks an HTTP-01 challenge of this
// Store, and reports whether it was. It is to be asked first on plain
// listeners; challenges of others, such as a backend's, it leaves alone.
func (s *Store) Challenge(w http.ResponseWriter, r *http.Request) bool {
	token, ok := strings.CutPrefix(r.URL.Path, challengePath)
	if !ok || s.account == nil || r.Method != http.MethodGet || !isToken(token) {
		return false
	}
	if _, err := s.account.cache.Get(r.Context(), token+tokenSuffix); err != nil {
		return false
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	s.account.challenges.HTTPHandler(nil).ServeHTTP(w, r)
	return true
}

// isToken reports whether s can be an ACME token (RFC 8555, section 8.1), which
// are also no path to elsewhere.
func isToken(s string) bool {
	return s != "" && len(s) <= 200 &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
