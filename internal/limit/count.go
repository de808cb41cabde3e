package limit

import (
	"net/netip"
	"sync"
)

// Counts is how many things each key holds at once.
type Counts struct {
	max int

	mu   sync.Mutex
	held map[netip.Addr]int
}

// NewCounts returns counts of at most max a key.
func NewCounts(max int) *Counts {
	return &Counts{max: max, held: make(map[netip.Addr]int)}
}

// Acquire takes one for key, unless it has max already. Whoever gets one calls
// Release.
func (c *Counts) Acquire(key netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[key] >= c.max {
		return false
	}
	c.held[key]++
	return true
}

// Release gives one back.
func (c *Counts) Release(key netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[key]--; c.held[key] <= 0 {
		delete(c.held, key)
	}
}
