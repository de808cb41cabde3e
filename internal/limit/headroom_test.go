package limit

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// limitMemory sets the memory limit of the process until the test ends.
func limitMemory(t *testing.T, n int64) {
	t.Helper()
	before := debug.SetMemoryLimit(n)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
}

func TestMemoryUseWithoutALimit(t *testing.T) {
	limitMemory(t, math.MaxInt64)
	if used, most, ok := memoryUse(1 << 50); ok {
		t.Errorf("memoryUse = %d of %d; want none without a limit", used, most)
	}
	if got := new(Headroom).reading(time.Unix(1, 0), 1<<50).Exhausted; got == NoMemory {
		t.Error("memory is exhausted; want that it is not without a limit")
	}
}

func TestMemoryUseCountsLiveMemory(t *testing.T) {
	const block = 64 << 20
	limitMemory(t, 1<<40)
	read := func(outside int64) int64 {
		runtime.GC()
		used, most, ok := memoryUse(outside)
		if !ok || most != 1<<40 {
			t.Fatalf("memoryUse = %d of %d, %t; want a limit of %d", used, most, ok, int64(1<<40))
		}
		return used
	}
	before := read(0)
	kept := make([]byte, block)
	living := read(0)
	runtime.KeepAlive(kept)
	garbage := make([]byte, block)
	garbage[0]++
	unmarked, _, _ := memoryUse(0)
	gone := read(0)
	outside := read(block)
	// The runtime's own stacks and tables grow and shrink meanwhile.
	const slack = block / 4
	for _, tt := range []struct {
		name      string
		got, want int64
	}{
		{"with a live block", living - before, block},
		{"with garbage that is not collected yet", unmarked - living, 0},
		{"with collected garbage", gone - before, 0},
		{"with memory outside the runtime", outside - gone, block},
	} {
		if tt.got < tt.want-slack || tt.got > tt.want+slack {
			t.Errorf("memoryUse grew by %d %s; want about %d", tt.got, tt.name, tt.want)
		}
	}
}

func TestHeadroomExhaustsMemory(t *testing.T) {
	const most = 1 << 40
	limitMemory(t, most)
	used, _, _ := memoryUse(0)
	tests := []struct {
		name    string
		outside int64
		want    Shortage
	}{
		{"little memory", 0, 0},
		{"below four fifths of the limit", most*79/100 - used, 0},
		{"above four fifths", most*81/100 - used, NoMemory},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := new(Headroom).reading(time.Unix(1, 0), tt.outside).Exhausted; got != tt.want {
				t.Errorf("Exhausted with %d outside and a limit of %d = %v; want %v", tt.outside, int64(most), got, tt.want)
			}
		})
	}
}

func TestHeadroomReadsAtMostTenTimesASecond(t *testing.T) {
	const most = 1 << 40
	limitMemory(t, most)
	start := time.Unix(1_000_000, 0)
	var h Headroom
	steps := []struct {
		at      time.Duration
		outside int64
		want    Shortage
	}{
		{0, most, NoMemory},
		{99 * time.Millisecond, 0, NoMemory},
		{100 * time.Millisecond, 0, 0},
		{199 * time.Millisecond, most, 0},
		{200 * time.Millisecond, most, NoMemory},
	}
	for _, s := range steps {
		if got := h.reading(start.Add(s.at), s.outside).Exhausted; got != s.want {
			t.Errorf("Exhausted at %v with %d outside = %v; want %v", s.at, s.outside, got, s.want)
		}
	}
}

func BenchmarkHeadroom(b *testing.B) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	b.Run("with a new reading", func(b *testing.B) {
		b.ReportAllocs()
		var h Headroom
		now := time.Unix(1, 0)
		for b.Loop() {
			now = now.Add(time.Second)
			h.Release(h.Acquire(now, 0))
		}
	})
	b.Run("between readings", func(b *testing.B) {
		b.ReportAllocs()
		var h Headroom
		now := time.Unix(1, 0)
		for b.Loop() {
			h.Release(h.Acquire(now, 0))
		}
	})
}
