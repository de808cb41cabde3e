// Package drain is the order in which a gateway stops: what happens when, and what a second signal
// does. What is done at each step is the caller's.
package drain

import (
	"context"
	"time"
)

// Plan is how long the steps of a stop take.
type Plan struct {
	Delay   time.Duration // between the signal and the end of accepting
	Timeout time.Duration // what is left that long after the delay is cut
	Spread  time.Duration // over which sessions end, from the end of the delay on; 0 means [Plan.Over] decides
}

// Steps are what a stop does. Each is called once, in this order.
type Steps struct {
	Leave func()                    // at the signal: tell balancers and clients to go elsewhere
	Close func(ctx context.Context) // after the delay: accept no more, and begin to end what is open
	Await func(ctx context.Context) // return when all has ended, or ctx ends
}

// Run takes the steps. Their contexts end when the time is over, or when now ends, which skips what is
// left of the delay too. Then the caller has to cut what is left.
func (p Plan) Run(now context.Context, s Steps) {
	s.Leave()
	if p.Delay > 0 {
		select {
		case <-time.After(p.Delay):
		case <-now.Done():
		}
	}
	ctx, cancel := context.WithTimeout(now, p.Timeout)
	defer cancel()
	s.Close(ctx)
	s.Await(ctx)
}

// sessionsPerSecond is how many sessions end in a second where the configuration does not say.
const sessionsPerSecond = 1000

// Over returns the time over which a number of sessions end: without a spread [Pace], up to a third of
// the timeout.
func (p Plan) Over(sessions int) time.Duration {
	if p.Spread > 0 {
		return p.Spread
	}
	return Pace(sessions, p.Timeout/3)
}

// Pace returns a time over which a number of sessions end that grows with the number, up to longest.
func Pace(sessions int, longest time.Duration) time.Duration {
	return min(time.Duration(sessions)*time.Second/sessionsPerSecond, longest)
}
