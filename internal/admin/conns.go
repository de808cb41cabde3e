package admin

import (
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"sluice/internal/limit"
)

// ways is how many listeners there are at most: one of each kind.
const ways = 4

// limited is a listener with at most so many connections open at once. Where there are more, it
// closes the oldest one that works on no request which was let in, so that those who may do nothing
// keep no operator out.
type limited struct {
	net.Listener
	most int
	// mostLast is how many may have descriptors that clients leave to operators ([limit.Margin]). With a limit of 80
	// and more there are enough for one more on each listener, which the oldest one is closed for.
	mostLast int
	secure   func() *tls.Config // of connections; nil means no TLS

	mu    sync.Mutex
	conns []*limitedConn // the oldest first
}

func limitConns(l net.Listener, most int) *limited {
	return &limited{
		Listener: l, most: most, mostLast: max(limit.ForOperators()/ways-1, 1), secure: func() *tls.Config { return nil },
	}
}

// limitedConn is a connection of a limited listener.
type limitedConn struct {
	net.Conn
	listener *limited
	secure   *tls.Config  // what it was accepted with; nil means no TLS
	last     bool         // its descriptor is one of the last
	requests atomic.Int32 // that it works on and that were let in
}

// Accept implements [net.Listener].
func (l *limited) Accept() (net.Conn, error) {
	on, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &limitedConn{Conn: on, listener: l, secure: l.secure(), last: limit.Margin(on) <= 0}
	if oldest := l.add(c); oldest != nil {
		oldest.Close()
	}
	if c.secure != nil {
		return tls.Server(c, c.secure), nil
	}
	return c, nil
}

// add adds a connection, and returns the one that has to go for it, or nil.
func (l *limited) add(c *limitedConn) (oldest *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
	last := 0
	for _, o := range l.conns {
		if o.last {
			last++
		}
	}
	tooMany := func(o *limitedConn) bool { return len(l.conns) > l.most || o.last && last > l.mostLast }
	if !tooMany(c) {
		return nil
	}
	if i := slices.IndexFunc(l.conns, func(o *limitedConn) bool { return tooMany(o) && o.requests.Load() == 0 }); i >= 0 {
		return l.conns[i]
	}
	return c
}

// Close implements [net.Conn].
func (c *limitedConn) Close() error {
	l := c.listener
	l.mu.Lock()
	l.conns = slices.DeleteFunc(l.conns, func(o *limitedConn) bool { return o == c })
	l.mu.Unlock()
	return c.Conn.Close()
}

// limitedOf returns the connection below TLS, where there is TLS.
func limitedOf(c net.Conn) *limitedConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	l, _ := c.(*limitedConn)
	return l
}
