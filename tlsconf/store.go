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
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say where certificates come from, and what TLS may do.
type Options struct {
	Files      []File   // in order of preference; the first is also the fallback
	ACME       *ACME    // nil means none
	SelfSigned []string // DNS names, "*." wildcards and IP addresses for the local CA
	StateDir   string   // holds the local CA and the session ticket keys; "" means that the keys live in memory

	MinVersion   uint16        // 0 means TLS 1.2
	Curves       []tls.CurveID // nil means the defaults of crypto/tls
	CipherSuites []uint16      // of TLS 1.2; nil means the defaults of crypto/tls
	ClientAuth   *ClientAuth   // nil means that clients are not asked for certificates

	Now func() time.Time // nil means time.Now
}

// Store answers handshakes. It is safe for concurrent use. A reload makes a new
// one; within its life files that change are read again by [Store.Run].
type Store struct {
	options Options
	now     func() time.Time
	issued  *issuer // nil without self-signed names
	hosts   []string
	account *account // nil without hosts

	accounts map[accountKey]*account // all there ever were: a Manager cannot be stopped

	mu      sync.Mutex // held to change what follows
	tickets *tickets
	current atomic.Pointer[state]
}

// state is what a handshake needs. It never changes.
type state struct {
	pairs   []*pair // as in Options.Files
	client  *clientAuth
	sources []source         // in order of preference; the first is the fallback
	byName  map[string][]int // into sources, in order of preference
	http1   *tls.Config
	http2   *tls.Config
}

// source is where the certificate for some names comes from.
type source interface {
	certificate() (*tls.Certificate, error)
	valid(now time.Time) bool // there is a certificate, it has begun and not expired
	names() []string
	status() Source
}

// New loads every certificate and opens the local CA, which it creates when
// SelfSigned names something and there is none. It orders nothing: that is for
// [Store.Run]. It reports every mistake at once, joined, those of Files as
// [*FileError], like those of other files that an option names.
//
// Old may be nil. What lives longer than a configuration is taken over from it:
// session ticket keys, ACME accounts, and the unexpired self-signed certificate
// when its names are still the same.
func New(o Options, old *Store) (*Store, error) {
	s := &Store{options: o, now: o.Now, accounts: make(map[accountKey]*account)}
	if s.now == nil {
		s.now = time.Now
	}
	if old != nil {
		maps.Copy(s.accounts, old.accounts)
	}
	var mistakes []error
	pairs := make([]*pair, 0, len(o.Files))
	for _, f := range o.Files {
		p, wrong := load(f)
		mistakes = append(mistakes, wrong...)
		pairs = append(pairs, p)
	}
	if len(o.SelfSigned) > 0 {
		if err := s.openIssuer(o, old); err != nil {
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
	s.openTickets(old)
	s.set(pairs, client)
	return s, nil
}

// openIssuer makes the self-signed source.
func (s *Store) openIssuer(o Options, old *Store) error {
	names, err := parseNames(o.SelfSigned)
	if err != nil {
		return err
	}
	ca, err := openAuthority(o.StateDir, names, s.now())
	if err != nil {
		return &FileError{Option: "tls.self_signed", Err: fmt.Errorf("local CA: %w", err)}
	}
	s.issued = &issuer{ca: ca, list: names, now: s.now}
	if old != nil && old.issued.serves(ca, names) {
		s.issued.current = old.issued.certificateInUse()
	}
	return nil
}

// openTickets takes the keys from old or from the state directory. Without
// either there are new ones: nothing but a full handshake depends on them.
func (s *Store) openTickets(old *Store) {
	if old != nil && old.options.StateDir == s.options.StateDir {
		old.mu.Lock()
		defer old.mu.Unlock()
		keys := *old.tickets
		s.tickets = &keys
		return
	}
	s.tickets = openTickets(s.options.StateDir, s.now())
}

// set makes a state of what can change. The caller holds s.mu, or is alone.
func (s *Store) set(pairs []*pair, client *clientAuth) {
	st := &state{pairs: pairs, client: client, byName: make(map[string][]int)}
	for _, p := range pairs {
		st.offer(p)
	}
	for _, host := range s.hosts {
		st.offer(&ordered{s.account, host})
	}
	if s.issued != nil {
		st.offer(s.issued)
	}
	st.http1, st.http2 = s.config(client, "http/1.1"), s.config(client, "h2", "http/1.1")
	s.current.Store(st)
}

// offer adds a source.
func (st *state) offer(from source) {
	for _, name := range from.names() {
		st.byName[name] = append(st.byName[name], len(st.sources))
	}
	st.sources = append(st.sources, from)
}

// candidates returns the sources for a server name: those for exactly this
// name, then those for the wildcard above it.
func (st *state) candidates(name string) []int {
	exact := st.byName[name]
	_, parent, ok := strings.Cut(name, ".")
	if !ok {
		return exact
	}
	above := st.byName["*."+parent]
	switch {
	case len(above) == 0:
		return exact
	case len(exact) == 0:
		return above
	}
	return slices.Concat(exact, above)
}

// served returns the candidates for a server name whose certificates are valid
// now, or all of them when none is. For a name that no source has it is the
// first source.
func (st *state) served(name string, now time.Time) []int {
	all := st.candidates(strings.TrimSuffix(strings.ToLower(name), "."))
	if len(all) == 0 && len(st.sources) > 0 {
		return []int{0}
	}
	invalid := func(i int) bool { return !st.sources[i].valid(now) }
	if len(all) < 2 || !slices.ContainsFunc(all, invalid) {
		return all
	}
	if valid := slices.DeleteFunc(slices.Clone(all), invalid); len(valid) > 0 {
		return valid
	}
	return all
}

// Certificate picks the certificate for a handshake, as
// [tls.Config.GetCertificate] asks for it: one for exactly this server name,
// else one for the wildcard above it (a wildcard stands for one label, RFC
// 9525, section 6.3), else the first of all. Where several carry the name,
// those that are valid now go before all others, and of them the first that is
// there and whose key the client can verify wins. A client that sends no server
// name, as one that connects to an IP address does, gets the certificate for
// the address it connected to.
//
// It never waits for a CA: a name whose certificate has not arrived yet fails.
func (s *Store) Certificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := h.ServerName
	if name == "" {
		name = localAddress(h.Conn)
	}
	st := s.current.Load()
	candidates := st.served(name, s.now())
	if len(candidates) == 0 {
		return nil, errors.New("no certificate is configured")
	}
	var best *tls.Certificate
	var failed error
	for _, i := range candidates {
		c, err := st.sources[i].certificate()
		switch {
		case err != nil:
			failed = cmp.Or(failed, err)
		case len(candidates) == 1 || h.SupportsCertificate(c) == nil:
			return c, nil
		case best == nil:
			best = c // the handshake's own error says what did not fit
		}
	}
	if best != nil {
		return best, nil
	}
	return nil, failed
}

// Covers reports whether a connection that asked for serverName got a
// certificate that is good for host too, an exact name or IP address. A client
// may send requests for both over it (RFC 9113, section 9.1.1).
func (s *Store) Covers(serverName, host string) bool {
	st := s.current.Load()
	candidates := st.served(serverName, s.now())
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(candidates, func(i int) bool {
		names := st.sources[i].names()
		return slices.Contains(names, host) || slices.Contains(names, "*."+parent)
	})
}

// localAddress returns the IP address that the client connected to, in the
// form used for names, and "" when there is none.
func localAddress(c net.Conn) string {
	if c == nil {
		return ""
	}
	addr, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return ""
	}
	return addr.Addr().Unmap().WithZone("").String()
}

