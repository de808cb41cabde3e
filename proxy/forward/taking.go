package forward

import (
	"net"
	"sync"
)

// muchWaiting is how much of a request has to wait in the system for a backend
// for its taking it to count: less is taken at once, or never.
const muchWaiting = 64 << 10

// taking tells whether the backend still takes of a request what the system holds
// for it.
type taking struct {
	ask func(net.Conn) (taken, waiting int64) // nil where nothing tells

	mu             sync.Mutex
	conn           net.Conn
	taken, waiting int64 // at the last mark
}

// over says which connection the request goes over.
func (t *taking) over(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn = c
}

// mark notes where the backend is.
func (t *taking) mark() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil && t.ask != nil {
		t.taken, t.waiting = t.ask(t.conn)
	}
}

// goesOn reports whether much was waiting at the last mark and some of it was
// taken since.
func (t *taking) goesOn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil || t.ask == nil || t.waiting < muchWaiting {
		return false
	}
	taken, _ := t.ask(t.conn)
	return taken > t.taken
}
