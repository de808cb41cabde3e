package backend

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sluice/proxy/backend/dns"
)

// Kind is the kind of work that an endpoint is needed for.
type Kind uint8

const (
	Requests Kind = iota
	Sessions
)

// A Need is what a caller asks an endpoint for.
type Need struct {
	Kind   Kind
	Hash   uint64                // of what decides the endpoint where Balance is [Hash]; see [HashOf]
	Sticky uint64                // [Lease.ID] of the endpoint that the client had before; 0 for none
	Client netip.AddrPort        // of the client's connection, for PROXY headers; may be zero
	Server func() netip.AddrPort // the same of this end; nil means zero
}

// HashOf returns the hash of a text (FNV-1a). It is the same in every process.
func HashOf(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

// Acquire picks an endpoint that t has not tried. Where all endpoints are full,
// and the settings have a queue, it waits for one until ctx ends. The caller
// must release the lease. The error is an *[UnavailableError], the cause of ctx,
// the error of the last try where no more may be tried, or a shortage
// (limit.ShortageOf) where that prevented the first look-up of the names.
func (p *Pool) Acquire(ctx context.Context, n Need, t *Tried) (*Lease, error) {
	p.mu.Lock()
	for p.firstAnswer != nil && len(p.current) == 0 {
		answered := p.firstAnswer
		p.mu.Unlock()
		if err := p.waitForAnswer(ctx, answered); err != nil {
			return nil, err
		}
		p.mu.Lock()
		if err := p.lookupShortage; err != nil {
			p.mu.Unlock()
			return nil, err
		}
	}
	if !p.mayTry(t) {
		p.mu.Unlock()
		return nil, t.last
	}
	e, full := p.pick(n, t)
	switch {
	case e != nil:
		p.assign(e, n.Kind)
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
	l := p.newLease(e, n, t)
	p.mu.Unlock()
	return l, nil
}

// TryAcquire is Acquire for a first try by a caller that cannot wait. The lease is l, which is
// the caller's memory and no lease that has not been released. It is false, and nothing is
// counted, where Acquire would wait or fail.
func (p *Pool) TryAcquire(l *Lease, n Need, t *Tried) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, _ := p.pick(n, t)
	if e == nil || !p.mayTry(t) {
		return false
	}
	p.assign(e, n.Kind)
	l.start(p, e, n, t)
	return true
}

// Resume returns a lease for a session that another process has opened at an endpoint, whatever the endpoint's limits and health.
// The names are those of [Lease.Endpoint] and [Lease.Configured]. It returns nil if no such endpoint is configured; an address of a
// name that the name does not stand for any more gets no other work.
func (p *Pool) Resume(endpoint, configured string) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.settings.Endpoints, func(c Endpoint) bool { return c.Name == configured })
	if i < 0 {
		return nil
	}
	e := p.endpoints[endpoint]
	if e == nil {
		c := &p.settings.Endpoints[i]
		e = newEndpoint(endpoint, configured, 0)
		e.drainRequested = p.drained[endpoint] || p.drained[configured]
		e.configure(p.name, c, target{endpoint, c.Network, dns.Target{Address: c.Address, Authority: c.Address}}, &p.settings)
		e.generation = p.generation - 1
		p.endpoints[endpoint] = e
	}
	p.occupy(e, Sessions) // nothing was picked: it is no endpoint's turn
	p.reorder(e)
	l := &Lease{pool: p, endpoint: e, dialer: e.dialer, kind: Sessions, final: true}
	l.CountSession()
	return l
}

// occupy counts work of a kind at e. The lock is held.
func (p *Pool) occupy(e *endpoint, k Kind) {
	e.busy[k]++
	if e.index >= 0 {
		p.load++
	}
}

// assign counts work of a kind at e, which was picked. The lock is held.
func (p *Pool) assign(e *endpoint, k Kind) {
	p.occupy(e, k)
	p.turn++
	e.turn = p.turn
	if e.index == 0 {
		p.virtualTime = max(p.virtualTime, e.virtualTime)
	}
	e.virtualTime += 1 / e.effectiveWeight
	p.reorder(e)
}

// unassign undoes assign when the work is over, and gives the room to a waiter.
func (p *Pool) unassign(e *endpoint, k Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.busy[k]--
	if e.index >= 0 {
		p.load--
	}
	if k == Sessions && e.evicting > 0 {
		e.evicting--
	}
	if e.generation != p.generation {
		if e.idle() {
			delete(p.endpoints, e.name)
		}
		return
	}
	p.reorder(e)
	if p.waiting[k].Len() > 0 {
		p.serveQueue(k)
	}
}

// An UnavailableError says that a backend has no endpoint to use.
type UnavailableError struct {
	Backend    string
	Full       bool          // endpoints are up, but all of them are full; else none is up
	RetryAfter time.Duration // when that may have changed
}

func (e *UnavailableError) Error() string {
	if e.Full {
		return fmt.Sprintf("backend %s: all endpoints are full", e.Backend)
	}
	return fmt.Sprintf("backend %s: no endpoint is up", e.Backend)
}

// minRetryAfter and maxRetryAfter bound UnavailableError.RetryAfter.
const minRetryAfter, maxRetryAfter = time.Second, 30 * time.Second

// unavailable returns the error of a backend without an endpoint to use. The
// lock is held.
func (p *Pool) unavailable(full bool) *UnavailableError {
	err := &UnavailableError{Backend: p.name, Full: full, RetryAfter: minRetryAfter}
	if full {
		return err
	}
	err.RetryAfter = maxRetryAfter
	now := time.Now()
	for _, e := range p.current {
		switch {
		case !e.ejectedUntil.IsZero():
			err.RetryAfter = min(err.RetryAfter, e.ejectedUntil.Sub(now))
		case !e.healthy:
			err.RetryAfter = min(err.RetryAfter, p.settings.Check.Interval)
		}
	}
	err.RetryAfter = max(err.RetryAfter, minRetryAfter)
	return err
}
