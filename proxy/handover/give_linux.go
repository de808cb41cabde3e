//go:build !portable

// Package handover moves the listeners and the sessions of a gateway to one in another process, by package takeover.
// It knows how both are stopped, written down, looked up and run, and nothing of processes.
package handover

import (
	"context"
	"net"
	"slices"
	"time"

	"sluice/internal/clock"
	"sluice/internal/codec"
	"sluice/internal/takeover"
	"sluice/proxy/listen"
	"sluice/proxy/relay"
	"sluice/proxy/serve"
)

// Kind is the kind of a socket that a listener of clients has (see [takeover.Listener]).
const Kind = "listener"

// handshakeTime is how long handshakes are waited for that have begun.
const handshakeTime = 2 * time.Second

// Result is what a hand-over has done.
type Result struct {
	Sessions int             // that have gone over
	Pauses   []time.Duration // how long each stood still, the shortest first
	Accepts  bool            // the new process accepts connections
}

// Quantile returns what a part q of the pauses is at most; 0 without any.
func (r *Result) Quantile(q float64) time.Duration {
	if len(r.Pauses) == 0 {
		return 0
	}
	return r.Pauses[min(int(q*float64(len(r.Pauses))), len(r.Pauses)-1)]
}

// Source is what is handed over. All fields are required but Others.
type Source struct {
	Server    *serve.Server
	Listeners *listen.Set
	Clock     clock.Clock         // of the sessions
	Others    []takeover.Listener // sockets of others
	State     func(*codec.Coder)  // see [takeover.Giver]
	Last      func()              // is called before the new process is told that all has gone over
	Done      func(Result)        // is called then, and returns when all that is left here has ended
	Rest      func(*codec.Coder)  // see [takeover.Giver]
}

// giving is a hand-over that goes on.
type giving struct {
	Source
	Result
	stopped *relay.Stopped // the sessions of the batch that is on its way
	since   []time.Time    // when each of them was stopped
	again   bool           // handshakes were waited for
}

// Give hands over what s has over conn, which it closes. If it fails before Done, what has not gone over stays, and the
// listeners are paused: see [listen.Set.Resume].
func Give(ctx context.Context, conn *net.UnixConn, s Source, d takeover.Deadlines) (Result, error) {
	g := &giving{Source: s}
	sockets, err := s.Listeners.Sockets()
	if err != nil {
		conn.Close()
		return g.Result, err
	}
	all := slices.Clone(s.Others)
	for _, socket := range sockets {
		all = append(all, takeover.Listener{Kind: Kind, Name: socket.Key, File: socket.Descriptor})
	}
	s.Server.Engine().OfferAgain()
	err = takeover.Give(ctx, conn, takeover.Giver{
		Clock:       s.Clock.Monotonic(),
		Descriptors: 2 * int(s.Server.Sessions()),
		State:       s.State,
		Listeners:   all,
		Opened:      g.opened,
		Next:        g.next,
		Settled:     g.settled,
		Done: func() {
			slices.Sort(g.Pauses)
			s.Done(g.Result)
		},
		Rest: s.Rest,
	}, d)
	return g.Result, err
}

func (g *giving) opened() {
	g.Accepts = true
	g.Listeners.Pause()
}

// next adds the sessions of a loop to a batch.
func (g *giving) next(b *takeover.Batch) error {
	for {
		g.since = g.since[:0]
		g.stopped = g.Server.StopSessions(func(carry func(*codec.Coder), client, backend int) (taken, more bool) {
			now := time.Now()
			if b.Add(carry, client, backend) {
				g.since = append(g.since, now)
				return true, true
			}
			return false, b.Len() == 0 // it has no room in any batch
		})
		switch {
		case g.stopped != nil:
			return nil
		case g.again:
			g.Last()
			return nil
		}
		g.again = true
		g.awaitHandshakes()
	}
}

// awaitHandshakes waits until the handshakes that have begun are sessions or answered, or for a while.
func (g *giving) awaitHandshakes() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Server.Wait()
	}()
	select {
	case <-done:
	case <-time.After(handshakeTime):
	}
}

// settled tells the sessions of a batch whose they are.
func (g *giving) settled(given []bool) {
	g.stopped.Settle(given)
	now := time.Now()
	for i, gone := range given {
		if gone {
			g.Sessions++
			g.Pauses = append(g.Pauses, now.Sub(g.since[i]))
		}
	}
}
