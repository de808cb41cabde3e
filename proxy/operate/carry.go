package operate

import (
	"maps"
	"slices"

	"sluice/internal/codec"
	"sluice/internal/frame"
	"sluice/proxy/relay"
	"sluice/proxy/serve"
)

// mostRoutes is how many routes are written down, and mostName how long their names may be, in bytes.
const mostRoutes, mostName = 1 << 20, 64 << 10

// routeTotals is what the sessions of a route have done.
type routeTotals struct {
	route string
	relay.Totals
}

func (t *routeTotals) carry(c *codec.Coder) {
	c.Text(&t.route, mostName)
	codec.Number(c, &t.Sessions)
	for _, counts := range [...]*frame.Counts{&t.FromClient, &t.FromBackend} {
		for _, n := range [...]*uint64{&counts.Messages, &counts.Frames, &counts.Controls, &counts.Bytes} {
			codec.Number(c, n)
		}
	}
}

// CarryTotals writes down what the sessions of each route have done, or reads what they did in the processes before this
// one: [Operator.Routes] goes on from there. What was read before is forgotten.
func (o *Operator) CarryTotals(c *codec.Coder) {
	var all []routeTotals
	if !c.Reading() {
		totals, services := o.totals(), o.current().Services
		for _, name := range slices.Sorted(maps.Keys(services)) {
			if t := (routeTotals{name, o.totalsOf(name, services[name], totals)}); t.Totals != (relay.Totals{}) {
				all = append(all, t)
			}
		}
	}
	codec.List(c, &all, mostRoutes, func(c *codec.Coder, t *routeTotals) { t.carry(c) })
	if c.Reading() && c.Err() == nil {
		before := make(map[string]relay.Totals, len(all))
		for _, t := range all {
			before[t.route] = t.Totals
		}
		o.before.Store(&before)
	}
}

// totalsOf returns what the sessions of a route have done, in the processes before this one too. Totals are those of this one.
func (o *Operator) totalsOf(name string, s *serve.Service, totals map[*relay.Group]relay.Totals) relay.Totals {
	t := totals[s.Group]
	if before := o.before.Load(); before != nil {
		more := (*before)[name]
		t.Add(&more)
	}
	return t
}
