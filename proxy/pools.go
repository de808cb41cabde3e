package proxy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"sluice/proxy/backend"
	"sluice/proxy/relay"
)

// tendPools has the pools of s looked after, and no others. It is called with
// the gateway's lock held, or when nobody else has it any more.
func (g *Gateway) tendPools(s *snapshot) {
	var gone sync.WaitGroup
	for p, stop := range g.tended {
		if s.pools[p.Name()] != p {
			gone.Go(stop)
			delete(g.tended, p)
		}
	}
	gone.Wait()
	for _, p := range s.pools {
		if g.tended[p] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		var tending sync.WaitGroup
		tending.Go(func() { p.Run(ctx, g.shed) })
		g.tended[p] = func() { cancel(); tending.Wait() }
	}
}

// endpointEvent logs what happens to endpoints.
func (g *Gateway) endpointEvent(e backend.Event) {
	if short := backend.ShortageOf(e.Err); short != 0 {
		g.shortages.met(short, e.Err)
		return
	}
	record := g.logger().Info()
	if e.Err != nil {
		record = g.logger().Warn().Err(e.Err)
	}
	record.Str("backend", e.Backend).Str("endpoint", e.Endpoint).Msg(e.What)
}

// Backends describes all endpoints, in order of their backends' names.
func (g *Gateway) Backends() (all []backend.Status) {
	pools := g.current.Load().pools
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		all = append(all, pools[name].Status()...)
	}
	return all
}

// Drain has an endpoint of a backend take nothing new and its sessions end over
// the backend's drain time, or take work again. It lasts until the process
// ends, whatever is configured.
func (g *Gateway) Drain(backend, endpoint string, on bool) error {
	switch p := g.current.Load().pool(backend); {
	case p == nil:
		return fmt.Errorf("there is no backend %s", backend)
	case !p.Drain(endpoint, on):
		return fmt.Errorf("backend %s has no endpoint %s", backend, endpoint)
	}
	return nil
}

// drainLate ends a session that began while its endpoint began to drain.
func (g *Gateway) drainLate(l *backend.Lease, id uint64) {
	if draining, over := l.Draining(); draining {
		g.engine.End(func(v relay.View) bool { return v.ID == id }, relay.Ending{Cause: relay.Drained}, over)
	}
}

// shed ends sessions for a pool and returns how many.
func (g *Gateway) shed(s backend.Shed) int {
	here := func(v relay.View) bool {
		l := v.Owner.(*owner).lease
		return v.Cause == 0 && l.Endpoint() == s.Endpoint && l.Backend() == s.Backend
	}
	if s.Drain {
		return g.engine.End(here, relay.Ending{Cause: relay.Drained}, s.Over)
	}
	type session struct {
		id     uint64
		opened time.Time
	}
	var all []session
	g.engine.Each(func(v relay.View) bool {
		if here(v) {
			all = append(all, session{v.ID, v.Opened})
		}
		return true
	})
	slices.SortFunc(all, func(a, b session) int { return cmp.Or(a.opened.Compare(b.opened), cmp.Compare(a.id, b.id)) })
	if s.Newest {
		slices.Reverse(all)
	}
	end := make(map[uint64]struct{})
	for _, o := range all[:min(len(all), s.Sessions)] {
		end[o.id] = struct{}{}
	}
	return g.engine.End(func(v relay.View) bool { _, ends := end[v.ID]; return ends }, relay.Ending{Cause: relay.Rebalanced}, s.Over)
}
