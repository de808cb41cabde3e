package backend

import "math/rand/v2"

// pick returns the endpoint to use. If it returns nil, full reports whether
// endpoints are up but full. It allocates nothing. The lock is held.
func (p *Pool) pick(n Need, t *Tried) (e *endpoint, full bool) {
	if e := p.byID[n.Sticky]; e != nil && e.index >= 0 && e.free(n.Kind, t) {
		return e, false
	}
	if len(p.ready) > 0 {
		switch p.settings.Balance {
		case Hash:
			e = p.pickByHash(n, t)
		case RandomTwo:
			e = p.ready[rand.IntN(len(p.ready))].Value
			if o := p.ready[rand.IntN(len(p.ready))].Value; p.better(o, e) {
				e = o
			}
		default:
			e = p.ready[0].Value
		}
		if e != nil && e.free(n.Kind, t) {
			return e, false
		}
	}
	return p.search(n, t)
}

// search is pick over all endpoints that are up. A tier counts when each
// endpoint of the tiers before it is down or was tried.
func (p *Pool) search(n Need, t *Tried) (best *endpoint, full bool) {
	tier := -1
	for _, e := range p.current {
		if e.tier != tier {
			if best != nil || full {
				break
			}
			tier = e.tier
		}
		switch {
		case !e.up() || t.has(e):
		case e.full(n.Kind):
			full = true
		case best == nil || p.better(e, best):
			best = e
		}
	}
	return best, full && best == nil
}

// free reports whether e may take work of a kind and was not tried.
func (e *endpoint) free(k Kind, t *Tried) bool { return !e.full(k) && !t.has(e) }

// key returns what endpoints are ordered by: the least is the next.
func (p *Pool) key(e *endpoint) float64 {
	if p.settings.Balance == RoundRobin {
		return e.virtualTime
	}
	return float64(e.load()+1) / e.effectiveWeight
}

// better reports whether a comes before b. Of two equal ones, the one that was
// picked longer ago comes first.
func (p *Pool) better(a, b *endpoint) bool {
	if x, y := p.key(a), p.key(b); x != y {
		return x < y
	}
	return a.turn < b.turn
}

// reorder restores the order of the heap after the key of e has changed.
func (p *Pool) reorder(e *endpoint) {
	if e.index >= 0 && (p.settings.Balance == LeastConnections || p.settings.Balance == RoundRobin) {
		p.ready.Update(e.index, p.key(e), e.turn)
	}
}

// The bound of a hash (consistent hashing with bounded loads: Mirrokni, Thorup
// and Zadimoghaddam, 2016): an endpoint may have hashFactor times its fair
// share, and hashSlack more, so that a few requests at once do not move a client
// to another endpoint.
const (
	hashFactor = 1.25
	hashSlack  = 8
)

// pickByHash returns the endpoint that a hash decides, among the ready ones
// below their bound, or nil.
func (p *Pool) pickByHash(n Need, t *Tried) *endpoint {
	fair := float64(p.load+1) / p.weight // work for each unit of weight
	i := p.ring.Find(n.Hash, func(i int) bool {
		e := p.current[i]
		return e.index >= 0 && e.free(n.Kind, t) && float64(e.load()) < hashFactor*fair*e.effectiveWeight+hashSlack
	})
	if i < 0 {
		return nil
	}
	return p.current[i]
}
