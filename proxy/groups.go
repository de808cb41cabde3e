package proxy

import (
	"sluice/internal/telemetry/metrics"
	"sluice/proxy/relay"
	"sluice/proxy/serve"
)

// maxOldGroups is how many groups of routes that are gone are kept besides those that have a label of
// their own in the metrics.
const maxOldGroups = 1000

// groups are the groups of all routes that there are or were. A route that comes back counts on from
// where it was.
type groups struct {
	byRoute map[string]*relay.Group // by the identity of the route
	unused  map[string]bool         // those without a session when they were last looked at
	other   *relay.Group            // has the totals of those that were dropped
}

func newGroups() *groups {
	return &groups{byRoute: make(map[string]*relay.Group), other: &relay.Group{Name: metrics.Other}}
}

// of returns the group of a route.
func (g *groups) of(route string) *relay.Group {
	if g != nil && g.byRoute[route] != nil {
		return g.byRoute[route]
	}
	return &relay.Group{Name: route}
}

// keep keeps the groups of the routes that there are now, those with a label of their own, and of the
// others as many as there is room for. It returns those that it drops: they had no session this time
// and the time before, so that no handshake of an older configuration is on its way to them.
func (g *groups) keep(now map[string]*serve.Service, labelled func(route string) bool) (dropped []*relay.Group) {
	for name, svc := range now {
		g.byRoute[name] = svc.Group
	}
	unused := make(map[string]bool)
	for name, old := range g.byRoute {
		if now[name] != nil || labelled(name) || old.Open() > 0 {
			continue
		}
		if g.unused[name] && len(g.byRoute) > len(now)+maxOldGroups {
			delete(g.byRoute, name)
			dropped = append(dropped, old)
			continue
		}
		unused[name] = true
	}
	g.unused = unused
	return dropped
}
