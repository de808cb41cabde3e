package backend

import (
	"context"
	"fmt"
	"net/netip"
	"time"
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

// Has reports whether there is an endpoint of a name, which is the one of [Lease.Endpoint].
func (p *Pool) Has(endpoint string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now(endpoint) != nil
}

// now returns the endpoint of a name, nil if the backend has none now. The lock is held.
func (p *Pool) now(name string) *endpoint {
	if e := p.endpoints[name]; e != nil && e.generation == p.generation {
		return e
	}
	return nil
}

// Resume returns a lease of the endpoint of a name, which is the one of [Lease.Endpoint], for a session that another
// process has opened there, whatever the endpoint's limits and health. It returns nil if there is no such endpoint.
func (p *Pool) Resume(endpoint string) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.now(endpoint)
	if e == nil {
		return nil
	}
	p.assign(e, Sessions)
	l := &Lease{pool: p, endpoint: e, dialer: e.dialer, kind: Sessions, final: true}
	l.CountSession()
	return l
}

// assign counts work of a kind at e, which was picked. The lock is held.
func (p *Pool) assign(e *endpoint, k Kind) {
	e.busy[k]++
	if e.index >= 0 {
		p.load++
	}
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
