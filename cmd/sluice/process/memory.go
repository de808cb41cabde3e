package process

import (
	"context"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// setMemoryLimit sets the memory limit of the garbage collector to nine tenths of
// what the control group allows the process, or of what the machine has. The rest
// is for memory that the runtime does not count. It does nothing when GOMEMLIMIT
// is set. Root is the root of the file system. It returns the limit in bytes, 0
// when it set none, and of what it is nine tenths.
func setMemoryLimit(root fs.FS) (bytes int64, of string) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0, ""
	}
	allowed, of := groupMemory(root), "the control group"
	if machine := machineMemory(root); allowed == 0 || machine != 0 && machine < allowed {
		allowed, of = machine, "the machine"
	}
	if allowed == 0 {
		return 0, ""
	}
	bytes = allowed - allowed/10
	debug.SetMemoryLimit(bytes)
	return bytes, of
}

// machineMemory returns how many bytes of memory the machine has, 0 when the
// system does not tell.
func machineMemory(root fs.FS) (bytes int64) {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 53)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// groupMemory returns how many bytes of memory the control group of the process
// (version 2 or 1) and the groups above it allow: the least of their limits, 0
// when there is none. A limit that cannot be read counts as none.
func groupMemory(root fs.FS) (bytes int64) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path; version 2 is hierarchy 0, without controllers.
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		switch {
		case controllers == "":
			least = min(least, leastOf(root, "sys/fs/cgroup", group, "memory.max"))
		case strings.Contains(","+controllers+",", ",memory,"):
			least = min(least, leastOf(root, "sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
		}
	}
	// Version 1 writes a very large number when there is no limit.
	const none = 1 << 60
	if least >= none {
		return 0
	}
	return least
}

// leastOf returns the least number in the files of this name in the directory of
// a group and in those above it, up to mount; math.MaxInt64 when there is none. In
// a container the path of the group may exist on the host only; its files are
// then those in mount.
func leastOf(root fs.FS, mount, group, file string) (least int64) {
	least = math.MaxInt64
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		text, err := fs.ReadFile(root, path.Join(mount, group, file))
		if n, wrong := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && wrong == nil && n > 0 {
			least = min(least, n)
		}
		if group == "/" {
			return least
		}
	}
}

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
