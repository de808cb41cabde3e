package backend

import (
	"math"
	"time"
)

// A Shed is sessions of one endpoint that shall end, to come back elsewhere.
type Shed struct {
	Backend, Endpoint string
	Sessions          int  // how many; all when Drain
	Newest            bool // first; else the oldest
	Drain             bool // the endpoint shall have none
	Over              time.Duration
}

// Drain has an endpoint, as of [Lease.Endpoint] or as configured, take nothing
// new and its sessions end over the drain time, or take work again. What the
// settings drain stays so. It reports whether there is such an endpoint.
func (p *Pool) Drain(endpoint string, on bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := false
	for _, m := range p.current {
		if m.name != endpoint && m.configured != endpoint {
			continue
		}
		found = true
		if m.drained == on {
			continue
		}
		m.drained = on
		if !m.draining() {
			m.emptied = false
			p.join(m, time.Now())
		}
	}
	if found {
		p.arrange(time.Now())
		p.rouse()
	}
	return found
}

// drains returns what ends the sessions of those that began to drain.
func (p *Pool) drains() (sheds []Shed) {
	for _, m := range p.current {
		if m.draining() && !m.emptied {
			m.emptied = true
			p.event(m, "endpoint is drained", nil)
			sheds = append(sheds, Shed{Backend: p.name, Endpoint: m.name, Sessions: m.busy[Sessions], Drain: true, Over: p.settings.DrainTime})
		}
	}
	return sheds
}

// How often sessions move, and the time over which they end: no session is there
// twice to be told.
const (
	shedInterval = time.Second
	shedSpread   = shedInterval * 9 / 10
)

// rebalance returns what ends sessions on endpoints that have more than their
// share, at the rate of the settings, until none has.
func (p *Pool) rebalance(now time.Time, due *alarm) (sheds []Shed) {
	rate := p.settings.Rebalance.PerMinute / 60
	if !p.uneven || rate == 0 {
		p.shedAt = time.Time{}
		return nil
	}
	if p.shedAt.IsZero() {
		p.shedAt, p.allowance = now, 0
	}
	due.at(p.shedAt.Add(shedInterval))
	elapsed := now.Sub(p.shedAt)
	if elapsed < shedInterval {
		return nil
	}
	p.shedAt = now
	due.at(now.Add(shedInterval))
	total := 0
	for i := range p.ready {
		total += p.ready[i].m.busy[Sessions]
	}
	fair := float64(total) / p.power
	room := 0     // for sessions, where there are too few
	affected := 0 // sessions on endpoints with too many
	for i := range p.ready {
		m := p.ready[i].m
		room += m.room(fair) - m.ending
		if m.excess(fair) > 0 {
			affected += m.busy[Sessions]
		}
	}
	if affected == 0 || room <= 0 {
		p.uneven = p.warming() || p.ending()
		return nil
	}
	p.allowance += rate * elapsed.Seconds() * float64(affected)
	for i := range p.ready {
		m := p.ready[i].m
		n := min(m.excess(fair), int(math.Ceil(p.allowance*float64(m.busy[Sessions])/float64(affected))), int(p.allowance), room)
		if n <= 0 {
			continue
		}
		p.allowance -= float64(n)
		m.ending += n
		room -= n
		sheds = append(sheds, Shed{Backend: p.name, Endpoint: m.name, Sessions: n, Newest: p.settings.Rebalance.Newest, Over: shedSpread})
	}
	p.allowance = min(p.allowance, 1+rate*float64(affected))
	return sheds
}

// excess is how many sessions m has above its fair share and that were not told
// to end.
func (m *member) excess(fair float64) int {
	return m.busy[Sessions] - m.ending - int(math.Ceil(fair*m.power))
}

// room is how many sessions m can take up to its fair share.
func (m *member) room(fair float64) int {
	share := int(math.Ceil(fair * m.power))
	if m.maxSessions > 0 {
		share = min(share, m.maxSessions)
	}
	return max(share-m.busy[Sessions], 0)
}

// warming and ending report whether shares are about to change.
func (p *Pool) warming() bool {
	for i := range p.ready {
		if !p.ready[i].m.since.IsZero() {
			return true
		}
	}
	return false
}

func (p *Pool) ending() bool {
	for i := range p.ready {
		if p.ready[i].m.ending > 0 {
			return true
		}
	}
	return false
}

// shed takes in that only some of the sessions of s were there.
func (p *Pool) shed(s Shed, found int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.members[s.Endpoint]; m != nil && !s.Drain {
		m.ending = max(m.ending-(s.Sessions-found), 0)
	}
}
