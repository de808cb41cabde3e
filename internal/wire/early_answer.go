package wire

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
)

// earlyAnswer is how Writes treat a peer that may answer before it has read the whole
// request.
type earlyAnswer struct {
	expected atomic.Bool // Writes in the middle of a request hide their errors
	begun    atomic.Bool // a part of the request was written
	broken   atomic.Bool // a Write has failed: nothing more is written
}

// ExpectEarlyAnswer makes Writes in the middle of a request seem to succeed when the peer
// takes no more bytes: an answer that it sent before it closed can still be read, and
// Reads return the end. It is for clients of HTTP/1.1, whose servers may answer a request
// early and close (RFC 9112, section 9.5). It must be called before each request. The
// first Write of a request still fails: the peer has taken nothing of the request, which
// can go elsewhere.
func (c *Conn) ExpectEarlyAnswer() {
	c.early.expected.Store(true)
	c.early.begun.Store(false)
}

// write writes to the socket. It hides errors as [Conn.ExpectEarlyAnswer] says.
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
