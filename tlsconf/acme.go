package tlsconf

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"sluice/tlsconf/acme"
	"sluice/tlsconf/certfile"
)

// ACME says which certificates to order, and from which CA.
type ACME struct {
	Directory string   // URL; "" means Let's Encrypt
	RootCA    string   // PEM file of the authorities that the directory's own certificate comes from; "" means the system's
	Email     string   // where the CA may write to; may be ""
	KeyID     string   // of an external account binding (RFC 8555, section 7.3.4); "" means none
	HMACKey   []byte   // the key of the same binding
	Cache     string   // directory for accounts, keys and certificates
	Hosts     []string // to order for, unless Files or SelfSigned have them
	Listed    []string // to order for in any case

	Transport http.RoundTripper // nil means one of its own, with RootCA
}

// CanOrder returns why no certificate for host can be ordered, or nil. Of ACME's
// challenges TLS-ALPN-01 and HTTP-01 are answered; neither is for wildcards.
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
	_, err := parseName(host)
	return err
}

// openAccount decides which hosts to order for. If there are any, it opens the
// account, unless an older Store had it already.
func (s *Store) openAccount(o ACME, pairs []*certfile.Pair) error {
	served := &state{byName: make(map[string][]int)}
	for _, p := range pairs {
		served.add(fileSource{p})
	}
	if s.local != nil {
		served.add(localSource{s.local})
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
	c := acme.Config{
		Directory: o.Directory, Email: o.Email, RootCA: o.RootCA, KeyID: o.KeyID, HMACKey: string(o.HMACKey), Cache: o.Cache,
	}
	s.account = s.accounts[c]
	if s.account == nil {
		var err error
		if s.account, err = acme.New(c, o.Transport, s.now); err != nil {
			return err
		}
		s.accounts[c] = s.account
	}
	return s.account.Load(s.hosts)
}

// Challenge answers r if it is the request of a CA that checks an HTTP-01
// challenge of this Store, and reports whether it has answered. Plain listeners
// must ask it first. It leaves challenges of others, such as a backend's, alone.
func (s *Store) Challenge(w http.ResponseWriter, r *http.Request) bool {
	return s.account != nil && s.account.AnswerHTTP(w, r)
}
