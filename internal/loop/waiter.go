//go:build linux

package loop

import (
	"sync"
	"time"
)

// waiter is where a goroutine waits for one direction of a connection, until its deadline.
// What it waits for it has to look at again whenever something has come from changed.
type waiter struct {
	changed chan struct{} // holds one element

	mu       sync.Mutex
	deadline time.Time // zero means none
	timer    *time.Timer
}

func (w *waiter) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// expired reports whether the deadline has passed.
func (w *waiter) expired() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.deadline.IsZero() && time.Until(w.deadline) <= 0
}

// setDeadline wakes the goroutine at t, and at once if t has passed.
func (w *waiter) setDeadline(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	if w.timer != nil {
		w.timer.Stop()
	}
	switch left := time.Until(t); {
	case t.IsZero():
	case left <= 0:
		w.wake()
	case w.timer == nil:
		w.timer = time.AfterFunc(left, w.wake)
	default:
		w.timer.Reset(left)
	}
}
