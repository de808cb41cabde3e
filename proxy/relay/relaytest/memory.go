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

var Roomy, Narrow = MemoryLink(1 << 20), MemoryLink(1 << 10)

// A queue is one direction of a connection in memory.
type MemoryQueue struct {
	Mu      sync.Mutex
	Changed sync.Cond
	Limit   int // bytes it holds before a writer waits
	B       []byte
	End     error // for the reader, behind b
	Refused error // for the writer
	Late    bool  // the writer's deadline is over
	Timer   *time.Timer
}

// MemoryConn is one end of a connection in memory: a socket with buffers, halves
// and resets, which testing/synctest sees through.
type MemoryConn struct {
	net.Conn // nil: an engine needs no addresses and no deadlines
	In, Out  *MemoryQueue
}

// InMemory returns both ends of a connection.
func InMemory(limit int) (a, b net.Conn) {
	x, y := &MemoryQueue{Limit: limit}, &MemoryQueue{Limit: limit}
	x.Changed.L, y.Changed.L = &x.Mu, &y.Mu
	return &MemoryConn{In: x, Out: y}, &MemoryConn{In: y, Out: x}
}

func (m *MemoryConn) Read(p []byte) (int, error) {
	q := m.In
	q.Mu.Lock()
	defer q.Mu.Unlock()
	for len(q.B) == 0 && q.End == nil {
		q.Changed.Wait()
	}
	if len(q.B) == 0 {
		return 0, q.End
	}
	n := copy(p, q.B)
	q.B = q.B[n:]
	q.Changed.Broadcast()
	return n, nil
}

func (m *MemoryConn) Write(p []byte) (n int, err error) {
	q := m.Out
	q.Mu.Lock()
	defer q.Mu.Unlock()
	for n < len(p) {
		for len(q.B) >= q.Limit && q.Refused == nil && !q.Late {
			q.Changed.Wait()
		}
		switch {
		case q.Refused != nil:
			return n, q.Refused
		case q.Late:
			return n, os.ErrDeadlineExceeded
		}
		k := min(q.Limit-len(q.B), len(p)-n)
		q.B = append(q.B, p[n:n+k]...)
		n += k
		q.Changed.Broadcast()
	}
	return n, nil
}

// Finish sets the errors that are not set yet.
func (q *MemoryQueue) Finish(end, refused error, drop bool) {
	q.Mu.Lock()
	defer q.Mu.Unlock()
	if q.End == nil && end != nil {
		q.End = end
	}
	if q.Refused == nil {
		q.Refused = refused
	}
	if drop {
		q.B = nil
	}
	q.Changed.Broadcast()
}

func (m *MemoryConn) CloseWrite() error {
	m.Out.Finish(io.EOF, net.ErrClosed, false)
	return nil
}

func (m *MemoryConn) Close() error {
	m.Out.Finish(io.EOF, net.ErrClosed, false)
	m.In.Finish(net.ErrClosed, syscall.EPIPE, true)
	return nil
}

func (m *MemoryConn) Reset() {
	m.Out.Finish(syscall.ECONNRESET, net.ErrClosed, true)
	m.In.Finish(net.ErrClosed, syscall.ECONNRESET, true)
}

// SetWriteDeadline is what crypto/tls needs for its close_notify.
func (m *MemoryConn) SetWriteDeadline(at time.Time) error {
	q := m.Out
	q.Mu.Lock()
	defer q.Mu.Unlock()
	if q.Timer != nil {
		q.Timer.Stop()
	}
	q.Late = false
	q.Timer = time.AfterFunc(time.Until(at), func() {
		q.Mu.Lock()
		defer q.Mu.Unlock()
		q.Late = true
		q.Changed.Broadcast()
	})
	return nil
}

func MemoryLink(limit int) Link {
	return func(testing.TB, core.Side) (net.Conn, net.Conn) {
		g, p := InMemory(limit)
		return wire.New(g), p
	}
}
