package proxy

import (
	"sync"
	"time"
)

// How long a client is waited for. It begins with grace of credit, each byte
// that its TCP takes or sends adds what the byte may take at the slowest rate
// allowed, and each second in which the gateway waits for it takes one away. It
// never has more than mostCredit, whatever it did before. All streams of a
// connection earn what comes over the connection.
const (
	defaultRate = 500 // bytes a second, of requests that no route has taken

	grace      = 10 * time.Second
	mostCredit = 60 * time.Second

	// A stream of a multiplexed connection that is waited for so long in one
	// piece is over, whatever the others do: its own window is shut. It is more
	// where the slowest rate allowed asks for more.
	streamStall = 2 * time.Minute

	// The progress of a connection is asked for once in updateInterval between
	// waits, and ten times as often during one.
	updateInterval = time.Second
)

// credit is how long one exchange waits for its client to take what it is
// sent, or to send: one after the other.
type credit struct {
	rate     float64      // bytes a second; 0 means that the client may take for ever
	progress func() int64 // bytes that the connection has taken or sent so far
	streams  bool         // the connection has others
	cut      func()       // ends a wait that takes too long

	mu      sync.Mutex
	left    time.Duration
	seen    int64     // of progress, by the last update
	updated time.Time // when that was; zero before the first wait
	began   time.Time // of the wait; zero while there is none
	paid    time.Time // up to when the wait was taken from the credit
	timer   *time.Timer

	stopped bool
}

// newCredit returns the credit of a client on a connection, on one of its
// streams if it has many.
func newCredit(rate float64, multiplexed bool, progress func() int64, cut func()) *credit {
	return &credit{rate: rate, streams: multiplexed, progress: progress, cut: cut, left: grace}
}

// startWait begins a wait for the client. Whatever is waited for fails when cut was
// called.
func (c *credit) startWait() {
	if c.rate <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	now := time.Now()
	c.began, c.paid = now, now
	if now.Sub(c.updated) >= updateInterval {
		c.update(now)
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(max(c.remaining(now), 0), c.expired)
	} else {
		c.timer.Reset(max(c.remaining(now), 0))
	}
}

// endWait ends the wait.
func (c *credit) endWait() {
	if c.rate <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began.IsZero() {
		return
	}
	c.timer.Stop()
	c.left -= time.Since(c.paid)
	c.began = time.Time{}
}

// stop ends the wait, and all that follow: the client has all the time it likes.
func (c *credit) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.endWait()
}

// update takes in what the connection has done.
func (c *credit) update(now time.Time) {
	n := c.progress()
	if !c.updated.IsZero() {
		earned := float64(n-c.seen) / c.rate * float64(time.Second)
		c.left = time.Duration(min(float64(c.left)+max(earned, 0), float64(mostCredit)))
	}
	c.seen, c.updated = n, now
}

// remaining returns how long the wait may still take.
func (c *credit) remaining(now time.Time) time.Duration {
	if !c.streams {
		return c.left
	}
	longest := max(streamStall, time.Duration(piece/c.rate*float64(time.Second)))
	return min(c.left, longest-now.Sub(c.began))
}

// expired ends the wait if it took too long.
func (c *credit) expired() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began.IsZero() {
		return // it ended just now
	}
	now := time.Now()
	c.left -= now.Sub(c.paid)
	c.paid = now
	c.update(now)
	if c.remaining(now) <= 0 {
		c.cut()
		return
	}
	c.timer.Reset(max(c.remaining(now), updateInterval/10))
}
