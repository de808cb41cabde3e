package proxy

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"sluice/config"
	"sluice/proxy/backend"
	"sluice/tlsconf/certfile"
)

// backend makes the pool of a backend, or the settings of the one there is, and
// what routes need to know of it.
func (b *builder) backend(s *snapshot, c *config.Backend) {
	settings := b.settings(c)
	p := b.old.pool(c.Name)
	if p == nil {
		p = backend.New(c.Name, settings, b.tell)
	}
	s.pools[c.Name], s.settings[c.Name] = p, settings
	u := &supply{pool: p, tryTimeout: c.Retry.TryTimeout, failures: c.Passive.Statuses}
	if c.Balance == "hash" {
		u.hashBy = newHashBy(c.HashBy)
	}
	if c.Sticky != nil {
		u.sticky = &sticky{signer: b.signer(s), what: "endpoint of " + c.Name, cookie: http.Cookie{
			Name: c.Sticky.Cookie, Path: "/", HttpOnly: true, MaxAge: int(c.Sticky.MaxAge.Seconds()), SameSite: sameSite(c.Sticky.SameSite),
		}}
	}
	s.supplies[c.Name] = u
	if p := c.Passive; p.Statuses == nil && (p.Failures > 0 || p.Ratio > 0) && len(c.Endpoints) > 1 {
		b.unread = append(b.unread, c.Name)
	}
	if c.TLS.Insecure {
		s.notes = append(s.notes, fmt.Sprintf("backend %s: tls.insecure is set: the certificates of its endpoints are NOT verified, anyone in between can read and change everything", c.Name))
	}
}

// pool returns the pool of a name, or nil.
func (s *snapshot) pool(name string) *backend.Pool {
	if s == nil {
		return nil
	}
	return s.pools[name]
}

// shares returns where a route sends its work; nil when it has no backend.
func (s *snapshot) shares(c *config.Route) (all []share) {
	if u := s.supplies[c.Backend]; u != nil {
		return []share{{u, 1}}
	}
	for _, part := range c.Split {
		if u := s.supplies[part.Backend]; u != nil {
			all = append(all, share{u, part.Weight})
		}
	}
	return all
}

func sameSite(name string) http.SameSite {
	switch name {
	case "strict":
		return http.SameSiteStrictMode
	case "none":
		return http.SameSiteNoneMode
	}
	return http.SameSiteLaxMode
}

// signer returns what signs cookies. If its key cannot be kept, clients lose
// their place with a restart.
func (b *builder) signer(s *snapshot) *signer {
	if b.cookies != nil {
		return b.cookies
	}
	k, err := openSigner(b.state)
	if err != nil {
		s.notes = append(s.notes, fmt.Sprintf("state_dir: the key of cookies cannot be kept, clients lose their place when sluice restarts: %v", err))
		if k = newSigner(); b.old != nil && b.old.cookies != nil {
			k = b.old.cookies
		}
	}
	b.cookies, s.cookies = k, k
	return k
}

// settings translates what a configuration says about a backend.
func (b *builder) settings(c *config.Backend) backend.Settings {
	balance := map[string]backend.Balance{
		"least_connections": backend.LeastConnections, "round_robin": backend.RoundRobin,
		"random_two": backend.RandomTwo, "hash": backend.Hash,
	}
	s := backend.Settings{
		Endpoints:      b.endpoints(c),
		ConnectTimeout: c.ConnectTimeout,
		TakeRecords:    takesRecords(b.cfg),
		Balance:        balance[c.Balance],
		SlowStart:      c.SlowStart,
		DrainTime:      c.DrainTime,
		Passive: backend.Passive{
			Failures: c.Passive.Failures, Ratio: float64(c.Passive.Ratio), Window: c.Passive.Window,
			Eject: c.Passive.Eject, MaxEject: c.Passive.MaxEject, EjectLast: c.Passive.EjectLast,
		},
		Retry:     backend.Retry{Tries: c.Retry.Tries, Timeout: c.Retry.Timeout, Budget: float64(c.Retry.Budget)},
		Queue:     backend.Queue{Length: c.Queue.Length, Timeout: c.Queue.Timeout},
		Rebalance: backend.Rebalance{PerMinute: float64(c.Rebalance.Rate), Newest: c.Rebalance.First == "newest"},
		DNS:       backend.DNS{Server: c.DNS.Server, MinTTL: c.DNS.MinTTL, MaxTTL: c.DNS.MaxTTL},
	}
	if h := c.Health; h != nil {
		s.Check = backend.Check{Probe: probe(h), Interval: h.Interval, Timeout: h.Timeout, Rise: h.Rise, Fall: h.Fall}
	}
	return s
}

func (b *builder) endpoints(c *config.Backend) []backend.Endpoint {
	how, key := b.backendTLS(c)
	version := map[string]int{"v1": 1, "v2": 2}[c.ProxyProtocol]
	all := make([]backend.Endpoint, len(c.Endpoints))
	for i, e := range c.Endpoints {
		all[i] = backend.Endpoint{
			Name: e.Text, Network: e.Network, Address: e.Address, HTTP2: e.H2C, PROXY: version,
			Streams: c.WebSocketOver == "h2" && (e.TLS || e.H2C),
			Weight:  e.Weight, Backup: e.Backup, MaxSessions: e.MaxSessions, MaxRequests: e.MaxRequests, Drain: e.Drain,
		}
		if !e.TLS {
			continue
		}
		all[i].HTTP2, all[i].TLSKey = c.HTTP2, key
		all[i].TLS = how.Clone()
		if how.ServerName == "" && e.Network == "tcp" {
			all[i].TLS.ServerName, _, _ = net.SplitHostPort(e.Address)
		}
	}
	return all
}

// backendTLS returns how a backend is spoken to over TLS, and a key of what
// that is made from.
func (b *builder) backendTLS(c *config.Backend) (*tls.Config, string) {
	how := &tls.Config{ServerName: c.TLS.ServerName, InsecureSkipVerify: c.TLS.Insecure, MinVersion: tls.VersionTLS12}
	if c.TLS.MinVersion == "1.3" {
		how.MinVersion = tls.VersionTLS13
	}
	key := sha256.New()
	fmt.Fprintf(key, "%#v", c.TLS)
	at := "backends." + c.Name + ".tls"
	if c.TLS.CA != "" {
		authorities, err := certfile.Authorities(c.TLS.CA)
		if err != nil {
			b.failTLS(at+".ca", err)
		}
		how.RootCAs = x509.NewCertPool()
		for _, a := range authorities {
			how.RootCAs.AddCert(a)
			key.Write(a.Raw)
		}
	}
	if c.TLS.Cert != "" {
		own, mistakes := certfile.LoadKeyPair(certfile.File{Cert: c.TLS.Cert, Key: c.TLS.Key, Option: at})
		for _, err := range mistakes {
			b.failTLS(at, err)
		}
		how.Certificates = []tls.Certificate{own}
		for _, der := range own.Certificate {
			key.Write(der)
		}
	}
	if pins := c.TLS.PinnedKeys; len(pins) > 0 {
		how.VerifyConnection = func(s tls.ConnectionState) error { return pinned(s, pins) }
	}
	return how, string(key.Sum(nil))
}

// pinned fails unless the key of the endpoint's certificate is among pins.
func pinned(s tls.ConnectionState, pins []string) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the endpoint has no certificate")
	}
	sum := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if pin := "sha256/" + base64.StdEncoding.EncodeToString(sum[:]); !slices.Contains(pins, pin) {
		return fmt.Errorf("the endpoint's key is %s, none of %s", pin, strings.Join(pins, ", "))
	}
	return nil
}
