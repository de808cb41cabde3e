// Package backend is the endpoints of a backend: which one to use, how to reach
// it, how it fares and how much it has to do. It knows neither requests nor
// routes: what it is asked for is a [Need].
package backend

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A Pool is the endpoints of one backend and what goes on at each. It lasts for
// as long as the backend has its name, whatever else about it changes, so that
// counts and health outlive a configuration.
type Pool struct {
	name string
	tell func(Event)
	wake chan struct{} // has Run look at what is due

	mu         sync.Mutex
	settings   Settings
	names      map[string]bool    // of the endpoints, as configured
	answers    map[string]*answer // of DNS, by Endpoint.Name
	members    map[string]*member // by name: the current ones, and those that still have work
	generation int                // of the current ones
	current    []*member          // by tier
	ids        map[uint64]*member // of the current ones
	pending    chan struct{}      // closed with the first answer of DNS; nil when there is nothing to wait for
	short      error              // why the last look-up could not be made here; nil when it could
	begun      bool               // was configured

	ready   heap    // who gets work: the current ones that are up, of the lowest tier that has any
	up      int     // how many are up, of any tier
	load    int     // of those that are ready together
	power   float64 // the same
	ring    *ring   // of the current ones; nil unless they are picked by hash
	turn    uint64  // of the last pick
	virtual float64 // time of round robin: how much work each unit of weight has had
	budget  budget
	waiting [2]queue // by kind

	seen   [2]clients // of whom outcomes are known, in this window of Passive and in the one before
	window time.Time  // when this one began

	uneven    bool // endpoints joined, and sessions are not spread evenly yet
	allowance float64
	shedAt    time.Time
}

// New returns the pool of a backend. It connects to nothing yet. What happens
// to endpoints is told to tell, if it is not nil, which must neither wait nor
// use the pool.
func New(name string, s Settings, tell func(Event)) *Pool {
	p := &Pool{
		name: name, tell: tell, wake: make(chan struct{}, 1),
		answers: make(map[string]*answer), members: make(map[string]*member), budget: newBudget(),
	}
	if tell == nil {
		p.tell = func(Event) {}
	}
	p.Configure(s)
	return p
}

// Name returns the name of the backend.
func (p *Pool) Name() string { return p.name }

// Configure makes s what the pool follows. Endpoints that stay keep their
// counts, their health and, if they are reached in the same way, connections.
func (p *Pool) Configure(s Settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings = s.withDefaults()
	p.names = make(map[string]bool, len(s.Endpoints))
	for _, e := range s.Endpoints {
		p.names[e.Name] = true
	}
	for _, a := range p.answers {
		a.next = time.Time{}
	}
	p.place(time.Now())
	p.rouse()
}

// Close closes the connections that nobody uses, and keeps none from now on.
// Leases stay valid.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		m.link.retire()
	}
}

// Has reports whether an endpoint of that name, as of [Lease.Endpoint], belongs
// to the backend. One that stands for an address of a name does as long as the
// name is configured: what DNS no longer says may still work.
func (p *Pool) Has(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.members[name]; m != nil {
		name = m.configured
	}
	return p.names[name]
}

// rouse has Run look at what is due.
func (p *Pool) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// place brings the members in line with the settings and the answers of DNS.
func (p *Pool) place(now time.Time) {
	p.forgetNames()
	p.generation++
	var current []*member
	for i := range p.settings.Endpoints {
		e := &p.settings.Endpoints[i]
		for _, t := range p.targets(e) {
			m := p.members[t.name]
			if m == nil {
				p.turn++
				m = newMember(t.name, p.turn)
				p.members[t.name] = m
			}
			joins := m.generation != p.generation-1
			m.generation = p.generation
			m.configure(p.name, e, t, &p.settings)
			if joins && p.begun {
				p.join(m, now)
			}
			current = append(current, m)
		}
	}
	for name, m := range p.members {
		if m.generation != p.generation {
			m.link.retire()
			if m.idle() {
				delete(p.members, name)
			}
		}
	}
	slices.SortStableFunc(current, func(a, b *member) int { return a.tier - b.tier })
	p.current = current
	p.ids = make(map[uint64]*member, len(current))
	for _, m := range current {
		p.ids[m.id] = m
	}
	p.begun = p.begun || len(current) > 0
	p.ring = nil
	if p.settings.Balance == Hash {
		p.ring = newRing(current)
	}
	p.arrange(now)
}

// join is for a member that gets work from now on: not all of it at once.
func (p *Pool) join(m *member, now time.Time) {
	m.since = now
	p.uneven = true
}

// arrange finds out who gets work. It is called whenever a member goes up or
// down, and serves those who wait for one.
func (p *Pool) arrange(now time.Time) {
	for _, i := range p.ready {
		i.m.index = -1
	}
	p.ready, p.up, p.load, p.power = p.ready[:0], 0, 0, 0
	for _, m := range p.current {
		m.warm(now, p.settings.SlowStart)
		if !m.up() {
			continue
		}
		p.up++
		if len(p.ready) > 0 && m.tier != p.ready[0].m.tier {
			continue
		}
		if m.pass < p.virtual || m.pass == 0 {
			m.pass = p.virtual + 1/m.power
		}
		p.ready = append(p.ready, item{p.key(m), m.turn, m})
		p.load += m.load()
		p.power += m.power
	}
	p.ready.init()
	p.serve(Requests)
	p.serve(Sessions)
}

// Acquire picks an endpoint that was not tried. Where all are full it waits for
// one, if the settings have a queue, until ctx ends. The error is an
// *[UnavailableError], the cause of ctx, a shortage ([ShortageOf]) where names
// could not be looked up, or, where another try is one too many, the error of
// the last one.
func (p *Pool) Acquire(ctx context.Context, n Need, t *Tried) (*Lease, error) {
	p.mu.Lock()
	for p.pending != nil && len(p.current) == 0 {
		first := p.pending
		p.mu.Unlock()
		if err := p.await(ctx, first); err != nil {
			return nil, err
		}
		p.mu.Lock()
		if err := p.short; err != nil {
			p.mu.Unlock()
			return nil, err
		}
	}
	if !p.mayTry(t) {
		p.mu.Unlock()
		return nil, t.last
	}
	m, full := p.pick(n, t)
	switch {
	case m != nil:
		p.take(m, n.Kind)
	case full && p.waiting[n.Kind].Len() < p.settings.Queue.Length:
		w := p.enqueue(n, t)
		p.mu.Unlock()
		return p.wait(ctx, w)
	case t.last != nil && !full:
		p.mu.Unlock()
		return nil, t.last
	default:
		err := p.unavailable(full)
		p.mu.Unlock()
		return nil, err
	}
	l := m.lease(p, n, t)
	p.mu.Unlock()
	return l, nil
}

// take counts work of a kind for m.
func (p *Pool) take(m *member, k Kind) {
	m.busy[k]++
	if m.index >= 0 {
		p.load++
	}
	p.turn++
	m.turn = p.turn
	if m.index == 0 {
		p.virtual = max(p.virtual, m.pass)
	}
	m.pass += 1 / m.power
	p.reorder(m)
}

// giveBack is for work that take has counted.
func (p *Pool) giveBack(m *member, k Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.busy[k]--
	if m.index >= 0 {
		p.load--
	}
	if k == Sessions && m.ending > 0 {
		m.ending--
	}
	if m.generation != p.generation {
		if m.idle() {
			delete(p.members, m.name)
		}
		return
	}
	p.reorder(m)
	if p.waiting[k].Len() > 0 {
		p.serve(k)
	}
}
