package limit

import (
	"math"
	"testing"
	"time"
)

func TestPaceTake(t *testing.T) {
	const ms = int64(time.Millisecond)
	p := NewPace(10, 3)
	var full int64
	steps := []struct {
		name         string
		n, now, when int64
	}{
		{"the burst", 3, 1000 * ms, 0},
		{"one over it", 1, 1000 * ms, 1100 * ms},
		{"a refusal costs nothing", 1, 1060 * ms, 1100 * ms},
		{"one came back", 1, 1100 * ms, 0},
		{"two at once wait for both", 2, 1100 * ms, 1300 * ms},
		{"all came back, and no more than all", 3, 9000 * ms, 0},
		{"nothing is left", 1, 9000 * ms, 9100 * ms},
	}
	for _, s := range steps {
		if when := p.Take(&full, s.n, s.now); when != s.when {
			t.Errorf("%s: Take(%d) at %d ms = %d ms; want %d ms", s.name, s.n, s.now/ms, when/ms, s.when/ms)
		}
	}
}

func TestPaceSpend(t *testing.T) {
	p := NewPace(1000, 1000)
	var full int64
	steps := []struct {
		name         string
		n, now, when int64
	}{
		{"within the burst", 1000, 0, 0},
		{"into debt", 500, 0, 5e8},
		{"deeper", 500, 1e8, 1e9},
		{"paid", 0, 1e9, 0},
		{"the bucket is empty then", 100, 1e9, 11e8},
	}
	for _, s := range steps {
		if when := p.Spend(&full, s.n, s.now); when != s.when {
			t.Errorf("%s: Spend(%d) at %d = %d; want %d", s.name, s.n, s.now, when, s.when)
		}
	}
}

func TestNoPaceIsNoLimit(t *testing.T) {
	for _, p := range []Pace{{}, NewPace(0, 5)} {
		var full int64
		if !p.Off() || p.Take(&full, math.MaxInt64, 1) != 0 || p.Spend(&full, math.MaxInt64, 1) != 0 || full != 0 {
			t.Errorf("%+v limits", p)
		}
	}
	if p := NewPace(1e18, 1); p.Off() {
		t.Error("a pace too fast to count is none at all")
	}
}

// A bucket that takes centuries to fill is one all the same.
func TestPacesBeyondAllMeasure(t *testing.T) {
	const year = int64(365 * 24 * time.Hour)
	tests := []struct {
		name  string
		rate  float64
		burst int64
		n     int64 // tokens that are taken at once
		ok    bool
	}{
		{"a vast bucket", 1.0 / 86400, 1 << 40, 1 << 20, true},
		{"a vast bucket, and too much", 1.0 / 86400, 1, 1 << 40, false},
		{"as many as there can be", 1, math.MaxInt64, math.MaxInt64, true},
		{"a token in many lives", 1e-300, 1, 1, true},
	}
	for _, tt := range tests {
		p := NewPace(tt.rate, tt.burst)
		var taken, spent int64
		if when := p.Take(&taken, tt.n, year); (when == 0) != tt.ok || when < 0 || tt.ok && p.Take(&taken, 1<<62, year) < year {
			t.Errorf("%s: Take(%d) = %d", tt.name, tt.n, when)
		}
		if when := p.Spend(&spent, tt.n, year); (when == 0) != tt.ok || spent < year {
			t.Errorf("%s: Spend(%d) = %d, full at %d", tt.name, tt.n, when, spent)
		}
	}
}
