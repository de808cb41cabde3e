// Package operate is what operators see of the gateway while it runs, and what they do to it: its
// sessions, routes, endpoints and certificates as resources of the admin interface, and as metrics.
package operate

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"sluice/internal/admin"
	"sluice/internal/frame"
	"sluice/internal/outline"
	"sluice/proxy/backend"
	"sluice/proxy/relay"
	"sluice/proxy/serve"
)

// State is what the configuration in force consists of.
type State struct {
	*serve.Snapshot
	Pools map[string]*backend.Pool
}

// An Operator looks at a gateway and steers it.
type Operator struct {
	server  *serve.Server
	current func() State
	taps    taps
	before  atomic.Pointer[map[string]relay.Totals] // of routes, in the processes before this one; nil without one
}

// New returns the operator of a server, under the configuration that current returns.
func New(server *serve.Server, current func() State) *Operator {
	return &Operator{server: server, current: current}
}

// Outlook counts what a configuration would do to the sessions that are open now.
func (o *Operator) Outlook(next *outline.Outline) outline.Report { return o.server.Outlook(next) }

// Routes describes the routes that have a backend, in order of their names.
func (o *Operator) Routes() []admin.Route {
	totals := o.totals()
	services := o.current().Services
	var all []admin.Route
	for _, name := range slices.Sorted(maps.Keys(services)) {
		svc := services[name]
		if svc.Targets == nil {
			continue
		}
		t := o.totalsOf(name, svc, totals)
		r := admin.Route{
			Route: name, Open: svc.Group.Open(), Limit: int64(svc.Admission.Sessions), Tap: svc.Tap(), Sessions: t.Sessions,
			FromClient: traffic(&t.FromClient), FromBackend: traffic(&t.FromBackend),
		}
		for _, target := range svc.Targets {
			r.Backends = append(r.Backends, target.Pool.Name())
		}
		all = append(all, r)
	}
	return all
}

// totals returns what the sessions of each group have done.
func (o *Operator) totals() map[*relay.Group]relay.Totals {
	totals := make(map[*relay.Group]relay.Totals)
	o.server.Engine().AddTotals(totals)
	return totals
}

func traffic(c *frame.Counts) admin.Traffic {
	return admin.Traffic{Messages: c.Messages, Frames: c.Frames, Controls: c.Controls, Bytes: c.Bytes}
}

// Backends describes the backends and their endpoints, in order of their names.
func (o *Operator) Backends() []admin.Backend {
	pools := o.current().Pools
	var all []admin.Backend
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		p := pools[name]
		b := admin.Backend{Backend: name, Queued: p.Queued(backend.Requests) + p.Queued(backend.Sessions), Endpoints: []admin.Endpoint{}}
		for _, e := range p.Status() {
			b.Endpoints = append(b.Endpoints, admin.Endpoint{
				Endpoint: e.Endpoint, State: e.State, Since: when(e.Since), Standby: e.Standby,
				Sessions: e.Sessions, Requests: e.Requests, Weight: e.Weight,
				Served: e.Served, Failed: e.Failed, Ejections: e.Ejections, Error: e.Detail, Insecure: e.Insecure,
			})
		}
		all = append(all, b)
	}
	return all
}

// when returns a time, or nil for none.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Drain drains an endpoint of a backend: it gets no new work, and its sessions end over the backend's
// drain time. With on false it gets work again. Both last until the process ends, whatever is
// configured. The error is [admin.ErrUnknown] for a name that nothing has.
func (o *Operator) Drain(backend, endpoint string, on bool) error {
	switch p := o.current().Pools[backend]; {
	case p == nil:
		return fmt.Errorf("backend %s: %w of this name", backend, admin.ErrUnknown)
	case !on && p.DrainConfigured(endpoint):
		return fmt.Errorf("endpoint %s of backend %s is drained by the configuration: remove its 'drain: true' and reload", endpoint, backend)
	case !p.Drain(endpoint, on):
		return fmt.Errorf("endpoint %s of backend %s: %w of this name", endpoint, backend, admin.ErrUnknown)
	}
	return nil
}

// Certificates describes the certificates of the listeners.
func (o *Operator) Certificates() []admin.Certificate {
	store := o.current().Store
	if store == nil {
		return nil
	}
	var all []admin.Certificate
	for _, source := range store.Names() {
		c := admin.Certificate{Names: source.Names, From: source.From, Expiry: when(source.Expiry), Next: when(source.Next)}
		if source.Err != nil {
			c.Error = source.Err.Error()
		}
		all = append(all, c)
	}
	return all
}
