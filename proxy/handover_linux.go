//go:build !portable

package proxy

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"

	"sluice/internal/codec"
	"sluice/internal/limit"
	"sluice/internal/takeover"
	"sluice/proxy/backend"
	"sluice/proxy/handover"
	"sluice/proxy/listen"
	"sluice/proxy/serve"
)

// HandOver gives the listeners and the sessions of the gateway to a new process, with what s has besides: see
// [handover.Give]. Until Done is called there is no Apply. If it fails before, one of GiveUp and Resume has to follow.
func (g *Gateway) HandOver(ctx context.Context, conn *net.UnixConn, s handover.Source, d takeover.Deadlines) (handover.Result, error) {
	g.mu.Lock()
	unlock := sync.OnceFunc(g.mu.Unlock)
	defer unlock()
	if g.stopping.Err() != nil {
		conn.Close()
		return handover.Result{}, ErrStopped
	}
	s.Server, s.Listeners, s.Clock = g.server, g.listeners, g.clock
	state, done := s.State, s.Done
	s.Prepare = func() { // one process renews certificates at any time
		g.runStore(nil)
		g.storeStopped = true
	}
	s.State = func(c *codec.Coder) {
		state(c)
		g.Carry(c)
	}
	s.Done = func(r handover.Result) {
		g.leaveListeners() // a stop that waits for the lock is none of this gateway alone
		unlock()
		done(r)
	}
	return handover.Give(ctx, conn, s, d)
}

// mostNamed is how many things of a kind are written down, and mostName how long their names may be, in bytes.
const mostNamed, mostName = 1 << 20, 64 << 10

// Carry writes down what the gateway has learned besides its sessions, or reads what that of another process has, before Run: what
// backends know of their endpoints, and how much of rates clients have used.
func (g *Gateway) Carry(c *codec.Coder) {
	s, listeners := g.current.Load(), make(map[string]*listen.Listener)
	for _, l := range g.listeners.All() {
		listeners[l.Name()] = l
	}
	carryNamed(c, s.pools, (*backend.Pool).Carry)
	share := limit.MostCarried / (2*len(listeners) + len(s.Services) + 1)
	carryNamed(c, listeners, func(l *listen.Listener, c *codec.Coder) { l.CarryLimits(c, share) })
	carryNamed(c, s.Services, func(s *serve.Service, c *codec.Coder) { limit.Carry(c, s.Admission.Handshakes, share) })
}

// carryNamed writes down things that have names, each as carry does, or reads them. What is not configured here is passed over.
func carryNamed[T any](c *codec.Coder, all map[string]T, carry func(T, *codec.Coder)) {
	names := slices.Sorted(maps.Keys(all))
	codec.List(c, &names, mostNamed, func(c *codec.Coder, name *string) {
		c.Text(name, mostName)
		c.Block(func(block *codec.Coder) {
			one, ok := all[*name]
			if !ok {
				return
			}
			if carry(one, block); block.Reading() && block.End() != nil {
				c.Fail(block.Err())
			}
		})
	})
}

// Resume lets the gateway go on after a hand-over that has failed, unless it stops.
func (g *Gateway) Resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners.Resume()
	if g.storeStopped && !g.leaving.Load() {
		g.storeStopped = false
		g.runStore(g.current.Load().Store)
	}
}

// GiveUp leaves the listeners to the process that they were handed over to, as Done does. [Gateway.Run] has to end then.
func (g *Gateway) GiveUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaveListeners()
}

// leaveListeners leaves the listeners to another process. The lock is held.
func (g *Gateway) leaveListeners() {
	g.listeners.GiveUp()
	g.handed.Store(true)
}

// Own makes the files of unix sockets that were inherited the gateway's.
func (g *Gateway) Own() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.listeners.Own()
}

// Succeed returns what takes the sessions of another process over, for the gateway, which runs.
func (g *Gateway) Succeed() *handover.Successor {
	gone := make(map[string]*listen.Listener)
	return &handover.Successor{Server: g.server, Open: g.listener, Counts: func(name string) *listen.Listener {
		if l := g.listener(name); l != nil {
			return l
		}
		if gone[name] == nil {
			gone[name] = g.listeners.Gone(name)
		}
		return gone[name]
	}}
}

// listener returns the open listener of a name; nil if there is none.
func (g *Gateway) listener(name string) *listen.Listener {
	if open := g.open.Load(); open != nil {
		for _, l := range *open {
			if l.Name() == name {
				return l
			}
		}
	}
	return nil
}
