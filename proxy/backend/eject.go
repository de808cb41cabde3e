package backend

import (
	"fmt"
	"net/netip"
	"time"
)

// useResult is how one use of an endpoint went.
type useResult uint8

const (
	served     useResult = iota
	unreached            // it failed before a byte of the request was sent, which no client can cause
	failed               // it failed later, which the request itself may cause
	useResults           // number of results
)

// history is what the work of an endpoint says about it.
type history struct {
	unreached    int       // tries in a row that failed before a byte of the request was sent
	failed       int       // tries in a row that failed, those included
	ejectedUntil time.Time // zero while it is not ejected
	ejectTime    time.Duration
	readmitted   time.Time // when it was readmitted last
	tallies      [2]tally  // of this window of Passive, and of the one before
	tallyStart   time.Time // when this window began
}

// tally is the results of one window, and the clients of the failed ones.
type tally struct {
	count   [useResults]int
	clients clients
}

// count returns how often a result was seen in this window and the one before.
func (h *history) count(o useResult) int { return h.tallies[0].count[o] + h.tallies[1].count[o] }

// clients is the first two different clients of many. All unknown addresses are
// one client.
type clients struct {
	addresses [2]netip.Addr
	n         int
}

func (c *clients) add(a netip.Addr) {
	if c.n < len(c.addresses) && (c.n == 0 || c.addresses[0] != a) {
		c.addresses[c.n] = a
		c.n++
	}
}

// several reports whether two windows have more than one client together.
func several(now, before clients) bool {
	for _, a := range before.addresses[:before.n] {
		now.add(a)
	}
	return now.n > 1
}

// windowsSince returns how many windows have begun after the one that began at
// start, two at most, and when the last of them began.
func windowsSince(start, now time.Time, length time.Duration) (n int, began time.Time) {
	switch age := now.Sub(start); {
	case age >= 2*length:
		return 2, now
	case age >= length:
		return 1, start.Add(length)
	}
	return 0, start
}

// shift makes a pair of windows, this one and the one before, move on by n
// windows.
func shift[T any](pair *[2]T, n int) {
	for range n {
		var empty T
		pair[0], pair[1] = empty, pair[0]
	}
}

// report counts how e has served t, and ejects it if it fails too often.
func (p *Pool) report(e *endpoint, o useResult, t *Tried) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	var n int
	n, p.windowStart = windowsSince(p.windowStart, now, p.settings.Passive.Window)
	shift(&p.clients, n)
	p.clients[0].add(t.From)
	n, e.tallyStart = windowsSince(e.tallyStart, now, p.settings.Passive.Window)
	shift(&e.tallies, n)
	e.tallies[0].count[o]++
	switch o {
	case served:
		e.unreached, e.failed = 0, 0
		e.done.served++
		e.metrics.Load().Served()
		p.settings.Metrics.Served(now.Sub(t.leased))
		return
	case unreached:
		e.unreached++
		e.done.failed++
		e.metrics.Load().Unreached()
	case failed:
		e.tallies[0].clients.add(t.From)
		e.done.failed++
		e.metrics.Load().Failed()
	}
	e.failed++
	if e.generation != p.generation || !e.up() {
		return
	}
	if why := p.whyEject(e); why != nil {
		p.eject(e, why, now)
	}
}

// countFailed counts a failure that ejects nothing.
func (p *Pool) countFailed(e *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.done.failed++
	e.metrics.Load().Failed()
}

// whyEject returns why e must be ejected, or nil. While there are several
// clients, the failures of one client alone do not count: what it asks for may
// cause them.
func (p *Pool) whyEject(e *endpoint) error {
	s := &p.settings.Passive
	inRow := e.unreached
	bad := e.count(unreached)
	all := bad + e.count(served)
	if several(e.tallies[0].clients, e.tallies[1].clients) || !several(p.clients[0], p.clients[1]) {
		inRow = e.failed
		bad += e.count(failed)
		all += e.count(failed)
	}
	switch {
	case s.Failures > 0 && inRow >= s.Failures:
		return fmt.Errorf("it failed %d times in a row", inRow)
	case s.Ratio > 0 && all >= minOutcomes && float64(bad) >= s.Ratio*float64(all):
		return fmt.Errorf("it failed %d times of %d", bad, all)
	}
	return nil
}

// eject gives e no work for a while: twice as long as before if it fails again
// soon after it was readmitted.
func (p *Pool) eject(e *endpoint, why error, now time.Time) {
	if !p.settings.Passive.EjectLast && !p.mayEject(e) {
		return
	}
	if e.ejectTime > 0 && now.Sub(e.readmitted) <= e.ejectTime {
		e.ejectTime *= 2
	} else {
		e.ejectTime = p.settings.Passive.Eject
	}
	e.ejectTime = min(e.ejectTime, p.settings.Passive.MaxEject)
	e.ejectedUntil = now.Add(e.ejectTime)
	e.done.ejections++
	e.metrics.Load().Ejected()
	p.event(e, fmt.Sprintf("endpoint is ejected: it gets no work for %v", e.ejectTime), why)
	p.rebuildReady(now)
	p.wakeRun()
}

// mayEject reports whether the pool can do without e: another endpoint is up,
// and fewer than a third of all, rounded up, are ejected.
func (p *Pool) mayEject(e *endpoint) bool {
	up, ejected := 0, 0
	for _, o := range p.current {
		if o != e && o.up() {
			up++
		}
		if !o.ejectedUntil.IsZero() {
			ejected++
		}
	}
	return up > 0 && ejected < (len(p.current)+2)/3
}

// readmit gives work again to endpoints whose ejection is over. One more failure
// ejects them again.
func (p *Pool) readmit(now time.Time, due *nextDue) {
	changed := false
	for _, e := range p.current {
		switch {
		case e.ejectedUntil.IsZero():
		case e.ejectedUntil.After(now):
			due.at(e.ejectedUntil)
		default:
			e.ejectedUntil, e.readmitted = time.Time{}, now
			e.failed = max(p.settings.Passive.Failures-1, 0)
			e.unreached = e.failed
			e.tallies = [2]tally{}
			p.join(e, now)
			p.event(e, "endpoint is tried again", nil)
			changed = true
		}
	}
	if changed {
		p.rebuildReady(now)
	}
}
