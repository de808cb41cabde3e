// Package tlsconf decides which certificate a client gets, and which TLS
// versions are spoken. Certificates come from files and from a small local CA
// of its own. It knows no routes and no HTTP.
package tlsconf

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Options say where certificates come from.
type Options struct {
	Files      []File   // in order of preference; the first is also the fallback
	SelfSigned []string // DNS names, "*." wildcards and IP addresses for the local CA
	StateDir   string   // holds the local CA; unused without SelfSigned
	MinVersion uint16   // 0 means TLS 1.2

	Now func() time.Time // nil means time.Now
}

// Store answers handshakes. It is safe for concurrent use and, but for the
// renewal of its self-signed certificate, never changes: a reload makes a new
// one.
type Store struct {
	minVersion uint16
	now        func() time.Time
	pairs      []*pair
	issued     *issuer          // nil without self-signed names
	byName     map[string][]int // into sources, in order of preference
}

// New loads every certificate and opens the local CA, which it creates when
// SelfSigned names something and there is none. It reports every mistake at
// once, joined, those of Files as [*FileError]. Old may be nil; the unexpired
// self-signed certificate it holds is kept when the names are still the same.
func New(o Options, old *Store) (*Store, error) {
	s := &Store{
		minVersion: cmp.Or(o.MinVersion, tls.VersionTLS12),
		now:        o.Now,
		byName:     make(map[string][]int),
	}
	if s.now == nil {
		s.now = time.Now
	}
	var mistakes []error
	for i, f := range o.Files {
		p, wrong := load(f)
		for _, err := range wrong {
			mistakes = append(mistakes, &FileError{Index: i, Err: err})
		}
		if p != nil {
			s.offer(len(s.pairs), p.names())
			s.pairs = append(s.pairs, p)
		}
	}
	if len(o.SelfSigned) > 0 {
		if err := s.openIssuer(o, old); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return s, nil
}

// openIssuer makes the self-signed source, which is the last one.
func (s *Store) openIssuer(o Options, old *Store) error {
	names, err := parseNames(o.SelfSigned)
	if err != nil {
		return err
	}
	ca, err := openAuthority(o.StateDir, names, s.now())
	if err != nil {
		return fmt.Errorf("local CA: %w", err)
	}
	s.issued = &issuer{ca: ca, names: names, now: s.now}
	if old != nil && old.issued.serves(ca, names) {
		s.issued.current = old.issued.certificateInUse()
	}
	s.offer(len(s.pairs), names)
	return nil
}

// offer adds source to the candidates of each name.
func (s *Store) offer(source int, names []string) {
	for _, name := range names {
		s.byName[name] = append(s.byName[name], source)
	}
}

// at returns the certificate of a source as it is now.
func (s *Store) at(source int) (*tls.Certificate, error) {
	if source < len(s.pairs) {
		return &s.pairs[source].Certificate, nil
	}
	if s.issued == nil {
		return nil, errors.New("no certificate is configured")
	}
	return s.issued.certificate()
}

// Certificate picks the certificate for a handshake, as
// [tls.Config.GetCertificate] asks for it: one for exactly this server name,
// else one for the wildcard above it (a wildcard stands for one label, RFC
// 9525, section 6.3), else the first of all. Where several carry the name, the
// first whose key the client can verify wins. A client that sends no server
// name, as one that connects to an IP address does, gets the certificate for
// the address it connected to.
func (s *Store) Certificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(h.ServerName)
	if name == "" {
		name = localAddress(h.Conn)
	}
	candidates := s.byName[name]
	if _, parent, ok := strings.Cut(name, "."); ok {
		if above := s.byName["*."+parent]; len(candidates) == 0 {
			candidates = above
		} else if len(above) > 0 {
			candidates = append(candidates[:len(candidates):len(candidates)], above...)
		}
	}
	switch len(candidates) {
	case 0:
		return s.at(0)
	case 1:
		return s.at(candidates[0])
	}
	for _, source := range candidates {
		if c, err := s.at(source); err == nil && h.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return s.at(candidates[0]) // the handshake's own error says what did not fit
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

// Config returns a server configuration that takes its certificates from s and
// everything it does not say from the defaults of crypto/tls. It offers h2
// before http/1.1 when http2 is set.
//
// Session ticket keys belong to the returned Config and rotate in it. Who
// replaces a Store under a running listener keeps sessions resumable by keeping
// the listener's Config and returning the new one from its GetConfigForClient.
func (s *Store) Config(http2 bool) *tls.Config {
	protocols := []string{"http/1.1"}
	if http2 {
		protocols = []string{"h2", "http/1.1"}
	}
	return &tls.Config{
		MinVersion:     s.minVersion,
		NextProtos:     protocols,
		GetCertificate: s.Certificate,
	}
}

// RootFile returns the PEM file of the local CA's root certificate, for a user
// to trust, or "" without self-signed names.
func (s *Store) RootFile() string {
	if s.issued == nil {
		return ""
	}
	return s.issued.ca.file
}
