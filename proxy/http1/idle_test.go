//go:build linux && !portable

package http1

import (
	"sync/atomic"
	"testing"
)

// Idle connections are promised once each, and a promise is broken only where one was closed.
func TestIdleCounts(t *testing.T) {
	c := &idleCounts{of: make([]atomic.Int32, 3)}
	steps := []struct {
		name string
		call func() bool
		want bool
		free int32
	}{
		{"promise without one", c.promise, false, 0},
		{"add", func() bool { return c.add(2) }, true, 1},
		{"add a second", func() bool { return c.add(2) }, true, 2},
		{"add one too many", func() bool { return c.add(2) }, false, 2},
		{"promise", c.promise, true, 1},
		{"promise the second", c.promise, true, 0},
		{"promise one too many", c.promise, false, 0},
		{"break a promise that can be kept", c.breakOne, false, 0},
		{"lose one that is promised", func() bool { c.lose(1); return true }, true, -1},
		{"break its promise", c.breakOne, true, 0},
		{"break another", c.breakOne, false, 0},
		{"add where none is kept", func() bool { return c.add(-1) }, false, 0},
	}
	for _, s := range steps {
		if got := s.call(); got != s.want || c.free.Load() != s.free {
			t.Fatalf("%s: %t, with %d free; want %t, with %d", s.name, got, c.free.Load(), s.want, s.free)
		}
	}
	if got := c.other(2); got != 0 {
		t.Errorf("other(2) = %d while no loop has one; want the next, 0", got)
	}
	c.of[1].Store(1)
	if got := c.other(2); got != 1 {
		t.Errorf("other(2) = %d; want 1, which has one", got)
	}
	if got := c.other(1); got != 2 {
		t.Errorf("other(1) = %d while only 1 has one; want the next, 2", got)
	}
}
