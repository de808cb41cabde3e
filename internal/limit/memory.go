package limit

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
)

// memoryLimit returns the memory limit of the process in bytes (GOMEMLIMIT). It
// is not ok when there is none.
func memoryLimit() (most int64, ok bool) {
	most = debug.SetMemoryLimit(-1)
	return most, most != math.MaxInt64
}

// memoryUse returns how many bytes of memory the process uses that no garbage
// collection could free, and its limit. The outside argument is the bytes that
// the Go runtime does not know of. It is not ok when there is no limit.
func memoryUse(outside int64) (used, most int64, ok bool) {
	if most, ok = memoryLimit(); !ok {
		return 0, 0, false
	}
	samples := [...]metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/gc/heap/live:bytes"},
		// Of the heap only the live objects count, so the rest of it is subtracted.
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

// Use is how much of something is in use, and the most that there may be; 0 if there is no limit.
type Use struct{ Used, Limit int64 }

// fewDescriptors is how many descriptors are listed, which is exact and takes a time for each.
const fewDescriptors = 2000

// ProcessUse returns how many descriptors and how many bytes of memory the process uses. Outside is
// the memory that the Go runtime does not know of.
func ProcessUse(outside int64) (descriptors, memory Use) {
	if most, ok := descriptorLimit(); ok {
		descriptors.Limit = most
	}
	if used, _, ok := descriptorUse(); ok {
		descriptors.Used = int64(used)
	}
	if descriptors.Used < fewDescriptors {
		if open, err := os.ReadDir("/proc/self/fd"); err == nil {
			descriptors.Used = int64(len(open) - 1) // not that of the directory
		}
	}
	sample := [...]metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample[:])
	memory.Used = outside + int64(sample[0].Value.Uint64()-sample[1].Value.Uint64())
	memory.Limit, _ = memoryLimit()
	return descriptors, memory
}
