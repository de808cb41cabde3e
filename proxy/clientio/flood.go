package clientio

import (
	"errors"
	"sync/atomic"
	"time"
)

// allowance is how many bytes a client may still send.
type allowance struct {
	limited  atomic.Bool  // Reads fail beyond the allowance
	left     atomic.Int64 // bytes that Reads may still return
	refilled atomic.Int64 // when left last grew with the time, in ns of the Unix epoch
	flooded  atomic.Bool  // the client has sent more than left
}

// A client may send this much more as time passes: for pings, window updates and the other
// bytes that keep a connection alive.
const (
	refillRate = 64 << 10  // bytes a second
	maxRefill  = 256 << 10 // bytes at once
)

// errFlood is returned for a client that sends more than its allowance.
var errFlood = errors.New("the peer sends much that asks for nothing")

// Allow lets the client send n more bytes. Its first call puts a limit on the connection:
// Reads cut it and fail when they have returned more than the sum of what was allowed, and
// of 64 KiB for each second. Before it the client may send any number of bytes. Bytes are
// counted below TLS.
func (c *Conn) Allow(n int64) {
	c.allowance.left.Add(n)
	c.allowance.limited.Store(true)
}

// AllowAtLeast raises what the client may still send to n bytes, if it is less.
func (c *Conn) AllowAtLeast(n int64) {
	if less := n - c.allowance.left.Load(); less > 0 {
		c.Allow(less)
	}
}

// AllowAtMost lowers what the client may still send to n bytes, if it is more.
func (c *Conn) AllowAtMost(n int64) {
	if more := c.allowance.left.Load() - n; more > 0 {
		c.Allow(-more)
	}
}

// allowAll removes the limit: the client may send any number of bytes from now on.
func (c *Conn) allowAll() { c.allowance.limited.Store(false) }

// Flooded reports whether the client has sent more than it was allowed.
func (c *Conn) Flooded() bool { return c.allowance.flooded.Load() }

// spend takes n bytes of a Read from the allowance. It returns an error if there are not
// so many.
func (a *allowance) spend(n int) error {
	if !a.limited.Load() || a.left.Add(-int64(n)) >= 0 {
		return nil
	}
	now := time.Now().UnixNano()
	passed := time.Duration(now - a.refilled.Swap(now))
	if a.left.Add(min(int64(passed.Seconds()*refillRate), maxRefill)) >= 0 {
		return nil
	}
	a.flooded.Store(true)
	return errFlood
}
