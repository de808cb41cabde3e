//go:build linux

package loop

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	turnUnit    = 8  // turns are counted in units of 256 ns
	turnBuckets = 96 // the last one is for all of 7 seconds and more
)

// Turns counts how long a loop was busy each time: from the moment at which it had something to do
// until all of that was done. What comes meanwhile has to wait so long. The loop counts; any
// goroutine may look.
type Turns struct {
	longest atomic.Int64
	busy    atomic.Int64               // nanoseconds of all turns
	counts  [turnBuckets]atomic.Uint64 // four for each doubling
}

// note counts a turn of so many nanoseconds.
func (t *Turns) note(ns int64) {
	t.busy.Store(t.busy.Load() + ns)
	if ns > t.longest.Load() {
		t.longest.Store(ns)
	}
	n := &t.counts[turnBucket(uint64(ns))]
	n.Store(n.Load() + 1)
}

// turnBucket returns the bucket of a turn.
func turnBucket(ns uint64) int {
	units := ns >> turnUnit
	if units < 4 {
		return int(units)
	}
	shift := bits.Len64(units) - 3
	return min(4*shift+int(units>>shift), turnBuckets-1)
}

// turnsBelow returns what the turns of a bucket are below.
func turnsBelow(bucket int) time.Duration {
	if bucket < 4 {
		return time.Duration(bucket+1) << turnUnit
	}
	shift := bucket/4 - 1
	return time.Duration(bucket-4*shift+1) << (turnUnit + shift)
}

// Count returns how many turns there were.
func (t *Turns) Count() (n uint64) {
	for i := range t.counts {
		n += t.counts[i].Load()
	}
	return n
}

// Busy returns how long all turns were together.
func (t *Turns) Busy() time.Duration { return time.Duration(t.busy.Load()) }

// Longest returns how long the longest turn was.
func (t *Turns) Longest() time.Duration { return time.Duration(t.longest.Load()) }

// Quantile returns what a part q of the turns is below, a quarter too long at most.
func (t *Turns) Quantile(q float64) time.Duration {
	total := t.Count()
	seen := uint64(0)
	for i := range t.counts {
		if seen += t.counts[i].Load(); float64(seen) >= q*float64(total) {
			return min(turnsBelow(i), max(t.Longest(), 1))
		}
	}
	return t.Longest()
}
