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
	"sluice/proxy/serve"
)

// Kind is the kind of a socket that a listener of clients has (see [takeover.Listener]).
const Kind = "listener"

// handshakeTime is how long handshakes are waited for that have begun.
const handshakeTime = 2 * time.Second

// Result is what a hand-over has done.
type Result struct {
	Sessions    int             // that have gone over
	Connections int             // the same of connections that were idle
	Pauses      []time.Duration // how long each session stood still, the shortest first
	Accepts     bool            // the new process accepts connections
	Foreign     bool            // the new process speaks another version, so that sockets alone have gone over
}

// Quantile returns what a part q of the pauses is at most; 0 without any.
func (r *Result) Quantile(q float64) time.Duration {
	if len(r.Pauses) == 0 {
		return 0
	}
	return r.Pauses[min(int(q*float64(len(r.Pauses))), len(r.Pauses)-1)]
}

// Begun reports whether something has gone over that this process has no more.
func (r *Result) Begun() bool { return r.Sessions+r.Connections > 0 }

// Source is what is handed over. All fields are required but Others.
type Source struct {
	Server    *serve.Server
	Listeners *listen.Set
	Clock     clock.Clock         // of the sessions
	Others    []takeover.Listener // sockets of others
	Prepare   func()              // is called before the listeners go over
	State     func(*codec.Coder)  // see [takeover.Giver]; it is not called for another version
	Opened    func()              // is called when the new process accepts connections
	Committed func()              // is called when the first session or connection has gone over
	Stopping  func() bool         // see [takeover.Giver]
	Done      func(Result)        // is called when all has gone over, and returns when what is left here has ended
	Rest      func(*codec.Coder)  // see [takeover.Giver]
}

// kind is what a state is of: the first byte of it.
type kind uint8

const (
	ofSession    kind = iota + 1 // with the sockets of its client and of its backend
	ofConnection                 // with one socket
)

// giving is a hand-over that goes on.
type giving struct {
	Source
	Result
	stopped listen.Stopped // what the batch that is on its way has
	kind    kind           // of all in it
	since   []time.Time    // when each of it was stopped
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
	s.Listeners.OfferAgain()
	err = takeover.Give(ctx, conn, takeover.Giver{
		Clock:       s.Clock.Monotonic(),
		Descriptors: int(s.Server.Sessions() + s.Listeners.Connections()),
		State:       g.state,
		Listeners:   all,
		Opened:      g.opened,
		Next:        g.next,
		Settled:     g.settled,
		Stopping:    s.Stopping,
		Done: func() {
			slices.Sort(g.Pauses)
			s.Done(g.Result)
		},
		Rest: s.Rest,
	}, d)
	return g.Result, err
}

func (g *giving) state(c *codec.Coder) {
	g.Prepare()
	if g.Foreign = c == nil; !g.Foreign {
		g.State(c)
	}
}

func (g *giving) opened() {
	g.Accepts = true
	g.Listeners.Pause()
	g.Opened()
}

// next adds sessions of a loop to a batch or, when there are no more, idle connections.
func (g *giving) next(b *takeover.Batch) error {
	for {
		g.since = g.since[:0]
		if g.stop(b) || g.again {
			return nil
		}
		g.again = true
		g.awaitHandshakes()
	}
}

// stop stops what a batch has room for, of one kind, and adds it. It reports whether there was anything.
func (g *giving) stop(b *takeover.Batch) bool {
	add := func(carry func(*codec.Coder), files ...int) (taken, more bool) {
		now := time.Now()
		if b.Add(func(c *codec.Coder) {
			codec.Number(c, &g.kind)
			carry(c)
		}, files...) {
			g.since = append(g.since, now)
			return true, true
		}
		return false, b.Len() == 0 // it has no room in any batch
	}
	g.kind = ofSession
	if s := g.Server.StopSessions(func(carry func(*codec.Coder), client, backend int) (taken, more bool) {
		return add(carry, client, backend)
	}); s != nil {
		g.stopped = s
		return true
	}
	g.kind = ofConnection
	if s := g.Listeners.StopIdle(func(carry func(*codec.Coder), socket int) (taken, more bool) { return add(carry, socket) }); s != nil {
		g.stopped = s
		return true
	}
	return false
}

// awaitHandshakes waits until the handshakes that have begun are sessions or answered, or for a while.
func (g *giving) awaitHandshakes() {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	g.Server.AwaitHandshakes(ctx)
}

// settled tells the sessions or connections of a batch whose they are.
func (g *giving) settled(given []bool) {
	g.stopped.Settle(given)
	now := time.Now()
	for i, gone := range given {
		if !gone {
			continue
		}
		first := !g.Begun()
		if g.kind == ofSession {
			g.Sessions++
			g.Pauses = append(g.Pauses, now.Sub(g.since[i]))
		} else {
			g.Connections++
		}
		if first {
			g.Committed()
		}
	}
}
