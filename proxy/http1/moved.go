package http1

import (
	"crypto/tls"
	"crypto/x509"

	"sluice/internal/codec"
	"sluice/internal/record"
)

const (
	mostAhead        = 4 << 20   // bytes of a head; a connection that has more of one does not move
	mostPartial      = 32 << 10  // bytes of a TLS record
	mostName         = 1 << 10   // bytes of a name in TLS
	mostCertificates = 100       // in a chain, and chains
	mostCertificate  = 256 << 10 // bytes
)

// A Moved is a client's connection that waits for a request, or has the beginning of one, on its way to a [Server] of
// another process, without its socket. What a writer is shown belongs to a connection that was stopped
// ([Engine.StopIdle]). What a reader has set is the receiver's, who calls Wipe unless [Server.Resume] takes it. The zero
// Moved is ready for a reader.
type Moved struct {
	About *tls.ConnectionState // nil without TLS

	state    *record.State // nil without TLS
	partial  []byte        // the beginning of a TLS record
	ahead    []byte        // that of a head
	in, out  int64         // bytes that have passed, as [wire.Conn.Moved] has them
	requests int32         // that it has had
	since    int64         // as that of a slot
	begun    bool          // the same
}

// Carry writes the connection down, or reads one. Secrets are in what is written.
func (m *Moved) Carry(c *codec.Coder) {
	codec.Number(c, &m.requests)
	codec.Number(c, &m.since)
	codec.Number(c, &m.in)
	codec.Number(c, &m.out)
	c.Check(m.requests >= 0 && m.since >= 0 && m.in >= 0 && m.out >= 0, "a number of a connection is negative")
	c.Bool(&m.begun)
	c.Bytes(&m.ahead, mostAhead)
	c.Check(m.begun || len(m.ahead) == 0, "bytes of a head that has not begun")
	codec.Optional(c, &m.About, carryAbout)
	codec.Optional(c, &m.state, func(c *codec.Coder, s *record.State) { s.Carry(c) })
	c.Bytes(&m.partial, mostPartial)
	c.Check((m.state == nil) == (m.About == nil), "TLS of which a part is missing")
	c.Check(m.state == nil || !m.state.IsClient(), "TLS of the other end")
	c.Check(m.state == nil || m.About == nil || m.state.Version == m.About.Version && m.state.Suite == m.About.CipherSuite, "TLS of two versions")
	c.Check(m.state != nil || len(m.partial) == 0, "a part of a TLS record without TLS")
}

// carryAbout carries what is known of TLS after its handshake, as [Moved].About has it.
func carryAbout(c *codec.Coder, s *tls.ConnectionState) {
	if c.Reading() { // others share what is written
		s.HandshakeComplete = true
	}
	codec.Number(c, &s.Version)
	codec.Number(c, &s.CipherSuite)
	codec.Number(c, &s.CurveID)
	c.Bool(&s.DidResume)
	c.Text(&s.NegotiatedProtocol, mostName)
	c.Text(&s.ServerName, mostName)
	carryChain(c, &s.PeerCertificates)
	codec.List(c, &s.VerifiedChains, mostCertificates, func(c *codec.Coder, chain *[]*x509.Certificate) {
		carryChain(c, chain)
		c.Check(len(*chain) > 0, "a chain of no certificates")
	})
	c.Check(len(s.VerifiedChains) == 0 || len(s.PeerCertificates) > 0, "chains of no certificate")
}

// carryChain carries certificates.
func carryChain(c *codec.Coder, chain *[]*x509.Certificate) {
	codec.List(c, chain, mostCertificates, func(c *codec.Coder, one **x509.Certificate) {
		var der []byte
		if !c.Reading() {
			der = (*one).Raw
		}
		c.Bytes(&der, mostCertificate)
		if !c.Reading() || c.Err() != nil {
			return
		}
		var err error
		if *one, err = x509.ParseCertificate(der); err != nil {
			c.Fail(err)
		}
	})
}

// Wipe drops the secrets of a connection that was read.
func (m *Moved) Wipe() {
	if m.state != nil {
		m.state.Wipe()
	}
	clear(m.ahead)
}
