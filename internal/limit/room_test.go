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

func TestMemoryWithoutALimit(t *testing.T) {
	limitMemory(t, math.MaxInt64)
	if used, most, ok := Memory(1 << 50); ok {
		t.Errorf("Memory = %d of %d; want none, there is no limit", used, most)
	}
	if got := new(Room).Short(time.Unix(1, 0), 1<<50); got == NoMemory {
		t.Error("short of memory, which has no limit")
	}
}

func TestMemoryCountsWhatLives(t *testing.T) {
	const block = 64 << 20
	limitMemory(t, 1<<40)
	read := func(outside int64) int64 {
		runtime.GC()
		used, most, ok := Memory(outside)
		if !ok || most != 1<<40 {
			t.Fatalf("Memory = %d of %d, %t; want a limit of %d", used, most, ok, int64(1<<40))
		}
		return used
	}
	before := read(0)
	kept := make([]byte, block)
	living := read(0)
	runtime.KeepAlive(kept)
	garbage := make([]byte, block)
	garbage[0]++
	unmarked, _, _ := Memory(0)
	gone := read(0)
	outside := read(block)
	// Stacks and tables of the runtime come and go.
	const slack = block / 4
	for _, tt := range []struct {
		name      string
		got, want int64
	}{
		{"of a block that lives", living - before, block},
		{"of garbage that was not collected", unmarked - living, 0},
		{"of garbage that was", gone - before, 0},
		{"of what the runtime does not know", outside - gone, block},
	} {
		if tt.got < tt.want-slack || tt.got > tt.want+slack {
			t.Errorf("Memory grew by %d %s; want about %d", tt.got, tt.name, tt.want)
		}
	}
}

func TestRoomIsShortOfMemory(t *testing.T) {
	const most = 1 << 40
	limitMemory(t, most)
	used, _, _ := Memory(0)
	tests := []struct {
		name    string
		outside int64
		want    Shortage
	}{
		{"little", 0, 0},
		{"below four fifths", most*79/100 - used, 0},
		{"above", most*81/100 - used, NoMemory},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := new(Room).Short(time.Unix(1, 0), tt.outside); got != tt.want {
				t.Errorf("Short with %d outside of a limit of %d = %v; want %v", tt.outside, int64(most), got, tt.want)
			}
		})
	}
}

func TestRoomReadsAtMostTenTimesASecond(t *testing.T) {
	const most = 1 << 40
	limitMemory(t, most)
	start := time.Unix(1_000_000, 0)
	var r Room
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
		if got := r.Short(start.Add(s.at), s.outside); got != s.want {
			t.Errorf("Short at %v with %d outside = %v; want %v", s.at, s.outside, got, s.want)
		}
	}
}

func BenchmarkRoom(b *testing.B) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	b.Run("reading", func(b *testing.B) {
		b.ReportAllocs()
		var r Room
		now := time.Unix(1, 0)
		for b.Loop() {
			now = now.Add(time.Second)
			r.Short(now, 0)
		}
	})
	b.Run("between readings", func(b *testing.B) {
		b.ReportAllocs()
		var r Room
		now := time.Unix(1, 0)
		for b.Loop() {
			r.Short(now, 0)
		}
	})
}
