//go:build !portable

package proxy

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"

	"sluice/internal/codec"
	"sluice/internal/takeover"
	"sluice/proxy/handover"
	"sluice/proxy/listen"
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
	s.State = func(c *codec.Coder) {
		g.runStore(nil) // one process renews certificates at any time
		state(c)
		g.CarryPools(c)
	}
	s.Done = func(r handover.Result) {
		unlock()
		done(r)
	}
	return handover.Give(ctx, conn, s, d)
}

// mostPools is how many backends are written down, and mostName how long their names may be, in bytes.
const mostPools, mostName = 1 << 20, 64 << 10

// CarryPools writes down what the backends have learned, or reads what those of another process have, before Run.
func (g *Gateway) CarryPools(c *codec.Coder) {
	pools := g.current.Load().pools
	names := slices.Sorted(maps.Keys(pools))
	codec.List(c, &names, mostPools, func(c *codec.Coder, name *string) {
		c.Text(name, mostName)
		c.Block(func(block *codec.Coder) {
			p := pools[*name]
			if p == nil { // it is not configured here
				return
			}
			if p.Carry(block); block.Reading() && block.End() != nil {
				c.Fail(block.Err())
			}
		})
	})
}

// Resume lets the gateway go on after a hand-over that has failed.
func (g *Gateway) Resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners.Resume()
	g.runStore(g.current.Load().Store)
}

// GiveUp leaves the listeners to the process that they were handed over to. [Gateway.Run] has to end then.
func (g *Gateway) GiveUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners.GiveUp()
	g.handed.Store(true)
}

// Succeed returns what takes the sessions of another process over, for the gateway, which runs.
func (g *Gateway) Succeed() *handover.Successor {
	return &handover.Successor{Server: g.server, Listener: g.listener, Log: g.logger}
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
