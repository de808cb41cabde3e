package wire

import (
	"sync"
	"time"
)

// watch tells when nothing is left of what was read from a connection: when a
// Read waits for the socket, whoever reads has used all there was.
type watch struct {
	mu      sync.Mutex
	waiting bool
	closed  bool
	changed chan struct{} // closed when a Read begins to wait, and at the end; nil while nobody asks
}

// Watch has [Conn.Quiet] work for the Reads that follow.
func (c *Conn) Watch() { c.watch = new(watch) }

// Watched reports whether Watch was called.
func (c *Conn) Watched() bool { return c.watch != nil }

// Quiet waits until a Read waits for the socket, at most for the given time,
// and reports whether one does. The connection is watched.
func (c *Conn) Quiet(patience time.Duration) bool {
	w := c.watch
	w.mu.Lock()
	if w.waiting || w.closed {
		defer w.mu.Unlock()
		return w.waiting
	}
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	changed := w.changed
	w.mu.Unlock()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-changed:
	case <-timeout.C:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting
}

func (w *watch) set(waiting, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = waiting
	w.closed = w.closed || closed
	if (waiting || closed) && w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// receive reads from the socket.
func (c *Conn) receive(p []byte) (int, error) {
	if c.watch == nil {
		return c.Conn.Read(p)
	}
	c.watch.set(true, false)
	defer c.watch.set(false, false)
	return c.Conn.Read(p)
}
