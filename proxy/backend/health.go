package backend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// health is what is known of how a member fares.
type health struct {
	// What its probes say.
	well   bool
	asked  bool // at least once
	asking bool
	next   time.Time // to ask
	streak int       // probes in a row that speak against well
	detail string    // of the last one that went wrong, "" when that is over

	// What its work says.
	failures  int       // in a row
	ejected   time.Time // until when; zero when it is not
	length    time.Duration
	returned  time.Time // from being ejected
	good, bad [2]int    // outcomes in this window, and in the one before
	window    time.Time // when this one began
}

// unasked is for a member that is no longer asked.
func (h *health) unasked() {
	h.well, h.asked, h.streak, h.next = true, false, 0, time.Time{}
}

// An Event is something that happened to an endpoint or a name.
type Event struct {
	Backend, Endpoint string
	What              string
	Err               error // nil for good news
}

func (p *Pool) event(m *member, what string, err error) {
	p.tell(Event{Backend: p.name, Endpoint: m.name, What: what, Err: err})
}

// probes returns what asks the members that are due at the moment now.
func (p *Pool) probes(now time.Time, due *alarm) (jobs []job) {
	c := p.settings.Check
	if c.Probe == nil {
		return nil
	}
	for _, m := range p.current {
		if m.asking {
			continue
		}
		if m.next.After(now) {
			due.at(m.next)
			continue
		}
		m.asking = true
		l := m.lease(p, Need{}, &Tried{})
		jobs = append(jobs, func(ctx context.Context) { p.ask(ctx, m, l, c) })
	}
	return jobs
}

func (p *Pool) ask(ctx context.Context, m *member, l *Lease, c Check) {
	timed, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no answer within %v", c.Timeout))
	defer cancel()
	err := c.Probe(timed, l)
	if timed.Err() != nil {
		err = context.Cause(timed)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.asking = false
	if ctx.Err() != nil || p.settings.Check.Probe == nil {
		return // nobody asks any more, and the answer may be due to that
	}
	now := time.Now()
	m.next = now.Add(c.Interval*9/10 + rand.N(c.Interval/5+1))
	p.judge(m, err, now)
	p.rouse()
}

// judge takes in the answer of a probe.
func (p *Pool) judge(m *member, err error, now time.Time) {
	first := !m.asked
	m.asked = true
	m.detail = ""
	if err != nil {
		m.detail = err.Error()
	}
	if (err == nil) == m.well {
		m.streak = 0
		return
	}
	m.streak++
	enough := p.settings.Check.Fall
	if !m.well {
		enough = p.settings.Check.Rise
	}
	if m.streak < enough && !first {
		return
	}
	m.streak = 0
	m.well = err == nil
	if m.well {
		m.failures = 0
		p.join(m, now)
		p.event(m, "endpoint is up", nil)
	} else {
		p.event(m, "endpoint is down", err)
	}
	p.arrange(now)
}

// report takes in how m has served.
func (p *Pool) report(m *member, good bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.settings.Passive
	if s.Ratio > 0 {
		m.count(good, s.Window)
	}
	if good {
		m.failures = 0
		return
	}
	m.failures++
	if m.generation != p.generation || !m.up() {
		return
	}
	switch n := m.outcomes(); {
	case s.Failures > 0 && m.failures >= s.Failures:
		p.eject(m, fmt.Errorf("it failed %d times in a row", m.failures))
	case s.Ratio > 0 && n >= MinWindow && float64(m.bad[0]+m.bad[1]) >= s.Ratio*float64(n):
		p.eject(m, fmt.Errorf("it failed %d times of %d", m.bad[0]+m.bad[1], n))
	}
}

// count adds an outcome to the current window.
func (h *health) count(good bool, length time.Duration) {
	now := time.Now()
	switch age := now.Sub(h.window); {
	case age >= 2*length:
		h.good, h.bad, h.window = [2]int{}, [2]int{}, now
	case age >= length:
		h.good, h.bad = [2]int{0, h.good[0]}, [2]int{0, h.bad[0]}
		h.window = h.window.Add(length)
	}
	if good {
		h.good[0]++
	} else {
		h.bad[0]++
	}
}

func (h *health) outcomes() int { return h.good[0] + h.good[1] + h.bad[0] + h.bad[1] }

// eject gives m no work for a while: longer if it fails again as soon as it is
// back.
func (p *Pool) eject(m *member, why error) {
	if !p.settings.Passive.EjectLast && p.last(m) {
		return
	}
	now := time.Now()
	if m.length > 0 && now.Sub(m.returned) <= m.length {
		m.length *= 2
	} else {
		m.length = p.settings.Passive.Eject
	}
	m.length = min(m.length, p.settings.Passive.MaxEject)
	m.ejected = now.Add(m.length)
	p.event(m, fmt.Sprintf("endpoint is ejected for %v", m.length), why)
	p.arrange(now)
	p.rouse()
}

// last reports whether no other member than m is up.
func (p *Pool) last(m *member) bool {
	for _, o := range p.current {
		if o != m && o.up() {
			return false
		}
	}
	return true
}

// readmit brings back who was ejected for long enough. Who fails then has no
// second chance.
func (p *Pool) readmit(now time.Time, due *alarm) {
	changed := false
	for _, m := range p.current {
		switch {
		case m.ejected.IsZero():
		case m.ejected.After(now):
			due.at(m.ejected)
		default:
			m.ejected, m.returned = time.Time{}, now
			m.failures = max(p.settings.Passive.Failures-1, 0)
			m.good, m.bad = [2]int{}, [2]int{}
			p.join(m, now)
			p.event(m, "endpoint is tried again", nil)
			changed = true
		}
	}
	if changed {
		p.arrange(now)
	}
}
