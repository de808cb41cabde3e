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

	record // of its work
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
	l.hangUp()
	if timed.Err() != nil && ShortageOf(err) == 0 {
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
	if ShortageOf(err) != 0 {
		p.event(m, "endpoint could not be asked", err)
	} else {
		p.judge(m, err, now)
	}
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
		m.failed, m.unreached = 0, 0
		p.join(m, now)
		p.event(m, "endpoint is up", nil)
	} else {
		p.event(m, "endpoint is down", err)
	}
	p.arrange(now)
}
