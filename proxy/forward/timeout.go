package forward

import (
	"sync"
	"time"
)

// timeout calls a function when some time has passed since its last start,
// unless it is paused or stopped. The zero value never calls.
type timeout struct {
	after   time.Duration // 0 for never
	onStart func()        // called when the time starts; may be nil
	call    func()

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

// start starts the time, again if it runs already.
func (t *timeout) start() {
	if t.after > 0 && t.onStart != nil {
		t.onStart()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.after <= 0 || t.stopped:
	case t.timer == nil:
		t.timer = time.AfterFunc(t.after, t.call)
	default:
		t.timer.Reset(t.after)
	}
}

// pause stops the time until the next start.
func (t *timeout) pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
}

// stop stops the time for good.
func (t *timeout) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if t.timer != nil {
		t.timer.Stop()
	}
}
