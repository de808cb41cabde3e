package proxy

import (
	"cmp"
	"slices"
	"time"

	"sluice/proxy/relay"
)

// RouteStatus is what the sessions of a route have done so far.
type RouteStatus struct {
	Route string
	Open  int64 // sessions
	relay.Totals
}

// LoopStatus is what an event loop has done since it began. A turn is the time from the moment at
// which it has something to do until all of that is done: what comes meanwhile waits so long.
type LoopStatus struct {
	Number             int
	Connections        int64 // that it has now; of a session, both are one
	Turns              uint64
	P99, P999, Longest time.Duration // of a turn; quantiles are a quarter too long at most
}

// Routes returns the status of all routes that have a backend, in order of their names.
// The counts may miss a session that ends meanwhile.
func (g *Gateway) Routes() []RouteStatus {
	totals := make(map[*relay.Group]relay.Totals)
	s := g.current.Load()
	for _, svc := range s.Services {
		totals[svc.Group] = svc.Group.Past()
	}
	g.server.Engine().Each(func(v relay.View) bool {
		t := totals[v.Group]
		t.Sessions++
		t.FromClient.Add(&v.FromClient)
		t.FromBackend.Add(&v.FromBackend)
		totals[v.Group] = t
		return true
	})
	var all []RouteStatus
	for _, svc := range s.Services {
		if svc.Targets != nil {
			all = append(all, RouteStatus{Route: svc.Group.Name, Open: svc.Group.Open(), Totals: totals[svc.Group]})
		}
	}
	slices.SortFunc(all, func(a, b RouteStatus) int { return cmp.Compare(a.Route, b.Route) })
	return all
}
