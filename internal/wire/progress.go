package wire

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// progress counts what passes through a connection.
type progress struct {
	in, out atomic.Int64 // bytes of Reads and Writes
	held    atomic.Bool  // to allowed
	allowed atomic.Int64 // bytes that Reads may still return
	filled  atomic.Int64 // when allowed was last added to for the time that passed, in ns of the Unix epoch
}

// So much more may come with the time, in bytes a second, and so much at once:
// for what keeps a connection alive.
const (
	perSecond  = 1 << 10
	mostAtOnce = 256 << 10
)

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

// errFlood is a peer that sends more than it was allowed.
var errFlood = errors.New("the peer sends much that asks for nothing")

// Allow lets Reads return n more bytes, and holds them to the sum of what was
// allowed: beyond it they fail. A connection that was never allowed anything
// may read any number.
func (c *Conn) Allow(n int64) {
	c.progress.allowed.Add(n)
	c.progress.held.Store(true)
}

// AllowAtLeast and AllowAtMost change how many more bytes Reads may return, if
// it is less or more than n.
func (c *Conn) AllowAtLeast(n int64) {
	if less := n - c.progress.allowed.Load(); less > 0 {
		c.Allow(less)
	}
}

func (c *Conn) AllowAtMost(n int64) {
	if more := c.progress.allowed.Load() - n; more > 0 {
		c.Allow(-more)
	}
}

// AllowAll lets Reads return any number of bytes from now on.
func (c *Conn) AllowAll() { c.progress.held.Store(false) }

// came notes n bytes of a Read.
func (p *progress) came(n int) error {
	p.in.Add(int64(n))
	if !p.held.Load() || p.allowed.Add(-int64(n)) >= 0 {
		return nil
	}
	now := time.Now().UnixNano()
	passed := time.Duration(now - p.filled.Swap(now))
	if p.allowed.Add(min(int64(passed.Seconds()*perSecond), mostAtOnce)) < 0 {
		return errFlood
	}
	return nil
}
