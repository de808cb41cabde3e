package record

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"sluice/internal/wire"
)

// closeTime is how long a close_notify may take.
const closeTime = 5 * time.Second

// readSize is how many bytes of records are read at once.
const readSize = headerSize + maxCipher12

// A Conn is a TLS connection whose records a [State] protects, for goroutines: one may read
// while another one writes. Deadlines are those of the connection below; after one has ended a
// Write, nothing more can be written.
type Conn struct {
	*wire.Conn // below

	about *tls.ConnectionState

	mu      sync.Mutex // guards the State, of which both directions need something
	state   State
	ciphers Ciphers

	writing sync.Mutex
	sealed  []byte
	broken  error // of a write: the peer may have a part of a record

	plain   []byte // opened, and not returned by a Read; lies in buffer
	partial []byte // the beginning of a record; lies in buffer
	buffer  []byte // nil while both are empty
	failed  error  // of reading
}

// NewConn returns a connection over c, which it owns, with the State that [Conn.Release] or
// [TakeFresh] has returned. Unread has what was read of records already, and is the Conn's. The
// caller's State is wiped.
func NewConn(c *wire.Conn, about *tls.ConnectionState, s *State, unread []byte) *Conn {
	c.Raw()
	conn := &Conn{Conn: c, about: about, state: *s}
	s.Wipe()
	if len(unread) > 0 {
		conn.buffer = append(make([]byte, 0, max(readSize, len(unread))), unread...)
		conn.partial = conn.buffer
	}
	return conn
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// ConnectionState returns what the handshake has agreed on.
func (c *Conn) ConnectionState() tls.ConnectionState { return *c.about }

// About is ConnectionState, which must not be changed.
func (c *Conn) About() *tls.ConnectionState { return c.about }

// Unread reports whether bytes have come that no Read has returned. No goroutine may read meanwhile.
func (c *Conn) Unread() bool { return len(c.plain)+len(c.partial) > 0 }

// Release returns what another owner needs to go on with the connection: its State, plaintext
// that no Read has returned, and the beginning of a record. The Conn cannot be used any more.
func (c *Conn) Release() (s State, early, unread []byte) {
	s = c.state
	c.state.Wipe()
	c.ciphers = Ciphers{}
	return s, c.plain, slices.Concat(c.partial, c.Conn.TakeAhead())
}

// Read implements [net.Conn]. At the peer's close_notify, and at the end of the stream between
// two records, it returns [io.EOF].
func (c *Conn) Read(p []byte) (int, error) {
	for len(c.plain) == 0 {
		if c.failed != nil {
			return 0, c.failed
		}
		if len(p) == 0 {
			return 0, nil
		}
		opened, err := c.open()
		if err != nil {
			c.failed = err
			var alert *AlertError
			if errors.As(err, &alert) && !alert.Remote {
				c.alert(alert.Alert)
			}
			return 0, err
		}
		if opened {
			continue
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.plain)
	if c.plain = c.plain[n:]; len(c.plain) == 0 && len(c.partial) == 0 {
		c.plain, c.partial, c.buffer = nil, nil, nil
	}
	return n, nil
}

// open opens the next record, if it is there.
func (c *Conn) open() (ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.state.Open(&c.ciphers, c.partial, time.Now().UnixNano())
	switch {
	case err != nil:
		return false, err
	case r.Kind == Closed:
		return false, io.EOF
	}
	c.partial = c.partial[r.Used:]
	c.plain = r.Data
	return r.Used > 0, nil
}

// fill reads more of a record.
func (c *Conn) fill() error {
	if cap(c.buffer) < readSize {
		c.buffer = append(make([]byte, 0, readSize), c.partial...)
	} else {
		c.buffer = append(c.buffer[:0], c.partial...)
	}
	n, err := c.Conn.Read(c.buffer[len(c.buffer):cap(c.buffer)])
	c.buffer = c.buffer[:len(c.buffer)+n]
	c.partial = c.buffer
	if n > 0 {
		return nil
	}
	if err == io.EOF && len(c.partial) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for n < len(p) && c.broken == nil {
		piece := p[n:min(len(p), n+4*maxPlain)]
		c.mu.Lock()
		c.sealed, c.broken = c.state.Seal(&c.ciphers, c.sealed[:0], slices.Clip(piece))
		c.mu.Unlock()
		if c.broken == nil {
			_, c.broken = c.Conn.Write(c.sealed)
		}
		if c.broken == nil {
			n += len(piece)
		}
	}
	if cap(c.sealed) > readSize {
		c.sealed = nil
	}
	return n, c.broken
}

// alert sends an alert, behind which nothing is written.
func (c *Conn) alert(a Alert) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.broken != nil {
		return
	}
	c.mu.Lock()
	b := c.state.Alert(&c.ciphers, nil, a)
	c.mu.Unlock()
	if len(b) > 0 {
		_, c.broken = c.Conn.Write(b)
	}
}

// CloseWrite sends the close_notify. The connection below stays open for both directions.
func (c *Conn) CloseWrite() error {
	c.alert(CloseNotify)
	return c.broken
}

// Close sends the close_notify, unless an alert was sent, and closes the connection below.
func (c *Conn) Close() error {
	if c.writing.TryLock() { // a Write that is under way fails with the connection
		c.writing.Unlock()
		c.Conn.SetWriteDeadline(time.Now().Add(closeTime))
		c.alert(CloseNotify)
	}
	return c.Conn.Close()
}
