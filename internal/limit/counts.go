package limit

import (
	"math"
	"net/netip"
	"sync"
)

// Sums is an amount for each key: how much the key uses at this moment. It is
// safe for concurrent use and remembers only keys that use something.
type Sums struct {
	mu   sync.Mutex
	used map[netip.Addr]int64
}

// NewSums returns sums of nothing.
func NewSums() *Sums { return &Sums{used: make(map[netip.Addr]int64)} }

// Acquire adds n to what key uses and returns true. It adds nothing and returns
// false if key would use more than most. After true the caller owes one Release
// of the same n.
func (s *Sums) Acquire(key netip.Addr, n int, most int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[key] > most-int64(n) {
		return false
	}
	s.used[key] += int64(n)
	return true
}

// Release takes n from what key uses.
func (s *Sums) Release(key netip.Addr, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[key] -= int64(n); s.used[key] <= 0 {
		delete(s.used, key)
	}
}

// Counts is the [Sums] of things that count one each: how many of them each key
// has at this moment.
type Counts struct{ sums Sums }

// NewCounts returns counts of nothing.
func NewCounts() *Counts { return &Counts{Sums{used: make(map[netip.Addr]int64)}} }

// Acquire counts one for key and returns true. It counts nothing and returns
// false if key has most already; a most of 0 allows any number. After true the
// caller owes one Release.
func (c *Counts) Acquire(key netip.Addr, most int) bool {
	if most <= 0 {
		return c.sums.Acquire(key, 1, math.MaxInt64)
	}
	return c.sums.Acquire(key, 1, int64(most))
}

// Release counts one less for key.
func (c *Counts) Release(key netip.Addr) { c.sums.Release(key, 1) }
