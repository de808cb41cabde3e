package wire

import (
	"sync"
	"sync/atomic"
	"time"
)

// For this time, and up to this number of bytes, a connection that lingers reads and
// drops what the peer still sends. Otherwise the system would answer it with a reset,
// which can destroy the last answer before the peer has read it (RFC 9112, section 9.6).
const (
	lingerTime  = 5 * time.Second
	lingerBytes = 64 << 20
)

// closing is how a connection ends.
type closing struct {
	reading    sync.Mutex  // held by a Read that waits for the socket
	readsEnded atomic.Bool // EndReads was called: Reads fail; set under mu
	peerDone   atomic.Bool // a Read has failed: the peer sends nothing more
	lingers    bool        // Close waits for a peer that still sends

	mu        sync.Mutex // also held while the deadline of Reads is set
	lingering bool       // linger was started
	taken     bool       // onClose was, by the socket's end or by TakeOnClose
	onClose   Releaser
}

// Linger makes Close send the end of the stream first and wait for the peer's end, in the
// background and for a bounded time, if the peer still sends. After Linger(false) Close
// closes at once again. A peer is known to send after [Conn.EndReads] and, on Linux,
// while bytes wait to be read. Linger must not be called at the same time as Close.
func (c *Conn) Linger(on bool) { c.closing.lingers = on }

// EndReads stops reading in the middle of what the peer sends: Reads fail from now on,
// and so does one that waits. A Close that may linger does so.
func (c *Conn) EndReads() {
	c.closing.mu.Lock()
	defer c.closing.mu.Unlock()
	if !c.closing.readsEnded.Swap(true) {
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// ReadsEnded reports whether EndReads was called, by Close too.
func (c *Conn) ReadsEnded() bool { return c.closing.readsEnded.Load() }

// SetReadDeadline sets the deadline of Reads. After [Conn.EndReads] it does nothing.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.closing.mu.Lock()
	defer c.closing.mu.Unlock()
	if c.closing.readsEnded.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline sets the deadlines of Reads, as [Conn.SetReadDeadline] does, and of Writes.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetWriteDeadline(t)
}

// Close closes the socket, after a while if the connection lingers: see [Conn.Linger]. Nothing is
// written after it.
func (c *Conn) Close() error {
	e := &c.closing
	if e.lingers && !e.peerDone.Load() && (e.readsEnded.Load() || c.Readable()) {
		e.mu.Lock()
		lingering := e.lingering
		e.lingering = true
		e.mu.Unlock()
		if lingering {
			return nil
		}
		// The stream ends first: net/http answers what it has of a head when a Read fails, with
		// its own 400.
		err := CloseWrite(c.Conn)
		c.EndReads()
		if err == nil {
			go c.linger()
			return nil
		}
	}
	return c.Cut()
}

// linger waits for the peer's end and closes the socket.
func (c *Conn) linger() {
	defer c.Cut()
	c.closing.reading.Lock() // a Read that waits has to see its own deadline
	c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	c.closing.reading.Unlock()
	buf := make([]byte, 4<<10)
	for n := 0; n < lingerBytes; {
		m, err := c.Conn.Read(buf)
		if err != nil {
			return
		}
		n += m
	}
}

// Cut closes the socket at once, even if the peer still sends. It ends what depends on
// the socket: it drops the capture, tells the [Meter], and releases what [Conn.OnClose] was
// given.
func (c *Conn) Cut() error {
	err := c.Conn.Close()
	if c.tracker != nil {
		c.tracker.set(false, true)
	}
	c.DropCapture()
	if c.meter != nil {
		c.meter.SocketClosed()
	}
	if r := c.TakeOnClose(); r != nil {
		r.Release()
	}
	return err
}

// DropUnsent makes Cut drop what the peer has not taken, and reset the connection: the system
// would hold it for minutes, megabytes for a peer that reads nothing.
func (c *Conn) DropUnsent() {
	if t, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
}

// A Releaser is what a connection occupies while its socket is open, such as a slot in a
// count of connections.
type Releaser interface{ Release() }

// OnClose makes the connection call r.Release when its socket is closed: once, however
// often the connection is closed, and whatever number of requests or streams it has
// carried. It replaces what an earlier call has given. It must be called before another
// goroutine may close the connection.
func (c *Conn) OnClose(r Releaser) { c.closing.onClose = r }

// Occupies returns what [Conn.OnClose] was given, which stays the connection's; nil if it was taken or released.
func (c *Conn) Occupies() Releaser {
	e := &c.closing
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.taken {
		return nil
	}
	return e.onClose
}

// TakeOnClose returns what [Conn.OnClose] was given. The caller must release it when the
// socket is closed; the connection does not any more. It is for a caller that owns the
// socket from then on, which may outlive the connection: see [Conn.Detach]. It returns nil
// if there is nothing to release, or if it was taken or released before.
func (c *Conn) TakeOnClose() (r Releaser) {
	e := &c.closing
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.taken {
		return nil
	}
	e.taken = true
	return e.onClose
}
