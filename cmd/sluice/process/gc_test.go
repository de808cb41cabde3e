package process

import (
	"math"
	"testing"
)

func TestReservedHeap(t *testing.T) {
	for limit, want := range map[int64]int{math.MaxInt64: 16 << 20, 512 << 20: 16 << 20, 64 << 20: 2 << 20} {
		if got := len(reservedHeap(limit)); got != want {
			t.Errorf("%d bytes are reserved of %d, want %d", got, limit, want)
		}
	}
}

func TestEndOfABurst(t *testing.T) {
	const mib = 1 << 20
	var b burstWatch
	steps := []struct {
		name      string
		allocated uint64
		want      bool
	}{
		{"the start", 2 * mib, false},
		{"nothing since", 2 * mib, true},
		{"collected already", 2 * mib, false},
		{"a burst", 30 * mib, false},
		{"it goes on", 60 * mib, false},
		{"a little more: it is over", 60*mib + 1000, true},
		{"little by little, not worth it", 60*mib + 2000, false},
		{"still not", 60*mib + 200<<10, false},
		{"nor now", 60*mib + 400<<10, false},
		{"nor now", 60*mib + 600<<10, false},
		{"nor now", 60*mib + 800<<10, false},
		{"nor now", 60*mib + 1000<<10, false},
		{"it adds up", 60*mib + 1200<<10, true},
	}
	for _, s := range steps {
		if got := b.over(s.allocated); got != s.want {
			t.Errorf("%s: over(%d) = %v; want %v", s.name, s.allocated, got, s.want)
		}
	}
}
