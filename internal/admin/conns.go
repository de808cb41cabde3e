package admin

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// limited is a listener with at most so many connections open at once. Where there are more, it
// closes the oldest one that works on no request which was let in, so that those who may do nothing
// keep no operator out.
type limited struct {
	net.Listener
	most    int
	secure  func() *tls.Config // of connections; nil means no TLS
	reserve func() *reserve    // for when the process may open no more descriptors; nil has none

	mu    sync.Mutex
	conns []*limitedConn // the oldest first
}

func limitConns(l net.Listener, most int) *limited {
	return &limited{Listener: l, most: most, secure: func() *tls.Config { return nil }, reserve: func() *reserve { return nil }}
}

// limitedConn is a connection of a limited listener.
type limitedConn struct {
	net.Conn
	listener *limited
	secure   *tls.Config  // what it was accepted with; nil means no TLS
	requests atomic.Int32 // that it works on and that were let in
}

// Accept implements [net.Listener].
func (l *limited) Accept() (net.Conn, error) {
	on, err := l.Listener.Accept()
	if r := l.reserve(); errors.Is(err, syscall.EMFILE) && r.spend() {
		if on, err = l.Listener.Accept(); err != nil {
			r.fill() // somebody else was faster; there is another try soon
		}
	}
	if err != nil {
		return nil, err
	}
	c := &limitedConn{Conn: on, listener: l, secure: l.secure()}
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
	if len(l.conns) <= l.most {
		return nil
	}
	for _, o := range l.conns {
		if o.requests.Load() == 0 {
			return o
		}
	}
	return c
}

// Close implements [net.Conn].
func (c *limitedConn) Close() error {
	l := c.listener
	l.mu.Lock()
	for i, o := range l.conns {
		if o == c {
			l.conns = append(l.conns[:i], l.conns[i+1:]...)
			break
		}
	}
	l.mu.Unlock()
	err := c.Conn.Close()
	l.reserve().fill()
	return err
}

// limitedOf returns the connection below TLS, where there is TLS.
func limitedOf(c net.Conn) *limitedConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	l, _ := c.(*limitedConn)
	return l
}
