package proxy

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"sluice/proxy/backend"
	"sluice/proxy/relay"
	"sluice/proxy/serve"
)

// runPools runs the pools of a configuration, and no others. The caller holds the lock,
// or is the only one that is left.
func (g *Gateway) runPools(pools map[string]*backend.Pool) {
	var stopped sync.WaitGroup
	for p, stop := range g.pools {
		if pools[p.Name()] != p {
			stopped.Go(stop)
			delete(g.pools, p)
		}
	}
	stopped.Wait()
	for _, p := range pools {
		if g.pools[p] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx, g.evict) })
		g.pools[p] = func() { cancel(); running.Wait() }
	}
}

// evict ends sessions of an endpoint as its pool asks, and returns how many.
func (g *Gateway) evict(s backend.Eviction) int {
	engine := g.server.Engine()
	matches := func(v relay.View) bool {
		backend, endpoint := serve.EndpointOf(v)
		return v.Cause == 0 && endpoint == s.Endpoint && backend == s.Backend
	}
	if s.Drain {
		return engine.End(matches, relay.Ending{Cause: relay.Drained}, s.Over)
	}
	type session struct {
		id     uint64
		opened time.Time
	}
	var all []session
	engine.Each(func(v relay.View) bool {
		if matches(v) {
			all = append(all, session{v.ID, v.Opened})
		}
		return true
	})
	slices.SortFunc(all, func(a, b session) int { return cmp.Or(a.opened.Compare(b.opened), cmp.Compare(a.id, b.id)) })
	if s.Newest {
		slices.Reverse(all)
	}
	ends := make(map[uint64]struct{})
	for _, o := range all[:min(len(all), s.Sessions)] {
		ends[o.id] = struct{}{}
	}
	return engine.End(func(v relay.View) bool { _, ok := ends[v.ID]; return ok }, relay.Ending{Cause: relay.Rebalanced}, s.Over)
}
