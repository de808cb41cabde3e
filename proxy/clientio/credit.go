package clientio

import (
	"sync"
	"time"
)

// streamStall is the longest single wait for a stream of a multiplexed connection, even
// while other streams move: then the stream's own window is closed. It is longer where the
// lowest rate allowed needs more for one piece.
const streamStall = 2 * time.Minute

// credit is how long one exchange may still wait for its client, to take bytes or to
// send them: one after the other.
type credit struct {
	rate     float64      // bytes a second; 0 means that waits have no limit
	progress func() int64 // bytes that the connection has taken or sent so far
	streams  bool         // the connection is multiplexed
	cut      func()       // ends a wait that takes too long
	epoch    time.Time    // from which the moments of the account count

	mu      sync.Mutex
	account Account
	began   time.Time // of the current wait; zero while there is none
	timer   *time.Timer
	stopped bool
}

// newCredit returns the credit of a client on a connection or, if the connection is
// multiplexed, on one of its streams.
func newCredit(rate float64, multiplexed bool, progress func() int64, cut func()) *credit {
	return &credit{rate: rate, streams: multiplexed, progress: progress, cut: cut, epoch: time.Now().Add(-1), account: NewAccount()}
}

func (c *credit) moment(t time.Time) int64 { return int64(t.Sub(c.epoch)) }

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
	c.began = time.Now()
	c.account.Begin(c.moment(c.began), c.rate, c.progress)
	if wait := max(c.bound(c.account.Left(), c.began), 0); c.timer == nil {
		c.timer = time.AfterFunc(wait, c.expired)
	} else {
		c.timer.Reset(wait)
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
	c.account.End(c.moment(time.Now()))
	c.began = time.Time{}
}

// stop ends the current wait and removes the limit from later ones.
func (c *credit) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.endWait()
}

// bound returns how long the current wait may still take of wait.
func (c *credit) bound(wait time.Duration, now time.Time) time.Duration {
	if !c.streams {
		return wait
	}
	longest := max(streamStall, time.Duration(pieceSize/c.rate*float64(time.Second)))
	return min(wait, longest-now.Sub(c.began))
}

// expired cuts the wait if it took too long.
func (c *credit) expired() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began.IsZero() {
		return // it ended just now
	}
	now := time.Now()
	wait := c.bound(c.account.Look(c.moment(now), c.rate, c.progress), now)
	if wait <= 0 {
		c.cut()
		return
	}
	c.timer.Reset(max(wait, updateInterval/10))
}
