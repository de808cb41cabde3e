package backend

import (
	"container/list"
	"context"
	"time"

	"sluice/internal/telemetry/metrics"
)

// queue is the work that waits for an endpoint that is not full, in order of
// arrival.
type queue struct{ list.List }

// waiter is work in a queue. It gets its result when it is removed from there.
type waiter struct {
	need    Need
	tried   *Tried
	timeout time.Duration
	metrics *metrics.Backend
	element *list.Element
	result  chan result
}

type result struct {
	lease *Lease
	err   error
}

// enqueue adds work to its queue. The lock is held.
func (p *Pool) enqueue(n Need, t *Tried) *waiter {
	w := &waiter{need: n, tried: t, timeout: p.settings.Queue.Timeout, metrics: p.settings.Metrics, result: make(chan result, 1)}
	w.element = p.waiting[n.Kind].PushBack(w)
	return w
}

// serveQueue gives leases to the waiters of a kind, the first one first, as long
// as there is room. It must be called whenever there may be room: then new work
// that finds room has overtaken no waiter. The lock is held.
func (p *Pool) serveQueue(k Kind) {
	q := &p.waiting[k]
	for element, next := q.Front(), (*list.Element)(nil); element != nil; element = next {
		next = element.Next()
		w := element.Value.(*waiter)
		e, full := p.pick(w.need, w.tried)
		if e == nil && full {
			if len(w.tried.endpoints) == 0 {
				return // there is no room for the other waiters either
			}
			continue
		}
		q.Remove(element)
		if e == nil {
			w.result <- result{err: p.unavailable(false)}
			continue
		}
		p.assign(e, k)
		w.result <- result{lease: p.newLease(e, w.need, w.tried)}
	}
}

// wait waits for the result of w.
func (p *Pool) wait(ctx context.Context, w *waiter) (*Lease, error) {
	began := time.Now()
	defer func() {
		w.tried.Wait = Wait{began, time.Since(began)}
		w.metrics.Waited(w.tried.Wait.Took)
	}()
	timeout := time.NewTimer(w.timeout)
	defer timeout.Stop()
	select {
	case r := <-w.result:
		return r.lease, r.err
	case <-ctx.Done():
		if r, ok := p.dequeue(w); ok && r.lease != nil {
			r.lease.Release()
		}
		return nil, context.Cause(ctx)
	case <-timeout.C:
		if r, ok := p.dequeue(w); ok {
			return r.lease, r.err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return nil, p.unavailable(true)
	}
}

// dequeue removes w from its queue. If it has got its result meanwhile, dequeue
// returns that and true.
func (p *Pool) dequeue(w *waiter) (result, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case r := <-w.result:
		return r, true
	default:
		p.waiting[w.need.Kind].Remove(w.element)
		return result{}, false
	}
}
