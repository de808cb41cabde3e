package wire

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"os"
	"sync"
)

// memory is what a TLS connection remembers for whoever takes its records over
// from crypto/tls.
type memory struct {
	in, out meter
	leaving bool // nobody will: only a ticket is still to be written

	mu      sync.Mutex // a Close may come at any time
	gone    bool       // wiped, and nothing more is taken in
	secrets Secrets
}

// Secrets are what a handshake has agreed on. Those of the other version are
// zero.
type Secrets struct {
	Client, Server [48]byte // TLS 1.3: the first traffic secret of each end, as long as the hash
	Master         [48]byte // TLS 1.2
}

// A Trace is what a connection remembers: [Conn.Recall].
type Trace struct {
	Client  bool // this end sent the ClientHello
	Secrets Secrets
	In, Out Passed
}

// Remember has the connection take note of what is needed to take its records
// over. It is to be called before the handshake, which is to be done with the
// configuration that [Conn.Configure] returns. What is remembered, some hundred
// bytes and the last record each way, is gone after [Conn.Recall],
// [Conn.Forget] or Close, and once another protocol than HTTP/1.1 is agreed on.
func (c *Conn) Remember() {
	m := new(memory)
	m.out.limit = maxOut
	c.memory.Store(m)
}

// Configure returns base for one handshake over c: base itself if c remembers
// nothing, else one that tells c the secrets. Sessions resume as with base,
// which has no WrapSession of its own.
func (c *Conn) Configure(base *tls.Config) *tls.Config {
	m := c.memory.Load()
	if m == nil {
		return base
	}
	config := base.Clone()
	config.KeyLogWriter = m
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if s.NegotiatedProtocol != "" && s.NegotiatedProtocol != "http/1.1" {
			m.leaving = true
			if s.Version == tls.VersionTLS13 {
				c.Forget()
			}
		}
		if base.VerifyConnection == nil {
			return nil
		}
		return base.VerifyConnection(s)
	}
	// A resumed session of TLS 1.2 has no key log: its secret is in the ticket,
	// also in one of an HTTP/2 connection, which one for a session may resume.
	config.WrapSession = func(s tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		if s.Version == tls.VersionTLS12 {
			m.save(session)
			if m.leaving {
				c.Forget()
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

// metered returns the memory of c if what passes is to be noted, or nil.
func (c *Conn) metered() *memory {
	if m := c.memory.Load(); m != nil && !m.leaving {
		return m
	}
	return nil
}

// Remembers reports whether c keeps what it takes to take its records over.
func (c *Conn) Remembers() bool { return c.metered() != nil }

// Forget wipes what c remembers and has it remember nothing more.
func (c *Conn) Forget() {
	if m := c.memory.Swap(nil); m != nil {
		m.wipe()
	}
}

// Recall returns what c remembers, and forgets it. The secrets are the caller's
// to wipe. It is false if there is nothing.
func (c *Conn) Recall() (t Trace, ok bool) {
	m := c.metered()
	defer c.Forget()
	if m == nil {
		return Trace{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return Trace{
		Client:  m.out.hello == clientHello,
		Secrets: m.secrets,
		In:      m.in.passed(),
		Out:     m.out.passed(),
	}, true
}

// Freeze has Reads finish the record of which a part was handed over, and then
// fail with a timeout instead of asking the socket, for as long as c remembers.
// It is false, and does nothing, if c remembers nothing.
func (c *Conn) Freeze() bool {
	c.frozen = c.metered() != nil
	return c.frozen
}

// readFrozen reads the rest of a record, which is there (see [NewTLS]).
func (c *Conn) readFrozen(p []byte, rest int) (int, error) {
	if rest == 0 || c.whole == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return c.take(p[:min(len(p), rest)]), nil
}

func (m *memory) wipe() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secrets, m.gone = Secrets{}, true
}

// Write takes a line of a key log, and overwrites it: crypto/tls makes it for
// this call and leaves it to the garbage collector.
func (m *memory) Write(line []byte) (int, error) {
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
	case "CLIENT_RANDOM":
		to = &m.secrets.Master
	}
	if to != nil && !m.gone && hex.DecodedLen(len(text)) <= len(to) {
		hex.Decode(to[:], text)
	}
	return len(line), nil
}

// extraLabel is in front of a master secret among the other things that a
// session may carry.
const extraLabel = "sluice master secret:"

func (m *memory) save(s *tls.SessionState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.secrets.Master != [48]byte{} {
		s.Extra = append(s.Extra, append([]byte(extraLabel), m.secrets.Master[:]...))
	}
}

func (m *memory) restore(s *tls.SessionState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range s.Extra {
		if secret, ok := bytes.CutPrefix(b, []byte(extraLabel)); ok && !m.gone {
			copy(m.secrets.Master[:], secret)
		}
	}
}
