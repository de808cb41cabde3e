package relaytest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/internal/wire"
	"sluice/proxy/relay/core"
)

// memoryQueue is one direction of a connection in memory.
type memoryQueue struct {
	mu      sync.Mutex
	changed sync.Cond
	limit   int // bytes it holds before a writer waits
	b       []byte
	end     error // for the reader, after b
	refused error // for the writer
	late    bool  // the writer's deadline is over
	timer   *time.Timer
}

// memoryConn is one end of a connection in memory: a socket with buffers, halves
// and resets, which testing/synctest sees through.
type memoryConn struct {
	net.Conn // nil: an engine needs no addresses and no deadlines
	in, out  *memoryQueue
}

// inMemory returns both ends of a connection.
func inMemory(limit int) (a, b net.Conn) {
	x, y := &memoryQueue{limit: limit}, &memoryQueue{limit: limit}
	x.changed.L, y.changed.L = &x.mu, &y.mu
	return &memoryConn{in: x, out: y}, &memoryConn{in: y, out: x}
}

func (m *memoryConn) Read(p []byte) (int, error) {
	q := m.in
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.b) == 0 && q.end == nil {
		q.changed.Wait()
	}
	if len(q.b) == 0 {
		return 0, q.end
	}
	n := copy(p, q.b)
	q.b = q.b[n:]
	q.changed.Broadcast()
	return n, nil
}

func (m *memoryConn) Write(p []byte) (n int, err error) {
	q := m.out
	q.mu.Lock()
	defer q.mu.Unlock()
	for n < len(p) {
		for len(q.b) >= q.limit && q.refused == nil && !q.late {
			q.changed.Wait()
		}
		switch {
		case q.refused != nil:
			return n, q.refused
		case q.late:
			return n, os.ErrDeadlineExceeded
		}
		k := min(q.limit-len(q.b), len(p)-n)
		q.b = append(q.b, p[n:n+k]...)
		n += k
		q.changed.Broadcast()
	}
	return n, nil
}

// Finish sets the errors that are not set yet.
func (q *memoryQueue) finish(end, refused error, drop bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.end == nil && end != nil {
		q.end = end
	}
	if q.refused == nil {
		q.refused = refused
	}
	if drop {
		q.b = nil
	}
	q.changed.Broadcast()
}

func (m *memoryConn) CloseWrite() error {
	m.out.finish(io.EOF, net.ErrClosed, false)
	return nil
}

func (m *memoryConn) Close() error {
	m.out.finish(io.EOF, net.ErrClosed, false)
	m.in.finish(net.ErrClosed, syscall.EPIPE, true)
	return nil
}

func (m *memoryConn) reset() {
	m.out.finish(syscall.ECONNRESET, net.ErrClosed, true)
	m.in.finish(net.ErrClosed, syscall.ECONNRESET, true)
}

// SetWriteDeadline is what crypto/tls needs for its close_notify.
func (m *memoryConn) SetWriteDeadline(at time.Time) error {
	q := m.out
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.timer != nil {
		q.timer.Stop()
	}
	q.late = false
	q.timer = time.AfterFunc(time.Until(at), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.late = true
		q.changed.Broadcast()
	})
	return nil
}

// MemoryLink makes connections in memory. Each direction holds limit bytes before its writer
// waits.
func MemoryLink(limit int) Link {
	return func(testing.TB, core.Side) (net.Conn, net.Conn) {
		g, p := inMemory(limit)
		return wire.New(g), p
	}
}

// Roomy is a connection in memory that holds 1 MiB in each direction.
func Roomy(t testing.TB, side core.Side) (gateway, peer net.Conn) { return MemoryLink(1<<20)(t, side) }

// Narrow is a connection in memory that holds 1 KiB in each direction.
func Narrow(t testing.TB, side core.Side) (gateway, peer net.Conn) { return MemoryLink(1<<10)(t, side) }
