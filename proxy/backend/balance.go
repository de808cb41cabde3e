package backend

import "math/rand/v2"

// pick returns the member to use, or nil and whether that is because those that
// are up are full. It allocates nothing.
func (p *Pool) pick(n Need, t *Tried) (m *member, full bool) {
	if m := p.ids[n.Sticky]; m != nil && m.index >= 0 && m.free(n.Kind, t) {
		return m, false
	}
	if len(p.ready) > 0 {
		switch p.settings.Balance {
		case Hash:
			m = p.ring.pick(n, t, p.fair())
		case RandomTwo:
			m = p.ready[rand.IntN(len(p.ready))].m
			if o := p.ready[rand.IntN(len(p.ready))].m; p.better(o, m) {
				m = o
			}
		default:
			m = p.ready[0].m
		}
		if m != nil && m.free(n.Kind, t) {
			return m, false
		}
	}
	return p.search(n, t)
}

// search is pick among all that are up. A tier counts when each member of those
// before it is down or was tried.
func (p *Pool) search(n Need, t *Tried) (best *member, full bool) {
	tier := -1
	for _, m := range p.current {
		if m.tier != tier {
			if best != nil || full {
				break
			}
			tier = m.tier
		}
		switch {
		case !m.up() || t.has(m):
		case m.full(n.Kind):
			full = true
		case best == nil || p.better(m, best):
			best = m
		}
	}
	return best, full && best == nil
}

// free reports whether m can take work of a kind and was not tried.
func (m *member) free(k Kind, t *Tried) bool { return !m.full(k) && !t.has(m) }

// key is what members are ordered by: the least is the next.
func (p *Pool) key(m *member) float64 {
	if p.settings.Balance == RoundRobin {
		return m.pass
	}
	return float64(m.load()+1) / m.power
}

// better reports whether a comes before b: of equals, the one that was picked
// longer ago.
func (p *Pool) better(a, b *member) bool {
	if x, y := p.key(a), p.key(b); x != y {
		return x < y
	}
	return a.turn < b.turn
}

// reorder finds the place of m, whose key has changed.
func (p *Pool) reorder(m *member) {
	if m.index >= 0 && (p.settings.Balance == LeastConnections || p.settings.Balance == RoundRobin) {
		p.ready[m.index].key, p.ready[m.index].turn = p.key(m), m.turn
		p.ready.fix(m.index)
	}
}

// Bounds of a hash: a member may have so much of its fair share, and so much
// besides that a few requests at once do not drive anybody away.
const (
	hashFactor = 1.25
	hashSlack  = 8
)

// fair is how much work there is for each unit of power.
func (p *Pool) fair() float64 { return float64(p.load+1) / p.power }

// overFair reports whether m has more than a hash may bring it.
func (m *member) overFair(fair float64) bool {
	return float64(m.load()) >= hashFactor*fair*m.power+hashSlack
}
