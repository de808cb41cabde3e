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
		return tcpProgress(tcp)
	}
	return 0, 0, false
}
