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

// Room tells whether the process has room for more. The zero value is ready, and
// safe for concurrent use.
type Room struct {
	mu    sync.Mutex
	until time.Time // the last reading serves
	short string    // by it
}

// Short returns what the process is short of, "file descriptors" or "memory", or
// "". Outside is as for [Memory]. The answer may be 100 ms old.
func (r *Room) Short(now time.Time, outside int64) (what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.until) {
		return r.short
	}
	r.until, r.short = now.Add(roomInterval), ""
	if used, most, ok := Descriptors(); ok && float64(used) > mostDescriptors*float64(most) {
		r.short = "file descriptors"
	} else if used, most, ok := Memory(outside); ok && float64(used) > mostMemory*float64(most) {
		r.short = "memory"
	}
	return r.short
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
