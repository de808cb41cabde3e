package wstest

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"
)

// Behaviour is what a backend does with one connection, whose request head was
// read into c.Head. The connection is closed when it returns.
type Behaviour func(c *Conn)

// Backend is a listener on loopback that plays a WebSocket or HTTP server, also a bad one.
type Backend struct {
	Address string // host:port

	listener net.Listener
	behave   Behaviour
	conns    chan *Conn
	quit     chan struct{}
	running  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{}
	seen []Head
}

// NewBackend starts a backend that treats every connection in the same way. With a nil
// behaviour it hands them to [Backend.Next], requests read and unanswered. It stops, and
// closes what is open, when the test ends.
func NewBackend(t testing.TB, behave Behaviour) *Backend {
	t.Helper()
	return NewTLSBackend(t, behave, nil)
}

// NewTLSBackend is NewBackend over TLS, unless config is nil.
func NewTLSBackend(t testing.TB, behave Behaviour, config *tls.Config) *Backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Backend{
		Address:  l.Addr().String(),
		listener: l,
		behave:   behave,
		conns:    make(chan *Conn),
		quit:     make(chan struct{}),
		open:     make(map[net.Conn]struct{}),
	}
	if config != nil {
		b.listener = tls.NewListener(l, config)
	}
	b.running.Go(b.accept)
	t.Cleanup(b.Stop)
	return b
}

// Stop closes the listener and every connection that still has a behaviour,
// and waits for them.
func (b *Backend) Stop() {
	b.mu.Lock()
	select {
	case <-b.quit:
	default:
		close(b.quit)
	}
	b.listener.Close()
	for c := range b.open {
		c.Close()
	}
	b.mu.Unlock()
	b.running.Wait()
}

func (b *Backend) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() { b.serve(c) })
	}
}

func (b *Backend) serve(c net.Conn) {
	b.mu.Lock()
	select {
	case <-b.quit:
		b.mu.Unlock()
		c.Close()
		return
	default:
	}
	b.open[c] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.open, c)
		b.mu.Unlock()
	}()

	conn := newConn(c, false)
	if b.behave != nil {
		conn.in = bufio.NewReader(c) // a session may be silent as long as a test lasts: Stop ends the wait
	}
	head, err := readHead(conn.in)
	if err != nil {
		c.Close()
		return
	}
	conn.Head = head
	b.mu.Lock()
	b.seen = append(b.seen, head)
	b.mu.Unlock()

	if b.behave != nil {
		b.behave(conn)
		c.Close()
		return
	}
	select {
	case b.conns <- conn:
	case <-b.quit:
		c.Close()
	}
}

// Seen returns the heads of all requests so far, in order of arrival.
func (b *Backend) Seen() []Head {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Head(nil), b.seen...)
}

// Next returns the next connection of a backend without a behaviour. It is
// closed when the test ends.
func (b *Backend) Next(t testing.TB) Peer {
	t.Helper()
	select {
	case c := <-b.conns:
		t.Cleanup(func() { c.Close() })
		return Peer{c, t}
	case <-time.After(Guard):
		t.Fatalf("no connection at the backend after %v", Guard)
		panic("unreachable")
	}
}
