// Package tlsconf decides which certificate a client gets, and which TLS is
// spoken. Certificates come from files, from an ACME CA such as Let's Encrypt,
// and from a small local CA of its own. It knows no routes, and of HTTP only
// the answer to an ACME challenge.
package tlsconf

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"sluice/tlsconf/acme"
	"sluice/tlsconf/certfile"
	"sluice/tlsconf/localca"
)

// Options say where certificates come from, and what TLS may do.
type Options struct {
	Files      []certfile.File // in order of preference; the first is also the fallback
	ACME       *ACME           // nil means none
	SelfSigned []string        // DNS names, "*." wildcards and IP addresses for the local CA
	StateDir   string          // holds the local CA and the session ticket keys; "" means that the keys live in memory

	MinVersion   uint16        // 0 means TLS 1.2
	Curves       []tls.CurveID // nil means the defaults of crypto/tls
	CipherSuites []uint16      // of TLS 1.2; nil means the defaults of crypto/tls
	ClientAuth   *ClientAuth   // nil means that clients are not asked for certificates

	Now func() time.Time // nil means time.Now

	// Handshake is told of each handshake that has come so far that only the Finished message of
	// the client is missing (RFC 8446, section 4.4.4), except for those of an ACME challenge. It
	// may be nil, and must not block.
	Handshake func(tls.ConnectionState)
}

// Store answers handshakes. It is safe for concurrent use. Each configuration
// has a Store of its own; [Store.Run] reads files again that change while it is
// in use.
type Store struct {
	options Options
	now     func() time.Time
	local   *localca.Issuer // nil without self-signed names
	hosts   []string        // to order certificates for
	account *acme.Account   // nil without hosts

	// All accounts that any Store before this one had. One that is not used any
	// more keeps its certificates, and what failed, in case it is used again.
	accounts map[acme.Config]*acme.Account

	mu      sync.Mutex // held to change what follows
	tickets *tickets
	current atomic.Pointer[state]
}

// New loads every certificate and opens the local CA, which it creates when
// SelfSigned names something and there is none. It orders no certificate:
// [Store.Run] does. It reports every mistake at once, joined; one in a file that
// an option names is a [*certfile.Error].
//
// Old may be nil. The new Store takes over from it what outlives a
// configuration: session ticket keys, ACME accounts, and the certificate of the
// local CA when its names are still the same.
func New(o Options, old *Store) (*Store, error) {
	s := &Store{options: o, now: o.Now, accounts: make(map[acme.Config]*acme.Account)}
	if s.now == nil {
		s.now = time.Now
	}
	if old != nil {
		maps.Copy(s.accounts, old.accounts)
	}
	var mistakes []error
	pairs := make([]*certfile.Pair, 0, len(o.Files))
	for _, f := range o.Files {
		p, wrong := certfile.LoadPair(f)
		mistakes = append(mistakes, wrong...)
		pairs = append(pairs, p)
	}
	if len(o.SelfSigned) > 0 {
		if err := s.openLocalCA(o, old); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	var client *clientAuth
	if o.ClientAuth != nil {
		var err error
		if client, err = loadClientAuth(*o.ClientAuth); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	if o.ACME != nil {
		if err := s.openAccount(*o.ACME, pairs); err != nil {
			return nil, fmt.Errorf("acme: %w", err)
		}
	}
	s.takeTickets(old)
	s.set(pairs, client)
	return s, nil
}

// openLocalCA opens the source of self-signed certificates.
func (s *Store) openLocalCA(o Options, old *Store) error {
	names, err := parseNames(o.SelfSigned)
	if err != nil {
		return err
	}
	if s.local, err = localca.Open(o.StateDir, names, s.now); err != nil {
		return &certfile.Error{Option: "tls.self_signed", Err: fmt.Errorf("local CA: %w", err)}
	}
	if old != nil {
		s.local.Inherit(old.local)
	}
	return nil
}

// takeTickets takes the session ticket keys from old or from the state
// directory. Without either there are new ones: old tickets then cost a full
// handshake, and nothing else.
func (s *Store) takeTickets(old *Store) {
	if old != nil && old.options.StateDir == s.options.StateDir {
		old.mu.Lock()
		defer old.mu.Unlock()
		keys := *old.tickets
		s.tickets = &keys
		return
	}
	s.tickets = openTickets(s.options.StateDir, s.now())
}

// set replaces the state. The caller holds s.mu, or is the only one that has s.
func (s *Store) set(pairs []*certfile.Pair, client *clientAuth) {
	st := &state{pairs: pairs, client: client, byName: make(map[string][]int)}
	for _, p := range pairs {
		st.add(fileSource{p})
	}
	for _, host := range s.hosts {
		st.add(orderedSource{s.account, host})
	}
	if s.local != nil {
		st.add(localSource{s.local})
	}
	st.http1, st.http2 = s.config(client, "http/1.1"), s.config(client, "h2", "http/1.1")
	s.current.Store(st)
}

// config returns a server configuration with these protocols. What it does not
// set has the default of crypto/tls.
func (s *Store) config(client *clientAuth, protocols ...string) *tls.Config {
	c := &tls.Config{
		MinVersion:       cmp.Or(s.options.MinVersion, tls.VersionTLS12),
		CurvePreferences: s.options.Curves,
		CipherSuites:     s.options.CipherSuites,
		NextProtos:       protocols,
		GetCertificate:   s.pick,
	}
	if client != nil {
		client.apply(c)
	}
	if told := s.options.Handshake; told != nil {
		verify := c.VerifyConnection
		c.VerifyConnection = func(state tls.ConnectionState) error {
			if verify != nil {
				if err := verify(state); err != nil {
					return err
				}
			}
			told(state)
			return nil
		}
	}
	c.SetSessionTicketKeys(s.tickets.secrets())
	return c
}

// ConfigFor returns the server configuration for a handshake, as
// [tls.Config.GetConfigForClient] asks for it. It takes its certificates from s,
// and offers h2 before http/1.1 when http2 is set. It is shared: the caller must
// not change it. Another one may replace it at any time, so call ConfigFor for
// each handshake.
//
// The CA that checks a TLS-ALPN-01 challenge (RFC 8737) gets a configuration of
// its own, which asks for no client certificate.
func (s *Store) ConfigFor(h *tls.ClientHelloInfo, http2 bool) *tls.Config {
	if s.account != nil && acme.IsChallenge(h) {
		return s.account.ChallengeConfig()
	}
	st := s.current.Load()
	if http2 {
		return st.http2
	}
	return st.http1
}
