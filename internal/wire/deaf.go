package wire

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
)

// answering is about a peer that may answer before it has read all it is sent.
type answering struct {
	listens atomic.Bool // Writes that fail are passed over
	asked   atomic.Bool // something of the request was written
	deaf    atomic.Bool // nothing more is written
}

// Listen has Writes in the middle of something seem to succeed when the peer
// takes no more: what it has said before it closed is still there to be read,
// and Reads tell the end. It is for clients of HTTP/1.1, whose servers may answer
// a request early and close (RFC 9112, section 9.5). It is to be called before
// each request: the first Write after it may fail, as nothing was taken then.
func (c *Conn) Listen() {
	c.answering.listens.Store(true)
	c.answering.asked.Store(false)
}

// write writes to the socket.
func (c *Conn) write(p []byte) (int, error) {
	a := &c.answering
	if !a.listens.Load() {
		return c.Conn.Write(p)
	}
	if a.deaf.Load() {
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	if err != nil && (n > 0 || a.asked.Load()) && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		a.deaf.Store(true)
		return len(p), nil
	}
	a.asked.Store(true)
	return n, err
}
