package forward

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// errSilent says that the backend was silent for too long. It is a timeout.
type errSilent time.Duration

func (e errSilent) Error() string {
	return fmt.Sprintf("the backend sent and took nothing for %v", time.Duration(e))
}
func (e errSilent) Timeout() bool { return true }

// timedBody is the body of an answer with a limit on the backend's silence. Only
// the time inside Read counts, and only while the backend takes nothing of the
// request's body either: a backend may read for long before it answers more.
type timedBody struct {
	io.ReadCloser
	limit  time.Duration
	taken  func() int64 // bytes of the request's body that were read so far
	cancel func(error)  // makes Read fail

	mu      sync.Mutex
	timer   *time.Timer
	reading bool
	due     time.Time
	before  int64 // taken when the time began
}

func (b *timedBody) Read(p []byte) (int, error) {
	b.begin()
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	b.timer.Stop()
	return n, err
}

// begin starts the time.
func (b *timedBody) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading, b.before = true, b.taken()
	b.due = time.Now().Add(b.limit)
	if b.timer == nil {
		b.timer = time.AfterFunc(b.limit, b.expire)
	} else {
		b.timer.Reset(b.limit)
	}
}

// expire is called by the timer. It may be late: then another Read has begun.
func (b *timedBody) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch taken := b.taken(); {
	case !b.reading || time.Now().Before(b.due):
	case taken != b.before:
		b.before, b.due = taken, time.Now().Add(b.limit)
		b.timer.Reset(b.limit)
	default:
		b.cancel(errSilent(b.limit))
	}
}