// config makes a server configuration. What it does not say is as crypto/tls
// has it by default.
func (s *Store) config(client *clientAuth, protocols ...string) *tls.Config {
	c := &tls.Config{
		MinVersion:       cmp.Or(s.options.MinVersion, tls.VersionTLS12),
		CurvePreferences: s.options.Curves,
		CipherSuites:     s.options.CipherSuites,
		NextProtos:       protocols,
		GetCertificate:   s.Certificate,
	}
	if client != nil {
		client.apply(c)
	}
	c.SetSessionTicketKeys(s.tickets.secrets())
	return c
}

// Config returns a server configuration that takes its certificates from s. It
// offers h2 before http/1.1 when http2 is set. It is shared, and not to be
// changed; what it was made of may be out of date for the next handshake, so
// use it from [tls.Config.GetConfigForClient].
func (s *Store) Config(http2 bool) *tls.Config {
	st := s.current.Load()
	if http2 {
		return st.http2
	}
	return st.http1
}

// ConfigFor is Config for one client. The CA that checks a TLS-ALPN-01
// challenge (RFC 8737) gets one of its own, which asks it for nothing.
func (s *Store) ConfigFor(h *tls.ClientHelloInfo, http2 bool) *tls.Config {
	if s.account != nil && isChallenge(h) {
		return s.account.challenged
	}
	return s.Config(http2)
}

// RootFile returns the PEM file of the local CA's root certificate, for a user
// to trust, or "" without self-signed names.
func (s *Store) RootFile() string {
	if s.issued == nil {
		return ""
	}
	return s.issued.ca.file
}

// Serves reports whether a certificate names host: a name, an IP address, or a
// wildcard.
func (s *Store) Serves(host string) bool {
	return len(s.current.Load().candidates(host)) > 0
}
