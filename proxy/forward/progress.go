package forward

import (
	"net"
	"sync"
)

// minWaiting is how many bytes of a request must wait in the system before
// progress counts: a backend takes fewer bytes at once, or never.
const minWaiting = 64 << 10

// progress tells whether the backend still takes the bytes of a request that the
// system holds for it.
type progress struct {
	read func(net.Conn) (taken, waiting int64) // [Exchange.Waiting]; may be nil

	mu             sync.Mutex
	conn           net.Conn
	taken, waiting int64 // at the last mark
}

// setConn sets the connection that the request is sent on.
func (p *progress) setConn(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn = c
}

// mark notes how many bytes the backend has taken.
func (p *progress) mark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil && p.read != nil {
		p.taken, p.waiting = p.read(p.conn)
	}
}

// made reports whether enough bytes were waiting at the last mark and the backend
// has taken some of them since.
func (p *progress) made() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil || p.read == nil || p.waiting < minWaiting {
		return false
	}
	taken, _ := p.read(p.conn)
	return taken > p.taken
}
