package wire

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"os"
	"sync"
)

// A Capture is what it takes to continue the TLS records of a connection in the place of
// crypto/tls: see docs/tls-records.md.
type Capture struct {
	Client  bool // this end sent the ClientHello
	Secrets Secrets
	In, Out Records
}

// Secrets are what a handshake has agreed on. Those of the other version are zero.
type Secrets struct {
	Client, Server                   [48]byte // TLS 1.3: the first traffic secret of each end, as long as the hash
	ClientHandshake, ServerHandshake [48]byte // TLS 1.3: the same of the handshake
	Master                           [48]byte // TLS 1.2
}

// capturer collects a Capture while crypto/tls has the connection.
type capturer struct {
	in, out    recordCounter
	ticketOnly bool // the records are not counted: only a ticket must still be written

	mu      sync.Mutex // a Close may come at any time
	wiped   bool       // the secrets are zero, and stay so
	secrets Secrets
}

// StartCapture makes the connection capture what it takes to continue its TLS records:
// a few hundred bytes, and the last record of each direction. It must be called before
// the handshake, which must use the configuration that [Conn.HandshakeConfig] returns. The
// capture ends with [Conn.TakeCapture], [Conn.DropCapture] or Close, and when another
// protocol than HTTP/1.1 is negotiated.
func (c *Conn) StartCapture() {
	m := new(capturer)
	m.out.maxKept = maxKeptSent
	c.capturer.Store(m)
}

// HandshakeConfig returns the configuration for one TLS handshake over the connection:
// base itself if it captures nothing, otherwise a clone that captures the secrets.
// Sessions resume as with base, which must have no WrapSession and UnwrapSession.
func (c *Conn) HandshakeConfig(base *tls.Config) *tls.Config {
	m := c.capturer.Load()
	if m == nil {
		return base
	}
	config := base.Clone()
	config.KeyLogWriter = m
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if s.NegotiatedProtocol != "" && s.NegotiatedProtocol != "http/1.1" {
			m.ticketOnly = true
			if s.Version == tls.VersionTLS13 {
				c.DropCapture()
			}
		}
		if base.VerifyConnection == nil {
			return nil
		}
		return base.VerifyConnection(s)
	}
	// A resumed session of TLS 1.2 writes no key log: its secret is in the ticket. A
	// client may resume a session that it began with HTTP/2, so those tickets have it too.
	config.WrapSession = func(s tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		if s.Version == tls.VersionTLS12 {
			m.save(session)
			if m.ticketOnly {
				c.DropCapture()
			}
		}
		return base.EncryptTicket(s, session)
	}
	config.UnwrapSession = func(identity []byte, s tls.ConnectionState) (*tls.SessionState, error) {
		session, err := base.DecryptTicket(identity, s)
		if session != nil && s.Version == tls.VersionTLS12 {
			m.restore(session)
		}
		return session, err
	}
	return config
}

// activeCapture returns the capturer if it counts records, or nil.
func (c *Conn) activeCapture() *capturer {
	if m := c.capturer.Load(); m != nil && !m.ticketOnly {
		return m
	}
	return nil
}

// Capturing reports whether [Conn.TakeCapture] would return a capture.
func (c *Conn) Capturing() bool { return c.activeCapture() != nil }

// DropCapture ends the capture and wipes its secrets. It does nothing if there is none.
func (c *Conn) DropCapture() {
	if m := c.capturer.Swap(nil); m != nil {
		m.wipe()
	}
}

// TakeCapture ends the capture and returns it. The caller owns it, and must wipe the
// secrets. It returns false if nothing was captured. No Read or Write may be active.
func (c *Conn) TakeCapture() (t Capture, ok bool) {
	m := c.activeCapture()
	defer c.DropCapture()
	if m == nil {
		return Capture{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return Capture{
		Client:  m.out.hello == clientHello,
		Secrets: m.secrets,
		In:      m.in.records(),
		Out:     m.out.records(),
	}, true
}

// Freeze makes Reads return the rest of a record of which they have returned a part, and
// then fail with a timeout instead of reading from the socket, until the capture ends. It
// returns false and does nothing if nothing is captured.
func (c *Conn) Freeze() bool {
	c.frozen = c.activeCapture() != nil
	return c.frozen
}

// readFrozen returns bytes of the missing rest of a record, which was read ahead: see
// [NewTLS].
func (c *Conn) readFrozen(p []byte, missing int) (int, error) {
	if missing == 0 || c.whole == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return c.deliver(p[:min(len(p), missing)]), nil
}

// wipe zeroes the secrets and takes no more.
func (m *capturer) wipe() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secrets, m.wiped = Secrets{}, true
}

// Write takes a line of a key log (NSS Key Log Format) from crypto/tls. It overwrites the
// line, which crypto/tls has made for this call and leaves to the garbage collector.
func (m *capturer) Write(line []byte) (int, error) {
	defer clear(line)
	label, rest, _ := bytes.Cut(line, []byte(" "))
	_, text, _ := bytes.Cut(bytes.TrimSuffix(rest, []byte("\n")), []byte(" "))
	m.mu.Lock()
	defer m.mu.Unlock()
	var to *[48]byte
	switch string(label) {
	case "CLIENT_TRAFFIC_SECRET_0":
		to = &m.secrets.Client
	case "SERVER_TRAFFIC_SECRET_0":
		to = &m.secrets.Server
	case "CLIENT_HANDSHAKE_TRAFFIC_SECRET":
		to = &m.secrets.ClientHandshake
	case "SERVER_HANDSHAKE_TRAFFIC_SECRET":
		to = &m.secrets.ServerHandshake
	case "CLIENT_RANDOM":
		to = &m.secrets.Master
	}
	if to != nil && !m.wiped && hex.DecodedLen(len(text)) <= len(to) {
		hex.Decode(to[:], text)
	}
	return len(line), nil
}

// extraLabel marks the master secret in the Extra of a session, where others may keep
// something too.
const extraLabel = "sluice master secret:"

// save puts the master secret into a session, for its ticket.
func (m *capturer) save(s *tls.SessionState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.secrets.Master != [48]byte{} {
		s.Extra = append(s.Extra, append([]byte(extraLabel), m.secrets.Master[:]...))
	}
}

// restore takes the master secret from the session of a ticket.
func (m *capturer) restore(s *tls.SessionState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range s.Extra {
		if secret, ok := bytes.CutPrefix(b, []byte(extraLabel)); ok && !m.wiped {
			copy(m.secrets.Master[:], secret)
		}
	}
}
