package proxy

import (
	"cmp"
	"slices"

	"sluice/proxy/relay"
)

// RouteStatus is what the sessions of a route have done so far.
type RouteStatus struct {
	Route string
	Open  int64 // sessions
	relay.Totals
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
