package forward

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// errSilent is a timeout, as its Timeout method says.
type errSilent time.Duration

func (e errSilent) Error() string {
	return fmt.Sprintf("the backend sent and took nothing for %v", time.Duration(e))
}
func (e errSilent) Timeout() bool { return true }

// patient is the body of an answer whose backend may be silent for so long and
// no longer. Only the time in which it is waited for counts, and not while it
// takes the request's body: a call may send for long before it hears more.
type patient struct {
	io.ReadCloser
	limit  time.Duration
	taken  func() int64 // bytes of the request's body so far
	giveUp func(error)  // has Read fail

	mu      sync.Mutex
	timer   *time.Timer
	waiting bool
	due     time.Time
	seen    int64 // taken when the time began
}

func (p *patient) Read(b []byte) (int, error) {
	p.wait()
	n, err := p.ReadCloser.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = false
	p.timer.Stop()
	return n, err
}

// wait begins the time.
func (p *patient) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting, p.seen = true, p.taken()
	p.due = time.Now().Add(p.limit)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.limit, p.over)
	} else {
		p.timer.Reset(p.limit)
	}
}

// over is called when a time is over, which need not be the one that runs.
func (p *patient) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch taken := p.taken(); {
	case !p.waiting || time.Now().Before(p.due):
	case taken != p.seen:
		p.seen, p.due = taken, time.Now().Add(p.limit)
		p.timer.Reset(p.limit)
	default:
		p.giveUp(errSilent(p.limit))
	}
}
