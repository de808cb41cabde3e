// Package backend is the endpoints of a backend: which one gets work, how much
// work each has, and whether it is up. How an endpoint is reached is package
// dial's, how names are looked up package dns's. It knows neither requests nor
// routes: what a caller asks for is a [Need].
package backend

import (
	"context"
	"slices"
	"sync"
	"time"

	"sluice/proxy/backend/balance"
)

// A Pool is the endpoints of one backend, with their work and their health. It
// lasts as long as the backend keeps its name, through all configurations, so
// that counts and health outlive a configuration. It is safe for concurrent use.
type Pool struct {
	name   string
	notify func(Event)
	wake   chan struct{} // makes Run do what is due

	mu             sync.Mutex
	settings       Settings
	names          map[string]*nameState // by Endpoint.Name
	endpoints      map[string]*endpoint  // by name: the current ones, and those that still have work
	generation     int                   // grows with each reconcile; that of the current endpoints
	current        []*endpoint           // by tier
	byID           map[uint64]*endpoint  // the current ones
	firstAnswer    chan struct{}         // closed with the next answer of DNS; nil unless a name waits for its first one
	lookupShortage error                 // why the last look-up could not be made here; nil if it could
	populated      bool                  // it has had endpoints
	drained        map[string]bool       // names that Drain was called with

	ready       balance.Heap[*endpoint] // the endpoints that get work: those that are up in the lowest tier that has any
	up          int                     // number of endpoints that are up, in all tiers
	load        int                     // of the ready endpoints together
	weight      float64                 // effective weight of the ready endpoints together
	ring        *balance.Ring           // of the current endpoints, by index; nil unless Balance is Hash
	turn        uint64                  // number of the last pick
	virtualTime float64                 // round robin: work done so far for each unit of weight
	retries     retryBudget
	waiting     [2]queue // by Kind

	clients     [2]clients // with a known outcome, in this window of Passive and in the one before
	windowStart time.Time  // of this window

	uneven      bool      // an endpoint has joined and sessions are not evenly spread yet
	evictBudget float64   // sessions that may be evicted for a rebalance
	evictedAt   time.Time // when evictBudget last grew; zero while nothing is rebalanced
}

// An Event is something that happened to an endpoint or to a name.
type Event struct {
	Backend, Endpoint string
	What              string
	Err               error // nil for good news
}

// event notifies of something that happened to e.
func (p *Pool) event(e *endpoint, what string, err error) {
	p.notify(Event{Backend: p.name, Endpoint: e.name, What: what, Err: err})
}

// New returns the pool of a backend. It connects to nothing and starts nothing:
// see [Pool.Run]. It calls notify, if that is not nil, for each event; notify
// must not block and must not use the pool.
func New(name string, s Settings, notify func(Event)) *Pool {
	p := &Pool{
		name: name, notify: notify, wake: make(chan struct{}, 1),
		names: make(map[string]*nameState), endpoints: make(map[string]*endpoint), retries: newRetryBudget(),
	}
	if notify == nil {
		p.notify = func(Event) {}
	}
	p.Configure(s)
	return p
}

// Name returns the name of the backend.
func (p *Pool) Name() string { return p.name }

// Configure replaces the settings. Endpoints that stay keep their counts, their
// health and, if they are reached in the same way, their connections.
func (p *Pool) Configure(s Settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings = s.withDefaults()
	for _, n := range p.names {
		n.next = time.Time{}
	}
	p.reconcile(time.Now())
	p.wakeRun()
}

// Close closes the connections that are not in use, and keeps no connection
// after its last use. Leases stay valid.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.endpoints {
		e.dialer.Close()
	}
}

// Run does the background work until ctx ends: it probes endpoints, looks up
// names, readmits ejected endpoints and evicts sessions. It calls evict to end
// sessions, which returns how many of them there were and does not wait for
// their end. Run returns when its last goroutine has ended.
func (p *Pool) Run(ctx context.Context, evict func(Eviction) int) {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		work, evictions, due := p.runDue(time.Now())
		for _, j := range work {
			jobs.Go(func() { j(ctx) })
		}
		for _, v := range evictions {
			p.noteEvicted(v, evict(v))
		}
		if !due.IsZero() {
			timer.Reset(time.Until(due.Time))
		}
	}
}

