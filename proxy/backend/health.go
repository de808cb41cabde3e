package backend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"sluice/internal/limit"
)

// health is what probes say about an endpoint.
type health struct {
	healthy   bool
	wasUp     bool      // by a probe
	probed    time.Time // for the first time
	probing   bool      // a probe is under way
	nextProbe time.Time
	streak    int    // probes in a row that contradict healthy
	detail    string // error of the last probe; "" if that was good
}

// reset makes an endpoint healthy that is not probed any more.
func (h *health) reset() {
	*h = health{healthy: true, probing: h.probing}
}

// soonestProbe is the shortest time between two probes of an endpoint that was never up, unless the
// interval is shorter.
const soonestProbe = 250 * time.Millisecond

// wait returns the time until the next probe. An endpoint that was never up may be about to start, as
// the gateway itself: it is asked again after a quarter of the time that it is known.
func (h *health) wait(interval time.Duration, now time.Time) time.Duration {
	if !h.wasUp {
		interval = min(interval, max(soonestProbe, now.Sub(h.probed)/4))
	}
	return interval*9/10 + rand.N(interval/5+1)
}

// probes returns the probes that are due.
func (p *Pool) probes(now time.Time, due *nextDue) (jobs []job) {
	c := p.settings.Check
	if c.Probe == nil {
		return nil
	}
	for _, e := range p.current {
		if e.probing {
			continue
		}
		if e.nextProbe.After(now) {
			due.at(e.nextProbe)
			continue
		}
		e.probing = true
		l := p.newLease(e, Need{}, &Tried{})
		jobs = append(jobs, func(ctx context.Context) { p.probe(ctx, e, l, c) })
	}
	return jobs
}

// probe probes an endpoint once.
func (p *Pool) probe(ctx context.Context, e *endpoint, l *Lease, c Check) {
	timed, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no answer within %v", c.Timeout))
	defer cancel()
	err := c.Probe(timed, l)
	l.uncountDialed()
	if timed.Err() != nil && limit.ShortageOf(err) == 0 {
		err = context.Cause(timed)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e.probing = false
	if ctx.Err() != nil || p.settings.Check.Probe == nil {
		return // the result no longer matters, and may come from that
	}
	now := time.Now()
	if limit.ShortageOf(err) != 0 {
		p.event(e, "endpoint could not be asked", err)
	} else {
		p.applyProbe(e, err, now)
		e.wasUp = e.wasUp || e.healthy
	}
	e.nextProbe = now.Add(e.wait(c.Interval, now))
	p.wakeRun()
}

// applyProbe applies the result of a probe. The lock is held.
func (p *Pool) applyProbe(e *endpoint, err error, now time.Time) {
	first := e.probed.IsZero()
	if first {
		e.probed = now
	}
	e.detail = ""
	if err != nil {
		e.detail = err.Error()
	}
	if (err == nil) == e.healthy {
		e.streak = 0
		return
	}
	e.streak++
	enough := p.settings.Check.Fall
	if !e.healthy {
		enough = p.settings.Check.Rise
	}
	if e.streak < enough && !first {
		return
	}
	e.streak = 0
	e.healthy = err == nil
	if e.healthy {
		e.failed, e.unreached = 0, 0
		p.join(e, now)
		p.event(e, "endpoint is up", nil)
	} else {
		p.event(e, "endpoint is down", err)
	}
	p.rebuildReady(now)
}
