package limit

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Above these shares of what the process may have, there is no room for more.
const (
	mostDescriptors = 0.9
	mostMemory      = 0.8
)

// roomInterval is how long a reading of what is used serves.
const roomInterval = 100 * time.Millisecond

// What each takes of the memory, at the most, as long as nothing is read for
// slow peers: a request that is answered, with its goroutine and its buffers,
// and a connection, with TLS and HTTP.
const (
	requestMemory    = 64 << 10
	connectionMemory = 32 << 10
)

// Room tells whether the process has room for more. The zero value is ready, and
// safe for concurrent use.
type Room struct {
	mu       sync.Mutex
	until    time.Time // the last reading serves
	reading  uint64    // its number
	short    Shortage  // by it
	free     int       // descriptors up to the mark by it, less those taken since
	counted  bool      // free counts
	requests int64     // at once, by it
	scarcest Shortage  // what allows no more
}

// Short returns what the process is short of, [NoDescriptors] or [NoMemory], or
// none. Outside is as for [Memory]. The answer may be 100 ms old, but counts the
// descriptors that were taken with Take since.
func (r *Room) Short(now time.Time, outside int64) (what Shortage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.look(now, outside)
}

// Take is Short for something that may take a descriptor, where the process is
// not short. What it returns besides is for Give.
func (r *Room) Take(now time.Time, outside int64) (what Shortage, reading uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if what = r.look(now, outside); what == 0 {
		r.free--
	}
	return what, r.reading
}

// Give is for something that Take has let in and that is over.
func (r *Room) Give(reading uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reading == r.reading { // else the descriptors were counted since
		r.free++
	}
}

// Requests returns how many requests the process may have in work at once, and
// what allows no more: they hold at most half of its memory, and each may need a
// descriptor.
func (r *Room) Requests(now time.Time, outside int64) (most int64, scarcest Shortage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look(now, outside)
	return r.requests, r.scarcest
}

func (r *Room) look(now time.Time, outside int64) Shortage {
	if now.Before(r.until) {
		if r.counted && r.free < 0 {
			return NoDescriptors
		}
		return r.short
	}
	r.reading++
	r.until, r.short, r.counted, r.requests = now.Add(roomInterval), 0, false, math.MaxInt64
	if used, most, ok := Memory(outside); ok {
		r.requests, r.scarcest = max(most/2/requestMemory, 1), NoMemory
		if float64(used) > mostMemory*float64(most) {
			r.short = NoMemory
		}
	}
	if used, most, ok := Descriptors(); ok {
		r.free, r.counted = int(mostDescriptors*float64(most))-used, true
		if n := max(int64(mostDescriptors*float64(most)), 1); n < r.requests {
			r.requests, r.scarcest = n, NoDescriptors
		}
		if r.free < 0 {
			r.short = NoDescriptors
		}
	}
	return r.short
}

// Connections returns how many connections of clients the process may have open
// at once, of which sessions are WebSockets that take next to no memory: half of
// the descriptors, as each may need another one to a backend, and what fits
// into half of its memory.
func Connections(sessions int64) int64 {
	n := int64(math.MaxInt64)
	if most, ok := descriptorLimit(); ok {
		n = max(most/2, 1)
	}
	if most := debug.SetMemoryLimit(-1); most != math.MaxInt64 {
		n = min(n, max(most/2/connectionMemory, 1)+sessions)
	}
	return n
}

// Memory returns how many bytes the process uses, as far as no garbage
// collection could give them back, and its limit (GOMEMLIMIT). Outside are bytes
// that the Go runtime does not know of. It is not ok when there is no limit.
func Memory(outside int64) (used, most int64, ok bool) {
	if most = debug.SetMemoryLimit(-1); most == math.MaxInt64 {
		return 0, 0, false
	}
	samples := [...]metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/gc/heap/live:bytes"},
		// Of the heap only what lives counts.
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples[:])
	used = outside
	for i, s := range samples {
		if i < 2 {
			used += int64(s.Value.Uint64())
		} else {
			used -= int64(s.Value.Uint64())
		}
	}
	return used, most, true
}
