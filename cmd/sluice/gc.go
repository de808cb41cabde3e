package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	gcInterval   = 2 * time.Second
	idleBytes    = 256 << 10 // an interval with fewer allocated bytes is idle
	garbageBytes = 1 << 20   // so many bytes allocated since the last collection are worth a new one

	mostReserved  = 16 << 20 // bytes
	reservedShare = 32       // of the memory limit; it counts there
)

// reservedHeap returns memory that is never touched, so that it takes none of the machine's. While
// it is kept, the garbage collector counts it as alive and waits until that much more has been
// allocated: with the few megabytes of a gateway that only forwards, it would collect tens of times
// a second. Limit is the memory limit in bytes.
func reservedHeap(limit int64) []byte { return make([]byte, min(mostReserved, limit/reservedShare)) }

// burstWatch notices when a burst of work is over. The Go runtime collects
// garbage only when more is allocated. Without another burst, the garbage of the
// last one, its handshakes above all, would stay for minutes, and take far more
// memory than the sessions themselves.
type burstWatch struct {
	allocated uint64 // bytes allocated by the process, at the last call of over
	collected uint64 // the same, when over last returned true
}

// over must be called once an interval, with the bytes that the process has
// allocated so far. It reports whether garbage should be collected and its memory
// returned to the system.
func (b *burstWatch) over(allocated uint64) bool {
	recent := allocated - b.allocated
	b.allocated = allocated
	if recent >= idleBytes || allocated-b.collected < garbageBytes {
		return false
	}
	b.collected = allocated
	return true
}

// collectAfterBursts collects garbage and returns its memory to the system after
// each burst of work, until ctx ends.
func collectAfterBursts(ctx context.Context) {
	tick := time.NewTicker(gcInterval)
	defer tick.Stop()
	var b burstWatch
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if metrics.Read(sample); b.over(sample[0].Value.Uint64()) {
			debug.FreeOSMemory()
		}
	}
}
