package backend

import (
	"math"
	"slices"
	"time"
)

// An Eviction is sessions of one endpoint that have to end, so that their
// clients come back and get another endpoint.
type Eviction struct {
	Backend, Endpoint string
	Sessions          int           // how many; all if Drain
	Newest            bool          // the newest sessions first, else the oldest
	Drain             bool          // the endpoint drains, else it has more than its share
	Over              time.Duration // within which they end
}

// DrainConfigured reports whether the settings drain an endpoint.
func (p *Pool) DrainConfigured(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.current, func(e *endpoint) bool {
		return (e.name == name || e.configured == name) && e.drainConfigured
	})
}

// Drain makes an endpoint take no new work and end its sessions over the drain
// time, or take work again. The name is that of [Lease.Endpoint], or the
// configured one. An endpoint that the settings drain stays drained. Drain
// reports whether there is such an endpoint.
func (p *Pool) Drain(endpoint string, on bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := false
	for _, e := range p.current {
		if e.name != endpoint && e.configured != endpoint {
			continue
		}
		found = true
		if on {
			if p.drained == nil {
				p.drained = make(map[string]bool)
			}
			p.drained[endpoint] = true
		} else {
			delete(p.drained, e.name)
			delete(p.drained, e.configured)
		}
		if e.drainRequested == on {
			continue
		}
		e.drainRequested = on
		if !e.draining() {
			e.drainEvicted = false
			p.join(e, time.Now())
		}
	}
	if found {
		p.rebuildReady(time.Now())
		p.wakeRun()
	}
	return found
}

// evictDrained returns the evictions of endpoints that have begun to drain.
func (p *Pool) evictDrained() (all []Eviction) {
	for _, e := range p.current {
		if e.draining() && !e.drainEvicted {
			e.drainEvicted = true
			p.event(e, "endpoint is drained", nil)
			all = append(all, Eviction{Backend: p.name, Endpoint: e.name, Sessions: e.busy[Sessions], Drain: true, Over: p.settings.DrainTime})
		}
	}
	return all
}

// rebalanceInterval is how often sessions are evicted for a rebalance. They end
// within rebalanceSpread, before the next time, so that none is chosen twice.
const (
	rebalanceInterval = time.Second
	rebalanceSpread   = rebalanceInterval * 9 / 10
)

// rebalance returns evictions from endpoints that have more sessions than their
// share, at the rate of the settings, until none has.
func (p *Pool) rebalance(now time.Time, due *nextDue) (all []Eviction) {
	rate := p.settings.Rebalance.PerMinute / 60
	if !p.uneven || rate == 0 {
		p.evictedAt = time.Time{}
		return nil
	}
	if p.evictedAt.IsZero() {
		p.evictedAt, p.evictBudget = now, 0
	}
	due.at(p.evictedAt.Add(rebalanceInterval))
	elapsed := now.Sub(p.evictedAt)
	if elapsed < rebalanceInterval {
		return nil
	}
	p.evictedAt = now
	due.at(now.Add(rebalanceInterval))
	total := 0
	for i := range p.ready {
		total += p.ready[i].Value.busy[Sessions]
	}
	fair := float64(total) / p.weight // sessions for each unit of weight
	missing := 0                      // sessions, on endpoints with too few
	affected := 0                     // sessions, on endpoints with too many
	for i := range p.ready {
		e := p.ready[i].Value
		missing += e.shortfall(fair) - e.evicting
		if e.excess(fair) > 0 {
			affected += e.busy[Sessions]
		}
	}
	if affected == 0 || missing <= 0 {
		p.uneven = p.slowStarting() || p.evicting()
		return nil
	}
	p.evictBudget += rate * elapsed.Seconds() * float64(affected)
	for i := range p.ready {
		e := p.ready[i].Value
		n := min(e.excess(fair), int(math.Ceil(p.evictBudget*float64(e.busy[Sessions])/float64(affected))), int(p.evictBudget), missing)
		if n <= 0 {
			continue
		}
		p.evictBudget -= float64(n)
		e.evicting += n
		missing -= n
		all = append(all, Eviction{Backend: p.name, Endpoint: e.name, Sessions: n, Newest: p.settings.Rebalance.Newest, Over: rebalanceSpread})
	}
	p.evictBudget = min(p.evictBudget, 1+rate*float64(affected))
	return all
}

// excess returns how many sessions e has above its fair share, without those
// that were told to end.
func (e *endpoint) excess(fair float64) int {
	return e.busy[Sessions] - e.evicting - int(math.Ceil(fair*e.effectiveWeight))
}

// shortfall returns how many sessions e has below its fair share.
func (e *endpoint) shortfall(fair float64) int {
	share := int(math.Ceil(fair * e.effectiveWeight))
	if e.maxSessions > 0 {
		share = min(share, e.maxSessions)
	}
	return max(share-e.busy[Sessions], 0)
}

// evicting reports whether sessions that were told to end still count.
func (p *Pool) evicting() bool {
	for i := range p.ready {
		if p.ready[i].Value.evicting > 0 {
			return true
		}
	}
	return false
}

// noteEvicted notes how many sessions of v were found.
func (p *Pool) noteEvicted(v Eviction, found int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.endpoints[v.Endpoint]; e != nil && !v.Drain {
		e.evicting = max(e.evicting-(v.Sessions-found), 0)
	}
}
