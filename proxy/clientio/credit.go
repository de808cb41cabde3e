package clientio

import (
	"sync"
	"time"
)

// How long the gateway waits for a client (ADR 18). A client begins with
// initialCredit. Each byte that its TCP takes or sends adds the time that the byte
// may take at the lowest rate allowed, and each second of waiting takes one away. A
// client never has more than MaxCredit, whatever it did before. Every stream of a
// connection earns what moves on the whole connection.
const (
	// DefaultRate holds for requests that no route has matched, in bytes a second.
	DefaultRate = 500

	// MaxCredit is the longest wait without a byte.
	MaxCredit = 60 * time.Second

	initialCredit = 10 * time.Second

	// streamStall is the longest single wait for a stream of a multiplexed
	// connection, even while other streams move: then the stream's own window is
	// closed. It is longer where the lowest rate allowed needs more for one piece.
	streamStall = 2 * time.Minute

	// updateInterval is how often the progress of a connection is read between
	// waits. During a wait it is read ten times as often.
	updateInterval = time.Second
)

// credit is how long one exchange may still wait for its client, to take bytes or to
// send them: one after the other.
type credit struct {
	rate     float64      // bytes a second; 0 means that waits have no limit
	progress func() int64 // bytes that the connection has taken or sent so far
	streams  bool         // the connection is multiplexed
	cut      func()       // ends a wait that takes too long

	mu      sync.Mutex
	left    time.Duration
	seen    int64     // progress at the last update
	updated time.Time // time of the last update; zero before the first wait
	began   time.Time // of the current wait; zero while there is none
	paid    time.Time // time up to which the wait was taken from left
	timer   *time.Timer
	stopped bool
}

// newCredit returns the credit of a client on a connection or, if the connection is
// multiplexed, on one of its streams.
func newCredit(rate float64, multiplexed bool, progress func() int64, cut func()) *credit {
	return &credit{rate: rate, streams: multiplexed, progress: progress, cut: cut, left: initialCredit}
}

// startWait begins a wait for the client. The operation that waits must fail once
// cut was called.
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

// stop ends the current wait and removes the limit from later ones.
func (c *credit) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.endWait()
}

// update adds what the connection earned since the last update.
func (c *credit) update(now time.Time) {
	n := c.progress()
	if !c.updated.IsZero() {
		earned := float64(n-c.seen) / c.rate * float64(time.Second)
		c.left = time.Duration(min(float64(c.left)+max(earned, 0), float64(MaxCredit)))
	}
	c.seen, c.updated = n, now
}

// remaining returns how long the current wait may still take.
func (c *credit) remaining(now time.Time) time.Duration {
	if !c.streams {
		return c.left
	}
	longest := max(streamStall, time.Duration(pieceSize/c.rate*float64(time.Second)))
	return min(c.left, longest-now.Sub(c.began))
}

// expired cuts the wait if it took too long.
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
