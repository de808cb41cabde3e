//go:build linux

package loop

import (
	"testing"
	"time"
)

func TestTurns(t *testing.T) {
	var turns Turns
	for range 998 {
		turns.note(int64(10 * time.Microsecond))
	}
	turns.note(int64(3 * time.Millisecond))
	turns.note(int64(time.Second))
	if n := turns.Count(); n != 1000 {
		t.Errorf("%d turns", n)
	}
	for _, tt := range []struct {
		q        float64
		from, to time.Duration
	}{
		{0.5, 10 * time.Microsecond, 12500 * time.Nanosecond}, {0.998, 10 * time.Microsecond, 12500 * time.Nanosecond},
		{0.999, 3 * time.Millisecond, 3750 * time.Microsecond}, {1, time.Second, time.Second},
	} {
		if got := turns.Quantile(tt.q); got < tt.from || got > tt.to {
			t.Errorf("quantile %v: %v; want %v to %v", tt.q, got, tt.from, tt.to)
		}
	}
	if turns.Longest() != time.Second {
		t.Errorf("longest: %v", turns.Longest())
	}
}

// Every length lies in its bucket, and no bucket is wider than a quarter.
func TestTurnBuckets(t *testing.T) {
	for ns := uint64(1); ns < 7e9; ns += 1 + ns/7 {
		b := turnBucket(ns)
		above := turnsBelow(b)
		if uint64(above) <= ns || ns >= 1024 && uint64(above) > ns+ns/4+1 {
			t.Fatalf("%d ns: bucket %d is below %d", ns, b, above)
		}
		if b > 0 && uint64(turnsBelow(b-1)) > ns {
			t.Fatalf("%d ns: bucket %d begins above it", ns, b)
		}
	}
}
