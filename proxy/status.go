package proxy

import (
	"cmp"
	"slices"

	"sluice/proxy/relay"
)

// RouteStatus is what the sessions of a route have done up to now.
type RouteStatus struct {
	Route string
	Open  int64 // sessions
	relay.Totals
}

// Routes describes the sessions of all routes that have a backend, in order of
// their names. A session that ends meanwhile may be left out of the counts.
func (g *Gateway) Routes() []RouteStatus {
	totals := make(map[*relay.Group]relay.Totals)
	s := g.current.Load()
	for _, svc := range s.services {
		totals[svc.group] = svc.group.Past()
	}
	g.engine.Each(func(v relay.View) bool {
		t := totals[v.Group]
		t.Sessions++
		t.FromClient.Add(&v.FromClient)
		t.FromBackend.Add(&v.FromBackend)
		totals[v.Group] = t
		return true
	})
	var all []RouteStatus
	for _, svc := range s.services {
		if svc.shares != nil {
			all = append(all, RouteStatus{Route: svc.group.Name, Open: svc.group.Open(), Totals: totals[svc.group]})
		}
	}
	slices.SortFunc(all, func(a, b RouteStatus) int { return cmp.Compare(a.Route, b.Route) })
	return all
}
