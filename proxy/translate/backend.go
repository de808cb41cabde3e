package translate

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"

	"sluice/config"
	"sluice/internal/header"
	"sluice/proxy/backend"
	"sluice/proxy/backend/dial"
	"sluice/proxy/probe"
	"sluice/proxy/serve"
	"sluice/tlsconf/certfile"
)

// Backend returns the settings of a backend's pool. The paths of mistakes are whole.
func Backend(c *config.Backend, takeRecords bool) (backend.Settings, []Mistake) {
	balance := map[string]backend.Balance{
		"least_connections": backend.LeastConnections, "round_robin": backend.RoundRobin,
		"random_two": backend.RandomTwo, "hash": backend.Hash,
	}
	endpoints, mistakes := endpoints(c)
	s := backend.Settings{
		Endpoints:      endpoints,
		ConnectTimeout: c.ConnectTimeout,
		TakeRecords:    takeRecords,
		KeepAlive:      keepAlive(&c.KeepAlive),
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
		s.Check = backend.Check{Probe: probeOf(h), Interval: h.Interval, Timeout: h.Timeout, Rise: h.Rise, Fall: h.Fall}
	}
	return s, mistakes
}

// keepAlive returns how connections for requests are kept.
func keepAlive(c *config.KeepAlive) dial.KeepAlive {
	k := dial.KeepAlive{Idle: c.Idle, Timeout: c.Timeout, Requests: c.Requests}
	if k.Idle == 0 {
		k.Idle = -1
	}
	return k
}

// Target returns how routes use the backend, without its pool and without the key of its
// cookie.
func Target(c *config.Backend) *serve.Target {
	t := &serve.Target{TryTimeout: c.Retry.TryTimeout, Failures: c.Passive.Statuses}
	if c.Balance == "hash" {
		t.HashBy = serve.NewHashBy(c.HashBy)
	}
	return t
}

// StickyCookie returns the attributes of the cookie that keeps clients at an endpoint.
func StickyCookie(c *config.Sticky) http.Cookie {
	return http.Cookie{
		Name: c.Cookie, Path: "/", HttpOnly: true, MaxAge: int(c.MaxAge.Seconds()), SameSite: sameSite(c.SameSite),
	}
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

// probeOf returns how a backend's endpoints are asked for their health.
func probeOf(c *config.Health) backend.Probe {
	h := header.Fields{}
	h.Add(header.UserAgent, "sluice-health")
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		h.SetName(name, c.Headers[name])
	}
	switch c.Check {
	case "http":
		p := &probe.HTTP{Path: c.Path, Host: c.Host, Header: h, Status: slices.Clone(c.Status), Body: []byte(c.Body)}
		return p.Ask
	case "websocket":
		p := &probe.WebSocket{Path: c.Path, Host: c.Host, Header: h, Subprotocol: c.Subprotocol}
		return p.Ask
	}
	return probe.Connect
}

func endpoints(c *config.Backend) ([]backend.Endpoint, []Mistake) {
	template, key, mistakes := backendTLS(c)
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
		all[i].TLS = template.Clone()
		if template.ServerName == "" && e.Network == "tcp" {
			all[i].TLS.ServerName, _, _ = net.SplitHostPort(e.Address)
		}
	}
	return all, mistakes
}

// backendTLS returns how the gateway speaks TLS to a backend, and a key that is the same
// where the configuration and the files are.
func backendTLS(c *config.Backend) (*tls.Config, string, []Mistake) {
	var mistakes []Mistake
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
			mistakes = append(mistakes, tlsMistake(at+".ca", err))
		}
		how.RootCAs = x509.NewCertPool()
		for _, a := range authorities {
			how.RootCAs.AddCert(a)
			key.Write(a.Raw)
		}
	}
	if c.TLS.Cert != "" {
		own, errs := certfile.LoadKeyPair(certfile.File{Cert: c.TLS.Cert, Key: c.TLS.Key, Option: at})
		for _, err := range errs {
			mistakes = append(mistakes, tlsMistake(at, err))
		}
		how.Certificates = []tls.Certificate{own}
		for _, der := range own.Certificate {
			key.Write(der)
		}
	}
	if pins := c.TLS.PinnedKeys; len(pins) > 0 {
		how.VerifyConnection = func(s tls.ConnectionState) error { return checkPin(s, pins) }
	}
	return how, string(key.Sum(nil)), mistakes
}

// checkPin fails unless the key of the endpoint's certificate is among pins.
func checkPin(s tls.ConnectionState, pins []string) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the endpoint has no certificate")
	}
	sum := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if pin := "sha256/" + base64.StdEncoding.EncodeToString(sum[:]); !slices.Contains(pins, pin) {
		return fmt.Errorf("the endpoint's key is %s, none of %s", pin, strings.Join(pins, ", "))
	}
	return nil
}
