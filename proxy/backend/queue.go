package backend

import (
	"container/list"
	"context"
	"time"
)

// queue is who waits for an endpoint that is not full, in order of arrival.
type queue struct{ list.List }

// waiter is work in a queue. Once it has left the queue its result is there.
type waiter struct {
	need     Need
	tried    *Tried
	patience time.Duration
	place    *list.Element
	result   chan result
}

type result struct {
	lease *Lease
	err   error
}

// enqueue is called with the lock held.
func (p *Pool) enqueue(n Need, t *Tried) *waiter {
	w := &waiter{need: n, tried: t, patience: p.settings.Queue.Timeout, result: make(chan result, 1)}
	w.place = p.waiting[n.Kind].PushBack(w)
	return w
}

// serve gives those who wait, the first one first, what they can have: as many
// as there is room for, so that nobody comes in vain. It is called whenever there
// may be room, so who comes new and finds some has overtaken nobody.
func (p *Pool) serve(k Kind) {
	q := &p.waiting[k]
	for place, next := q.Front(), (*list.Element)(nil); place != nil; place = next {
		next = place.Next()
		w := place.Value.(*waiter)
		m, full := p.pick(w.need, w.tried)
		if m == nil && full {
			if len(w.tried.members) == 0 {
				return // there is no room for the others either
			}
			continue
		}
		q.Remove(place)
		if m == nil {
			w.result <- result{err: p.unavailable(false)}
			continue
		}
		p.take(m, k)
		w.result <- result{lease: m.lease(p, w.need, w.tried)}
	}
}

// wait returns what w gets.
func (p *Pool) wait(ctx context.Context, w *waiter) (*Lease, error) {
	timeout := time.NewTimer(w.patience)
	defer timeout.Stop()
	select {
	case r := <-w.result:
		return r.lease, r.err
	case <-ctx.Done():
		if r, came := p.leave(w); came && r.lease != nil {
			r.lease.Release()
		}
		return nil, context.Cause(ctx)
	case <-timeout.C:
		if r, came := p.leave(w); came {
			return r.lease, r.err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return nil, p.unavailable(true)
	}
}

// leave takes w out of its queue, unless its result came in the meantime.
func (p *Pool) leave(w *waiter) (r result, came bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case r := <-w.result:
		return r, true
	default:
		p.waiting[w.need.Kind].Remove(w.place)
		return result{}, false
	}
}

// await waits for the first answer of DNS about a backend that has no endpoint
// without it.
func (p *Pool) await(ctx context.Context, first <-chan struct{}) error {
	timeout := time.NewTimer(lookupTimeout)
	defer timeout.Stop()
	select {
	case <-first:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timeout.C:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.unavailable(false)
	}
}
