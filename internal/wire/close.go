package wire

import (
	"sync/atomic"
	"time"
)

// What still comes of a connection that ends is read and dropped for so long,
// and so many bytes: else the system would answer it with a reset, which can
// destroy the last answer before the peer has read it (RFC 9112, section 9.6).
const (
	lingerTime  = 5 * time.Second
	lingerBytes = 64 << 20
)

// ending is how a connection ends.
type ending struct {
	lingers    bool        // Close takes care of what the peer still sends
	unfinished atomic.Bool // the peer is in the middle of something
	ended      atomic.Bool // Reads fail
	over       atomic.Bool // the peer sends nothing more
}

// Linger has Close send the end of the stream first and wait for the peer's, in
// the background and for a bounded time, if the peer is still sending. It is to
// be called before the connection is used; on false Close closes at once again.
// That the peer is still sending is known after [Conn.EndReads], and on Linux
// from what waits to be read.
func (c *Conn) Linger(on bool) { c.ending.lingers = on }

// EndReads ends the reading in the middle of what the peer sends: Reads, the one
// under way too, fail from now on. Close lingers, if it may.
func (c *Conn) EndReads() {
	c.ending.unfinished.Store(true)
	c.ending.ended.Store(true)
	c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// SetReadDeadline is that of the socket. After [Conn.EndReads] it does nothing.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.ending.ended.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines, as [Conn.SetReadDeadline] does one.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetWriteDeadline(t)
}

// Ended reports whether EndReads was called.
func (c *Conn) Ended() bool { return c.ending.ended.Load() }

// Close closes the socket, perhaps later: see [Conn.Linger].
func (c *Conn) Close() error {
	e := &c.ending
	if e.lingers && !e.over.Load() && (e.unfinished.Load() || c.Readable()) {
		c.EndReads()
		c.closing.Do(func() { go c.linger() })
		return nil
	}
	return c.shut()
}

// Cut closes the socket at once, whatever the peer still sends.
func (c *Conn) Cut() error { return c.shut() }

// linger ends the stream towards the peer, waits for the peer's end and closes
// the socket.
func (c *Conn) linger() {
	defer c.shut()
	if CloseWrite(c.Conn) != nil {
		return
	}
	c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	buf := make([]byte, 4<<10)
	for n := 0; n < lingerBytes; {
		m, err := c.Conn.Read(buf)
		if err != nil {
			return
		}
		n += m
	}
}

func (c *Conn) shut() error {
	err := c.Conn.Close()
	if c.watch != nil {
		c.watch.set(false, true)
	}
	c.Forget()
	c.EndHead()
	if h := c.TakeHolder(); h != nil {
		h.Leave()
	}
	return err
}
