package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	quietInterval = 2 * time.Second
	quietBytes    = 256 << 10 // allocated in an interval in which nothing happens
	worthBytes    = 1 << 20   // allocated since, from which on it is worth to look for garbage
)

// quiet notices when a burst of work is over. The Go runtime collects garbage
// only when more is allocated: without another burst, what the last one left,
// and what its handshakes needed, would stay for minutes, and dwarf what the
// sessions themselves cost.
type quiet struct {
	seen, collected uint64 // bytes allocated up to the last look, and the last collection
}

// over is told how many bytes were allocated up to now, once an interval. It
// reports whether garbage should be collected and its memory given back.
func (q *quiet) over(allocated uint64) bool {
	recent := allocated - q.seen
	q.seen = allocated
	if recent >= quietBytes || allocated-q.collected < worthBytes {
		return false
	}
	q.collected = allocated
	return true
}

// giveBack gives memory back to the system whenever a burst is over, until ctx
// ends.
func giveBack(ctx context.Context) {
	tick := time.NewTicker(quietInterval)
	defer tick.Stop()
	var q quiet
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if metrics.Read(sample); q.over(sample[0].Value.Uint64()) {
			debug.FreeOSMemory()
		}
	}
}
