package limit

import (
	"math"
	"testing"
	"time"
)

func TestBucketTake(t *testing.T) {
	const ms = int64(time.Millisecond)
	b := NewBucket(10, 3)
	var full int64
	steps := []struct {
		name         string
		n, now, when int64
	}{
		{"the burst", 3, 1000 * ms, 0},
		{"one over the burst", 1, 1000 * ms, 1100 * ms},
		{"a refusal costs nothing", 1, 1060 * ms, 1100 * ms},
		{"one token is back", 1, 1100 * ms, 0},
		{"two at once wait for both", 2, 1100 * ms, 1300 * ms},
		{"all tokens are back, and no more", 3, 9000 * ms, 0},
		{"no token is left", 1, 9000 * ms, 9100 * ms},
	}
	for _, s := range steps {
		if when := b.Take(&full, s.n, s.now); when != s.when {
			t.Errorf("%s: Take(%d) at %d ms = %d ms; want %d ms", s.name, s.n, s.now/ms, when/ms, s.when/ms)
		}
	}
}

func TestBucketSpend(t *testing.T) {
	b := NewBucket(1000, 1000)
	var full int64
	steps := []struct {
		name         string
		n, now, when int64
	}{
		{"within the burst", 1000, 0, 0},
		{"into debt", 500, 0, 5e8},
		{"deeper into debt", 500, 1e8, 1e9},
		{"the debt is paid", 0, 1e9, 0},
		{"the bucket is empty after the debt", 100, 1e9, 11e8},
	}
	for _, s := range steps {
		if when := b.Spend(&full, s.n, s.now); when != s.when {
			t.Errorf("%s: Spend(%d) at %d = %d; want %d", s.name, s.n, s.now, when, s.when)
		}
	}
}

func TestARateOfZeroIsNoLimit(t *testing.T) {
	for _, b := range []Bucket{{}, NewBucket(0, 5)} {
		var full int64
		if !b.Unlimited() || b.Take(&full, math.MaxInt64, 1) != 0 || b.Spend(&full, math.MaxInt64, 1) != 0 || full != 0 {
			t.Errorf("%+v is a limit; want none", b)
		}
	}
	if b := NewBucket(1e18, 1); b.Unlimited() {
		t.Error("a rate of 1e18 a second is no limit; want one")
	}
}

// A bucket that takes centuries to fill is still a limit.
func TestExtremeBuckets(t *testing.T) {
	const year = int64(365 * 24 * time.Hour)
	tests := []struct {
		name  string
		rate  float64
		burst int64
		n     int64 // tokens taken at once
		ok    bool
	}{
		{"a huge bucket", 1.0 / 86400, 1 << 40, 1 << 20, true},
		{"a huge take from a small bucket", 1.0 / 86400, 1, 1 << 40, false},
		{"the largest numbers", 1, math.MaxInt64, math.MaxInt64, true},
		{"a token in 1e292 years", 1e-300, 1, 1, true},
	}
	for _, tt := range tests {
		b := NewBucket(tt.rate, tt.burst)
		var taken, spent int64
		if when := b.Take(&taken, tt.n, year); (when == 0) != tt.ok || when < 0 || tt.ok && b.Take(&taken, 1<<62, year) < year {
			t.Errorf("%s: Take(%d) = %d", tt.name, tt.n, when)
		}
		if when := b.Spend(&spent, tt.n, year); (when == 0) != tt.ok || spent < year {
			t.Errorf("%s: Spend(%d) = %d, full at %d", tt.name, tt.n, when, spent)
		}
	}
}
