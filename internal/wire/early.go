package wire

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
)

// earlyAnswer is about a peer that may answer before it has read the whole
// request.
type earlyAnswer struct {
	expected atomic.Bool // Writes that fail are passed over
	begun    atomic.Bool // something of the request was written
	broken   atomic.Bool // nothing more is written
}

// ExpectEarlyAnswer has Writes in the middle of something seem to succeed when the peer
// takes no more: what it has said before it closed is still there to be read,
// and Reads tell the end. It is for clients of HTTP/1.1, whose servers may answer
// a request early and close (RFC 9112, section 9.5). It is to be called before
// each request: the first Write after it may fail, as nothing was taken then.
func (c *Conn) ExpectEarlyAnswer() {
	c.early.expected.Store(true)
	c.early.begun.Store(false)
}

// write writes to the socket.
func (c *Conn) write(p []byte) (int, error) {
	a := &c.early
	if !a.expected.Load() {
		return c.Conn.Write(p)
	}
	if a.broken.Load() {
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	if err != nil && (n > 0 || a.begun.Load()) && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		a.broken.Store(true)
		return len(p), nil
	}
	a.begun.Store(true)
	return n, err
}
