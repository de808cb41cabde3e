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
	mu      sync.Mutex
	until   time.Time // the last reading serves
	last    Reading
	free    int  // descriptors up to the mark by it, less those taken since
	counted bool // free counts
}

// A Reading is what the process has room for at a moment.
type Reading struct {
	Short    Shortage // [NoDescriptors] or [NoMemory], or none
	Requests int64    // that it may have in work at once: they hold at most half of its memory, and each may need a descriptor
	Scarcest Shortage // what allows no more of them

	number uint64
}

// Short returns what the process is short of. Outside is as for [Memory]. The
// answer may be 100 ms old, but counts the descriptors that were taken with Take
// since.
func (r *Room) Short(now time.Time, outside int64) Shortage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.look(now, outside).Short
}

// Take counts a descriptor as taken, unless the process is short of something.
// What it returns is for Give.
func (r *Room) Take(now time.Time, outside int64) Reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	reading := r.look(now, outside)
	if reading.Short == 0 {
		r.free--
	}
	return reading
}

// Give is for something that Take has let in and that is over.
func (r *Room) Give(of Reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if of.number == r.last.number { // else the descriptors were counted since
		r.free++
	}
}

func (r *Room) look(now time.Time, outside int64) Reading {
	if !now.Before(r.until) {
		r.until = now.Add(roomInterval)
		r.read(outside)
	}
	reading := r.last
	if r.counted && r.free < 0 && reading.Short == 0 {
		reading.Short = NoDescriptors
	}
	return reading
}

func (r *Room) read(outside int64) {
	r.last = Reading{Requests: math.MaxInt64, number: r.last.number + 1}
	if used, most, ok := Memory(outside); ok {
		r.last.Requests, r.last.Scarcest = max(most/2/requestMemory, 1), NoMemory
		if float64(used) > mostMemory*float64(most) {
			r.last.Short = NoMemory
		}
	}
	used, most, ok := Descriptors()
	if r.counted = ok; !ok {
		return
	}
	mark := int(mostDescriptors * float64(most))
	r.free = mark - used
	if n := max(int64(mark), 1); n < r.last.Requests {
		r.last.Requests, r.last.Scarcest = n, NoDescriptors
	}
	if r.free < 0 {
		r.last.Short = NoDescriptors
	}
}

// Connections returns how many connections of clients the process may have open
// at once, of which sessions are WebSockets that take next to no memory, and what
// allows no more: half of the descriptors, as each may need another one to a
// backend, and what fits into half of its memory.
func Connections(sessions int64) (most int64, scarcest Shortage) {
	most = math.MaxInt64
	if n, ok := descriptorLimit(); ok {
		most, scarcest = max(n/2, 1), NoDescriptors
	}
	if memory := debug.SetMemoryLimit(-1); memory != math.MaxInt64 {
		if n := max(memory/2/connectionMemory, 1) + sessions; n < most {
			most, scarcest = n, NoMemory
		}
	}
	return most, scarcest
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
