package forward

import (
	"sync"
	"time"
)

// alarm calls a function some time after it was started, unless it is stopped.
// The zero value never does.
type alarm struct {
	after time.Duration // 0 means never
	mark  func()        // called when the time begins; may be nil
	call  func()

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

// pause stops it until the next start.
func (a *alarm) pause() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
}

// start starts the time, anew if it runs already.
func (a *alarm) start() {
	if a.after > 0 && a.mark != nil {
		a.mark()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.after <= 0 || a.stopped:
	case a.timer == nil:
		a.timer = time.AfterFunc(a.after, a.call)
	default:
		a.timer.Reset(a.after)
	}
}

// stop stops it for good.
func (a *alarm) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