// job is background work that blocks.
type job func(ctx context.Context)

// nextDue is the moment when the next background work is due; zero for none.
type nextDue struct{ time.Time }

// at makes t the moment, if it is earlier.
func (d *nextDue) at(t time.Time) {
	if d.IsZero() || t.Before(d.Time) {
		d.Time = t
	}
}

// runDue does what is due now. It returns the work that blocks or needs the
// caller, and when to call it next.
func (p *Pool) runDue(now time.Time) (work []job, evictions []Eviction, due nextDue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readmit(now, &due)
	p.advanceSlowStart(now, &due)
	work = append(p.lookups(now, &due), p.probes(now, &due)...)
	evictions = append(p.evictDrained(), p.rebalance(now, &due)...)
	return work, evictions, due
}

// wakeRun makes Run check what is due.
func (p *Pool) wakeRun() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// reconcile brings the endpoints in line with the settings and the answers of
// DNS. The lock is held.
func (p *Pool) reconcile(now time.Time) {
	p.forgetNames()
	p.generation++
	var current []*endpoint
	for i := range p.settings.Endpoints {
		c := &p.settings.Endpoints[i]
		for _, t := range p.targets(c) {
			e := p.endpoints[t.name]
			if e == nil {
				p.turn++
				e = newEndpoint(t.name, c.Name, p.turn)
				p.endpoints[t.name] = e
			}
			joins := e.generation != p.generation-1
			e.generation = p.generation
			e.drainRequested = p.drained[e.name] || p.drained[c.Name]
			e.configure(p.name, c, t, &p.settings)
			if joins && p.populated {
				p.join(e, now)
			}
			current = append(current, e)
		}
	}
	for name, e := range p.endpoints {
		if e.generation != p.generation {
			e.dialer.Close()
			if e.idle() {
				delete(p.endpoints, name)
			}
		}
	}
	slices.SortStableFunc(current, func(a, b *endpoint) int { return a.tier - b.tier })
	p.current = current
	p.byID = make(map[uint64]*endpoint, len(current))
	for _, e := range current {
		p.byID[e.id] = e
	}
	p.populated = p.populated || len(current) > 0
	p.ring = nil
	if p.settings.Balance == Hash {
		members := make([]balance.Member, len(current))
		for i, e := range current {
			members[i] = balance.Member{ID: e.id, Weight: e.weight}
		}
		p.ring = balance.NewRing(members)
	}
	p.rebuildReady(now)
}

// join notes that e gets work from now on. Its share grows slowly, and sessions
// are uneven until they are rebalanced.
func (p *Pool) join(e *endpoint, now time.Time) {
	e.joined = now
	p.uneven = true
}

// rebuildReady rebuilds the heap of the endpoints that get work, and serves the
// queues. It must be called when an endpoint goes up or down. The lock is held.
func (p *Pool) rebuildReady(now time.Time) {
	for _, i := range p.ready {
		i.Value.index = -1
	}
	p.ready, p.up, p.load, p.weight = p.ready[:0], 0, 0, 0
	for _, e := range p.current {
		e.updateWeight(now, p.settings.SlowStart)
		e.noteState(now)
		if !e.up() {
			continue
		}
		p.up++
		if len(p.ready) > 0 && e.tier != p.ready[0].Value.tier {
			continue
		}
		if e.virtualTime < p.virtualTime || e.virtualTime == 0 {
			e.virtualTime = p.virtualTime + 1/e.effectiveWeight
		}
		p.ready = append(p.ready, balance.Item[*endpoint]{Key: p.key(e), Turn: e.turn, Index: &e.index, Value: e})
		p.load += e.load()
		p.weight += e.effectiveWeight
	}
	p.ready.Init()
	p.serveQueue(Requests)
	p.serveQueue(Sessions)
}
