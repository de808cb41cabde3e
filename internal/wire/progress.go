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
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		if taken, came, ok := tcpProgress(tcp); ok {
			return taken, came
		}
	}
	return c.progress.out.Load(), c.progress.in.Load()
}
