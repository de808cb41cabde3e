// Package outline tells what a configuration does to the sessions that are open when it comes into force.
// An [Outline] is the part of a configuration that decides it, and a [Report] counts the sessions by what
// becomes of them and why. It knows names, and nothing that runs.
package outline

import (
	"fmt"
	"slices"
)

// Outline is what of a configuration decides which sessions live on under it.
type Outline struct {
	Routes   map[string][]string        `json:"routes" doc:"The backends of each route, by the route's name, else its matchers. A route without a backend has none."`
	Backends map[string]map[string]bool `json:"backends" doc:"The endpoints of each backend, by its name: whether the endpoint has 'drain: true', by its address as it is configured."`
}

// Session is what decides about a session.
type Session struct {
	Route    string // its identity
	Backend  string
	Endpoint string // as it is configured: a name where the session has an address of it
}

// Fate is what becomes of a session.
type Fate int

// The fates of a session.
const (
	Stays          Fate = iota
	RouteRemoved        // its route is gone, or has no backend any more
	BackendRemoved      // no backend of its route has its endpoint
	Drains              // its endpoint has 'drain: true': it ends within the backend's drain_time
)

// Fate returns what becomes of a session under o.
func (o *Outline) Fate(s Session) Fate {
	backends := o.Routes[s.Route]
	if len(backends) == 0 {
		return RouteRemoved
	}
	if drains, ok := o.Backends[s.Backend][s.Endpoint]; ok && drains {
		return Drains
	}
	for _, name := range backends {
		if _, ok := o.Backends[name][s.Endpoint]; ok {
			return Stays
		}
	}
	return BackendRemoved
}

// why says why a session does not stay, in words that are the same for all sessions that end for the same reason.
func (o *Outline) why(s Session, f Fate) string {
	switch f {
	case Drains:
		return fmt.Sprintf("endpoint %s of backend %s drains", s.Endpoint, s.Backend)
	case RouteRemoved:
		if _, ok := o.Routes[s.Route]; ok {
			return fmt.Sprintf("route %s has no backend any more", s.Route)
		}
		return fmt.Sprintf("route %s removed", s.Route)
	}
	endpoints, ok := o.Backends[s.Backend]
	if _, has := endpoints[s.Endpoint]; has && !slices.Contains(o.Routes[s.Route], s.Backend) {
		return fmt.Sprintf("route %s has backend %s no more", s.Route, s.Backend)
	}
	if !ok {
		return fmt.Sprintf("backend %s removed", s.Backend)
	}
	return fmt.Sprintf("endpoint %s of backend %s removed", s.Endpoint, s.Backend)
}
