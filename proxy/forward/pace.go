package forward

import (
	"sync"
	"time"
)

// grace is how long a client may be waited for in all before its rate counts.
const grace = 10 * time.Second

// pace bounds how long a client is waited for: in all, no longer than its bytes
// take at the slowest rate allowed, and a grace. The time in which the backend
// is waited for does not count.
type pace struct {
	rate  float64 // bytes a second; 0 means any
	set   func(deadline time.Time) error
	bytes int64
	spent time.Duration
}

// begin sets the deadline for waiting once more, which end takes away: HTTP/2
// resets a stream whose deadline passes, whoever is waited for. The result is
// for end.
func (p *pace) begin() time.Time {
	if p.rate <= 0 {
		return time.Time{}
	}
	now := time.Now()
	earned := time.Duration(float64(p.bytes) / p.rate * float64(time.Second))
	p.set(now.Add(grace + earned - p.spent)) // where it is not supported there is none
	return now
}

// end notes that n bytes were passed.
func (p *pace) end(began time.Time, n int) {
	if p.rate <= 0 {
		return
	}
	p.clear()
	p.bytes += int64(n)
	p.spent += time.Since(began)
}

// clear takes the deadline away.
func (p *pace) clear() {
	if p.rate > 0 {
		p.set(time.Time{})
	}
}

// alarm calls a function some time after it was started, unless it is stopped.
// The zero value never does.
type alarm struct {
	after time.Duration // 0 means never
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
