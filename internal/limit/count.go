package limit

import (
	"net/netip"
	"sync"
)

// Counts is how many things each key holds at once.
type Counts struct {
	mu   sync.Mutex
	held map[netip.Addr]int
}

// NewCounts returns counts of nothing.
func NewCounts() *Counts { return &Counts{held: make(map[netip.Addr]int)} }

// Acquire takes one for key, unless it has most already; 0 means any number.
// Whoever gets one calls Release.
func (c *Counts) Acquire(key netip.Addr, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most > 0 && c.held[key] >= most {
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

// Sums is how much each key holds at once.
type Sums struct {
	mu   sync.Mutex
	held map[netip.Addr]int64
}

// NewSums returns sums of nothing.
func NewSums() *Sums { return &Sums{held: make(map[netip.Addr]int64)} }

// Acquire takes n for key, unless it would have more than most then. What it gets
// is given back with Release.
func (s *Sums) Acquire(key netip.Addr, n int, most int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[key]+int64(n) > most {
		return false
	}
	s.held[key] += int64(n)
	return true
}

// Release gives n back.
func (s *Sums) Release(key netip.Addr, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[key] -= int64(n); s.held[key] <= 0 {
		delete(s.held, key)
	}
}
