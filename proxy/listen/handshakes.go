package listen

import (
	"crypto/tls"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// mostWaiting is how many goroutines of a server wait for more TLS handshakes.
const mostWaiting = 32

// handshakes makes TLS handshakes on goroutines, which make one after another: a stack, which a
// handshake makes grow several times, is mostly large enough for the next one.
type handshakes struct {
	secure func(*tls.Conn) // makes the handshake, by finish, and uses the connection

	next    chan *tls.Conn // received by goroutines that wait
	waiting atomic.Int32   // number of those
	running sync.WaitGroup

	mu      sync.Mutex
	pending map[*tls.Conn]struct{} // whose handshake is under way
	hurried bool
}

func newHandshakes(secure func(*tls.Conn)) *handshakes {
	return &handshakes{secure: secure, next: make(chan *tls.Conn), pending: make(map[*tls.Conn]struct{})}
}

// begin calls secure for a connection, on a goroutine.
func (h *handshakes) begin(c *tls.Conn) {
	select {
	case h.next <- c:
	default:
		h.running.Go(func() { h.work(c) })
	}
}

func (h *handshakes) work(c *tls.Conn) {
	for more := true; more; {
		h.secure(c)
		c, more = h.another()
	}
}

// another waits for the next connection, unless enough goroutines do.
func (h *handshakes) another() (c *tls.Conn, ok bool) {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) <= mostWaiting {
		c, ok = <-h.next
	}
	return c, ok
}

// end returns when all that began is done. Nothing may begin any more.
func (h *handshakes) end() {
	close(h.next)
	h.running.Wait()
}

// finish makes the handshake of a connection, unless it takes longer than the timeout or there
// is a hurry.
func (h *handshakes) finish(c *tls.Conn, timeout time.Duration) (err error) {
	h.mu.Lock()
	h.pending[c] = struct{}{}
	if h.hurried {
		cut(c)
	}
	h.mu.Unlock()
	late := time.AfterFunc(timeout, func() { cut(c) })
	defer func() {
		inTime := late.Stop()
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.pending, c)
		if err == nil && (!inTime || h.hurried) {
			err = os.ErrDeadlineExceeded
		}
	}()
	return c.Handshake()
}

// hurry ends all handshakes that are under way, and those that begin.
func (h *handshakes) hurry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hurried = true
	for c := range h.pending {
		cut(c)
	}
}

// cut makes the handshake of a connection fail.
func cut(c *tls.Conn) { c.SetDeadline(time.Unix(1, 0)) }
