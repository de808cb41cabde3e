package wire

import (
	"errors"
	"sync"
)

// headFree is how much of a head a connection may bring without asking.
const headFree = 16 << 10

// errNoRoom is a head for which there is no room.
var errNoRoom = errors.New("there is no room for another large head")

// A Lender has room for the heads of requests, in bytes, for all connections
// together.
type Lender interface {
	Borrow(n int) bool
	Return(n int)
}

// head is the head of a request that is under way.
type head struct {
	mu       sync.Mutex
	lender   Lender // nil where there is no bound
	underWay bool
	bytes    int // that came of it
	borrowed int
}

// BeginHead says that what comes next is the head of a request. Beyond 16 KiB its
// bytes are borrowed from l; where it has none left, Reads fail.
func (c *Conn) BeginHead(l Lender) {
	c.EndHead()
	c.head.mu.Lock()
	defer c.head.mu.Unlock()
	c.head.lender, c.head.underWay, c.head.bytes = l, true, 0
}

// EndHead says that the head is there, or that nothing of it will be.
func (c *Conn) EndHead() {
	h := &c.head
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.borrowed > 0 {
		h.lender.Return(h.borrowed)
	}
	h.underWay, h.borrowed = false, 0
}

// take notes n bytes of a Read.
func (h *head) take(n int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.underWay {
		return nil
	}
	for h.bytes += n; h.bytes > headFree+h.borrowed; h.borrowed += headFree {
		if !h.lender.Borrow(headFree) {
			return errNoRoom
		}
	}
	return nil
}
