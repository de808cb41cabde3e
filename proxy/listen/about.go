package listen

import (
	"crypto/tls"
	"sync"
)

// mostAbouts is how many descriptions are kept to be shared.
const mostAbouts = 256

// abouts is descriptions of TLS connections. Connections that are alike share one: it would take
// more memory than all else that an idle connection needs. Any goroutine may use it.
type abouts struct {
	mu  sync.Mutex
	all map[about]*tls.ConnectionState
}

// about is what tells descriptions apart, of clients without a certificate.
type about struct {
	version, suite uint16
	curve          tls.CurveID
	resumed        bool
	protocol, name string
}

// of returns what is known of a connection after its handshake, without what only crypto/tls could
// use. It must not be changed.
func (a *abouts) of(c *tls.Conn) *tls.ConnectionState {
	s := c.ConnectionState()
	d := &tls.ConnectionState{
		Version: s.Version, HandshakeComplete: true, DidResume: s.DidResume, CipherSuite: s.CipherSuite, CurveID: s.CurveID,
		NegotiatedProtocol: s.NegotiatedProtocol, ServerName: s.ServerName, PeerCertificates: s.PeerCertificates, VerifiedChains: s.VerifiedChains,
	}
	return a.shared(d)
}

// shared returns the description that connections share which are as s says.
func (a *abouts) shared(s *tls.ConnectionState) *tls.ConnectionState {
	if len(s.PeerCertificates) > 0 {
		return s
	}
	key := about{s.Version, s.CipherSuite, s.CurveID, s.DidResume, s.NegotiatedProtocol, s.ServerName}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.all[key]; known != nil {
		return known
	}
	if a.all == nil || len(a.all) == mostAbouts {
		a.all = make(map[about]*tls.ConnectionState)
	}
	a.all[key] = s
	return s
}
