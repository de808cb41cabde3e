package wire

import (
	"sync"
	"time"
)

// readTracker knows whether a Read waits for the socket. While one does, the reader has
// used all that was read before.
type readTracker struct {
	mu      sync.Mutex
	waiting bool
	closed  bool
	changed chan struct{} // closed when a Read begins to wait, or the socket is closed; nil unless an AwaitRead waits
}

// TrackReads makes [Conn.AwaitRead] possible. It must be called before the first Read.
func (c *Conn) TrackReads() { c.tracker = new(readTracker) }

// TracksReads reports whether TrackReads was called.
func (c *Conn) TracksReads() bool { return c.tracker != nil }

// AwaitRead returns when a Read waits for the socket, when the socket is closed, or after
// timeout. It reports whether a Read waits. TrackReads must have been called.
func (c *Conn) AwaitRead(timeout time.Duration) bool {
	t := c.tracker
	t.mu.Lock()
	if t.waiting || t.closed {
		defer t.mu.Unlock()
		return t.waiting
	}
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	changed := t.changed
	t.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

// set notes whether a Read waits, and whether the socket is closed: it stays so.
func (t *readTracker) set(waiting, closed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = waiting
	t.closed = t.closed || closed
	if (waiting || closed) && t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// readSocket reads from the socket and nothing that was read ahead.
func (c *Conn) readSocket(p []byte) (int, error) {
	if c.tracker == nil {
		return c.Conn.Read(p)
	}
	c.tracker.set(true, false)
	defer c.tracker.set(false, false)
	return c.Conn.Read(p)
}
