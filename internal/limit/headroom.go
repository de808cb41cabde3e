package limit

import (
	"math"
	"sync"
	"time"
)

// Above these shares of its limits the process takes no more requests.
const (
	maxDescriptorShare = 0.9
	maxMemoryShare     = 0.8
)

// readingInterval is how long one reading of what the process uses is valid.
const readingInterval = 100 * time.Millisecond

// requestMemory is the most memory that a request takes while it is answered,
// in bytes: its goroutine and its buffers, without what is read for slow peers.
const requestMemory = 64 << 10

// Headroom tells whether the process has descriptors and memory left for one
// more request. The zero value is ready to use. It is safe for concurrent use.
type Headroom struct {
	mu      sync.Mutex
	until   time.Time // last is valid until then
	last    Reading
	free    int  // descriptors below the mark at the last reading, less those acquired since
	counted bool // the system tells descriptors, so free is valid
}

// A Reading is what the process has left at one moment.
type Reading struct {
	Exhausted   Shortage // [NoDescriptors] or [NoMemory]; 0 while there is enough of both
	MaxRequests int64    // in work at once: they use at most half of the memory, and each may need a descriptor
	Scarcest    Shortage // what MaxRequests comes from: [NoDescriptors] or [NoMemory]

	number uint64 // of the reading; a new one counts all descriptors itself
}

// Acquire counts one descriptor as used, unless something is exhausted. Where
// the returned Reading says that nothing is, the caller owes one Release of it.
// The outside argument is the bytes of memory that the Go runtime does not know
// of. The Reading may be 100 ms old, but counts the descriptors acquired since.
func (h *Headroom) Acquire(now time.Time, outside int64) Reading {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.reading(now, outside)
	if r.Exhausted == 0 {
		h.free--
	}
	return r
}

// Release gives back the descriptor that Acquire counted when it returned r.
func (h *Headroom) Release(r Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.number == h.last.number { // else a later reading has counted the descriptors anew
		h.free++
	}
}

// reading returns what the process has left. The lock is held.
func (h *Headroom) reading(now time.Time, outside int64) Reading {
	if !now.Before(h.until) {
		h.until = now.Add(readingInterval)
		h.read(outside)
	}
	r := h.last
	if h.counted && h.free < 0 && r.Exhausted == 0 {
		r.Exhausted = NoDescriptors
	}
	return r
}

// read makes a new reading. The lock is held.
func (h *Headroom) read(outside int64) {
	h.last = Reading{MaxRequests: math.MaxInt64, number: h.last.number + 1}
	if used, most, ok := memoryUse(outside); ok {
		h.last.MaxRequests, h.last.Scarcest = max(most/2/requestMemory, 1), NoMemory
		if float64(used) > maxMemoryShare*float64(most) {
			h.last.Exhausted = NoMemory
		}
	}
	used, most, ok := descriptorUse()
	if h.counted = ok; !ok {
		return
	}
	mark := int(maxDescriptorShare * float64(most))
	h.free = mark - used
	if n := max(int64(mark), 1); n < h.last.MaxRequests {
		h.last.MaxRequests, h.last.Scarcest = n, NoDescriptors
	}
	if h.free < 0 {
		h.last.Exhausted = NoDescriptors
	}
}
