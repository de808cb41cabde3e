package wire

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// allowance is how many bytes a peer may still send.
type allowance struct {
	limited  atomic.Bool  // Reads fail beyond the allowance
	left     atomic.Int64 // bytes that Reads may still return
	refilled atomic.Int64 // when left last grew with the time, in ns of the Unix epoch
	flooded  atomic.Bool  // the peer has sent more than left
}

// A peer may send this much more as time passes: for pings, window updates and the other
// bytes that keep a connection alive.
const (
	refillRate = 64 << 10  // bytes a second
	maxRefill  = 256 << 10 // bytes at once
)

// errFlood is returned for a peer that sends more than its allowance.
var errFlood = errors.New("the peer sends much that asks for nothing")

// Allow lets Reads return n more bytes. Its first call puts a limit on the connection:
// Reads fail when they have returned more than the sum of what was allowed, and of 64 KiB
// for each second. Before it Reads may return any number of bytes.
func (c *Conn) Allow(n int64) {
	c.allowance.left.Add(n)
	c.allowance.limited.Store(true)
}

// AllowAtLeast raises what Reads may still return to n bytes, if it is less.
func (c *Conn) AllowAtLeast(n int64) {
	if less := n - c.allowance.left.Load(); less > 0 {
		c.Allow(less)
	}
}

// AllowAtMost lowers what Reads may still return to n bytes, if it is more.
func (c *Conn) AllowAtMost(n int64) {
	if more := c.allowance.left.Load() - n; more > 0 {
		c.Allow(-more)
	}
}

// AllowAll removes the limit: Reads may return any number of bytes from now on.
func (c *Conn) AllowAll() { c.allowance.limited.Store(false) }

// Flooded reports whether the peer has sent more than it was allowed.
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

// headUnit is how many bytes of a head need no memory from [HeadMemory], and how many are
// acquired at a time beyond them.
const headUnit = 16 << 10

// errNoRoom is returned for a head that gets no memory.
var errNoRoom = errors.New("there is no room for another large head")

// HeadMemory is the memory for the heads of requests that are being read on many
// connections.
type HeadMemory interface {
	Acquire(n int) bool // n bytes, if there are so many
	Release(n int)
}

// head is the head of a request that is being read.
type head struct {
	mu     sync.Mutex
	memory HeadMemory
	active bool // between BeginHead and EndHead
	bytes  int  // of the head, as far as it was read
	held   int  // bytes acquired from memory
}

// BeginHead must be called before the head of a request is read. Beyond 16 KiB the
// connection acquires memory for the head from m. Reads fail when m has no more.
func (c *Conn) BeginHead(m HeadMemory) {
	c.EndHead()
	c.head.mu.Lock()
	defer c.head.mu.Unlock()
	c.head.memory, c.head.active, c.head.bytes = m, true, 0
}

// EndHead releases the memory of the head: it was read, or will not be. It does nothing
// if there is none.
func (c *Conn) EndHead() {
	h := &c.head
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held > 0 {
		h.memory.Release(h.held)
	}
	h.active, h.held = false, 0
}

// add counts n bytes of a Read. It returns an error if there is no memory for them.
func (h *head) add(n int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.active {
		return nil
	}
	for h.bytes += n; h.bytes > headUnit+h.held; h.held += headUnit {
		if !h.memory.Acquire(headUnit) {
			return errNoRoom
		}
	}
	return nil
}
