package wire

import (
	"net"
	"sync/atomic"
)

// progress counts what passes through a connection.
type progress struct {
	in, out atomic.Int64 // bytes of Reads and Writes
}

// Progress returns how many bytes the peer has taken and sent in all, as its
// TCP sees it: what waits in a send queue of this side was not taken. Where the
// system does not tell, the bytes of Writes and Reads are the answer.
func (c *Conn) Progress() (taken, came int64) {
	if taken, came, ok := c.Acknowledged(); ok {
		return taken, came
	}
	return c.progress.out.Load(), c.progress.in.Load()
}

// Acknowledged is Progress where the system tells.
func (c *Conn) Acknowledged() (taken, came int64, ok bool) {
	if tcp, isTCP := c.Conn.(*net.TCPConn); isTCP {
		taken, came, _, ok = tcpProgress(tcp)
	}
	return taken, came, ok
}

// Waiting returns how many bytes the peer has taken, and how many were written
// that the system still holds for it, about; zeros where the system does not tell.
func (c *Conn) Waiting() (taken, waiting int64) {
	if tcp, isTCP := c.Conn.(*net.TCPConn); isTCP {
		taken, _, waiting, _ = tcpProgress(tcp)
	}
	return taken, waiting
}
