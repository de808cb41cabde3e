package clientio

import (
	"errors"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"sluice/internal/limit"
)

const (
	// headUnit is how many bytes of a head need no memory from [HeadBudget], and how many
	// are acquired at a time beyond them.
	headUnit = 16 << 10

	// headShare is the share of the memory limit that heads may take, in bytes as they
	// came: what is made of them takes several times as much.
	headShare = 16
)

// errNoRoom is returned for a head that gets no memory.
var errNoRoom = errors.New("there is no room for another large head")

// HeadBudget is the memory for the heads of requests that are being read on many
// connections, beyond the first 16 KiB of each. One client address may have half of it.
type HeadBudget struct {
	most     int64 // bytes
	used     atomic.Int64
	byClient *limit.Sums
}

// NewHeadBudget returns a budget of a share of the process's memory limit.
func NewHeadBudget() *HeadBudget {
	return &HeadBudget{most: debug.SetMemoryLimit(-1) / headShare, byClient: limit.NewSums()}
}

// acquire takes n bytes for a client. It takes none and returns false if there are not so
// many.
func (b *HeadBudget) acquire(client netip.Addr, n int) bool {
	if b.used.Add(int64(n)) <= b.most && b.byClient.Acquire(client, n, b.most/2) {
		return true
	}
	b.used.Add(-int64(n))
	return false
}

// release gives n bytes of a client back.
func (b *HeadBudget) release(client netip.Addr, n int) {
	b.byClient.Release(client, n)
	b.used.Add(-int64(n))
}

// head is the head of a request that is being read.
type head struct {
	budget *HeadBudget

	mu     sync.Mutex
	active bool // between BeginHead and EndHead
	bytes  int  // of the head, as far as it was read
	held   int  // bytes acquired from the budget
}

// BeginHead must be called before the head of a request is read. Beyond 16 KiB the
// connection takes memory for the head from its [HeadBudget]. If there is no more, Reads
// cut the connection and fail.
func (c *Conn) BeginHead() {
	c.EndHead()
	c.head.mu.Lock()
	defer c.head.mu.Unlock()
	c.head.active, c.head.bytes = true, 0
}

// EndHead gives the memory of the head back: it was read, or will not be. It does nothing
// if there is none.
func (c *Conn) EndHead() {
	h := &c.head
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held > 0 {
		h.budget.release(c.clientKey(), h.held)
	}
	h.active, h.held = false, 0
}

// countHead counts n bytes of a Read. It returns an error if there is no memory for them.
func (c *Conn) countHead(n int) error {
	h := &c.head
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.active {
		return nil
	}
	for h.bytes += n; h.bytes > headUnit+h.held; h.held += headUnit {
		if !h.budget.acquire(c.clientKey(), headUnit) {
			return errNoRoom
		}
	}
	return nil
}

// clientKey returns what the client is counted by.
func (c *Conn) clientKey() netip.Addr { return limit.Key(c.Wire.Peer().Addr()) }
