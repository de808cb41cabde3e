package backend

import (
	"maps"
	"math"
	"slices"
	"time"

	"sluice/internal/codec"
)

const (
	mostCarried = 1 << 20  // names, targets, endpoints
	mostText    = 64 << 10 // bytes
)

// learned is what a pool knows that its settings do not say.
type learned struct {
	drained   []string // names that Drain was called with
	names     []learnedName
	endpoints []learnedEndpoint
}

// learnedName is what a name stands for.
type learnedName struct {
	name    string
	targets []target
	next    time.Time
}

// learnedEndpoint is what is known of an endpoint.
type learnedEndpoint struct {
	name              string
	probed            bool
	healthy, wasUp    bool
	detail            string
	unreached, failed int
	ejectedUntil      time.Time
	ejectTime         time.Duration
	readmitted        time.Time
}

// Carry writes down what the pool has learned, or reads what that of another process has: which endpoints are drained, what names stand
// for, health, ejections. Of what a reader has not among its settings nothing is kept.
func (p *Pool) Carry(c *codec.Coder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var l learned
	if !c.Reading() {
		l = p.learned()
	}
	l.carry(c)
	if c.Reading() && c.Err() == nil {
		p.learn(&l)
	}
}

// learned returns what the pool has learned. The lock is held.
func (p *Pool) learned() (l learned) {
	l.drained = slices.Sorted(maps.Keys(p.drained))
	for _, name := range slices.Sorted(maps.Keys(p.names)) {
		if n := p.names[name]; n.targets != nil {
			l.names = append(l.names, learnedName{name, n.targets, n.next})
		}
	}
	for _, e := range p.current {
		l.endpoints = append(l.endpoints, learnedEndpoint{
			name: e.name, probed: !e.probed.IsZero(), healthy: e.healthy, wasUp: e.wasUp, detail: e.detail,
			unreached: e.unreached, failed: e.failed, ejectedUntil: e.ejectedUntil, ejectTime: e.ejectTime, readmitted: e.readmitted,
		})
	}
	return l
}

// learn takes over what another pool has learned. The lock is held.
func (p *Pool) learn(l *learned) {
	now := time.Now()
	for _, name := range l.drained {
		if p.drained == nil {
			p.drained = make(map[string]bool)
		}
		p.drained[name] = true
	}
	for _, from := range l.names {
		if n := p.names[from.name]; n != nil && n.targets == nil {
			n.targets, n.next = from.targets, from.next
		}
	}
	p.populated = false // what the names stood for all along joins no endpoints that are there
	p.reconcile(now)
	for _, from := range l.endpoints {
		e := p.endpoints[from.name]
		if e == nil || e.generation != p.generation {
			continue
		}
		if from.probed && p.settings.Check.Probe != nil {
			e.probed, e.healthy, e.wasUp, e.detail = now, from.healthy, from.wasUp, from.detail
		}
		e.unreached, e.failed = from.unreached, from.failed
		e.ejectedUntil, e.ejectTime, e.readmitted = from.ejectedUntil, from.ejectTime, from.readmitted
	}
	p.rebuildReady(now)
	p.wakeWaiters()
	p.wakeRun()
}

func (l *learned) carry(c *codec.Coder) {
	codec.List(c, &l.drained, mostCarried, carryText)
	codec.List(c, &l.names, mostCarried, func(c *codec.Coder, n *learnedName) {
		carryText(c, &n.name)
		codec.List(c, &n.targets, mostCarried, carryTarget)
		carryTime(c, &n.next)
	})
	codec.List(c, &l.endpoints, mostCarried, func(c *codec.Coder, e *learnedEndpoint) {
		carryText(c, &e.name)
		for _, b := range [...]*bool{&e.probed, &e.healthy, &e.wasUp} {
			c.Bool(b)
		}
		carryText(c, &e.detail)
		codec.Number(c, &e.unreached)
		codec.Number(c, &e.failed)
		codec.Number(c, &e.ejectTime)
		c.Check(e.unreached >= 0 && e.failed >= 0 && e.ejectTime >= 0, "an endpoint that has failed less than never")
		carryTime(c, &e.ejectedUntil)
		carryTime(c, &e.readmitted)
	})
}

func carryTarget(c *codec.Coder, t *target) {
	for _, text := range [...]*string{&t.name, &t.network, &t.Address, &t.Fallback, &t.Authority, &t.Host} {
		carryText(c, text)
	}
	weight := math.Float64bits(t.Weight)
	codec.Number(c, &weight)
	t.Weight = math.Float64frombits(weight)
	codec.Number(c, &t.Rank)
	c.Check(t.Weight >= 0 && t.Weight <= math.MaxUint16 && t.Rank >= 0 && t.Rank <= math.MaxUint16, "a weight or a rank that no record has")
}

func carryText(c *codec.Coder, text *string) { c.Text(text, mostText) }

// carryTime carries a time to the nanosecond; the zero time is none.
func carryTime(c *codec.Coder, t *time.Time) {
	var at int64
	if !t.IsZero() {
		at = t.UnixNano()
	}
	if codec.Number(c, &at); c.Reading() && at != 0 {
		*t = time.Unix(0, at)
	}
}
