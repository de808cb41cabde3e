package wire

import (
	"errors"
	"sync/atomic"
	"time"
)

// allowance bounds what a peer may send.
type allowance struct {
	held   atomic.Bool  // Reads are held to it
	left   atomic.Int64 // bytes that Reads may still return
	filled atomic.Int64 // when it was last added to for the time that passed, in ns of the Unix epoch
	flood  atomic.Bool  // the peer went beyond it
}

// So much more may come with the time, in bytes a second, and so much at once:
// pings, updates of windows, and what else keeps a connection alive.
const (
	perSecond  = 64 << 10
	mostAtOnce = 256 << 10
)

// errFlood is a peer that sends more than it was allowed.
var errFlood = errors.New("the peer sends much that asks for nothing")

// Allow lets Reads return n more bytes, and holds them to the sum of what was
// allowed: beyond it they fail. A connection that was never allowed anything
// may read any number.
func (c *Conn) Allow(n int64) {
	c.allowance.left.Add(n)
	c.allowance.held.Store(true)
}

// AllowAtLeast and AllowAtMost change how many more bytes Reads may return, if
// it is less or more than n.
func (c *Conn) AllowAtLeast(n int64) {
	if less := n - c.allowance.left.Load(); less > 0 {
		c.Allow(less)
	}
}

func (c *Conn) AllowAtMost(n int64) {
	if more := c.allowance.left.Load() - n; more > 0 {
		c.Allow(-more)
	}
}

// AllowAll lets Reads return any number of bytes from now on.
func (c *Conn) AllowAll() { c.allowance.held.Store(false) }

// Flooded reports whether the peer has sent more than it was allowed.
func (c *Conn) Flooded() bool { return c.allowance.flood.Load() }

// spend takes n bytes of a Read from the allowance.
func (a *allowance) spend(n int) error {
	if !a.held.Load() || a.left.Add(-int64(n)) >= 0 {
		return nil
	}
	now := time.Now().UnixNano()
	passed := time.Duration(now - a.filled.Swap(now))
	if a.left.Add(min(int64(passed.Seconds()*perSecond), mostAtOnce)) >= 0 {
		return nil
	}
	a.flood.Store(true)
	return errFlood
}
