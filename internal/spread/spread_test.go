package spread

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const window = 100 * time.Millisecond

// most returns the largest number of places in a window that begins anywhere.
func most(places []time.Duration) (n int) {
	slices.Sort(places)
	for first, last := 0, 0; last < len(places); last++ {
		for places[last]-places[first] >= window {
			first++
		}
		n = max(n, last-first+1)
	}
	return n
}

func TestPlacesAreEven(t *testing.T) {
	const sessions = 10_000
	r := rand.New(rand.NewPCG(1, 2))
	tests := []struct {
		name  string
		first uint64 // number
		ends  func(n uint64) bool
	}{
		{"all", 0, func(uint64) bool { return true }},
		{"numbers that begin late", 1 << 40, func(uint64) bool { return true }},
		{"numbers that wrap around", 1<<64 - 5000, func(uint64) bool { return true }},
		{"one route, whose sessions are a block", 0, func(n uint64) bool { return n < sessions/3 }},
		{"one route of three, by turns", 0, func(n uint64) bool { return n%3 == 1 }},
		{"a third, at random", 0, func(uint64) bool { return r.IntN(3) == 0 }},
	}
	for _, tt := range tests {
		for _, over := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, 20 * time.Second, 37 * time.Second} {
			var places []time.Duration
			n := tt.first // sessions that do not end take no number
			for i := range uint64(sessions) {
				if tt.ends(i) {
					places = append(places, Place(n, over))
					n++
				}
			}
			share := float64(len(places)) * float64(window) / float64(over)
			if share < 10 {
				continue // one session more is a tenth of the share
			}
			if got := most(places); float64(got) > 1.3*share {
				t.Errorf("%s: Place(n, %v) has %d of %d sessions within %v; want at most 1.3 times %.1f", tt.name, over, got, len(places), window, share)
			}
		}
	}
}

// Sessions that appear while others end get places among them, and leave the others' as they are.
func TestLatePlacesAreEven(t *testing.T) {
	const over, early, late = 10 * time.Second, 8000, 2000
	var places []time.Duration
	for n := range uint64(early + late) {
		places = append(places, Place(n, over))
	}
	share := float64(late) * float64(window) / float64(over)
	if got := most(slices.Clone(places[early:])); float64(got) > 1.3*share {
		t.Errorf("%d late sessions: %d within %v; want at most 1.3 times %.1f", late, got, window, share)
	}
}

func TestPlaceIsInTheSpan(t *testing.T) {
	for _, over := range []time.Duration{-time.Second, 0, 1, time.Second, 1<<63 - 1} {
		for n := range uint64(100) {
			if got := Place(n, over); got < 0 || got >= max(over, 1) {
				t.Errorf("Place(%d, %v) = %v; want within [0, %v)", n, over, got, over)
			}
		}
	}
}
