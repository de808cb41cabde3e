package backend

import (
	"fmt"
	"net/netip"
	"time"
)

// outcome is how an endpoint has served.
type outcome uint8

const (
	served    outcome = iota
	unreached         // before a byte of the request was sent: no client can bring it about
	failed            // later: the request may be the reason
	outcomes
)

// record is what is known of a member by its work.
type record struct {
	unreached, failed int       // in a row, the former among the latter
	ejected           time.Time // until when; zero when it is not
	length            time.Duration
	returned          time.Time // from being ejected
	tallies           [2]tally  // of this window, and of the one before
	window            time.Time // when this one began
}

// tally is the outcomes of a window, and the clients of those that failed.
type tally struct {
	count   [outcomes]int
	clients clients
}

// clients are the first two different ones of many. An address that is not
// known is one too.
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

// several reports whether there was more than one client in two windows.
func several(now, before clients) bool {
	for _, a := range before.addresses[:before.n] {
		now.add(a)
	}
	return now.n > 1
}

// windows returns how many windows have begun since one began at start, two at
// most, and when the last of them did.
func windows(start, now time.Time, length time.Duration) (n int, began time.Time) {
	switch age := now.Sub(start); {
	case age >= 2*length:
		return 2, now
	case age >= length:
		return 1, start.Add(length)
	}
	return 0, start
}

// roll makes t the pair of this window and the one before, when n have begun.
func roll[T any](t *[2]T, n int) {
	for range n {
		var empty T
		t[0], t[1] = empty, t[0]
	}
}

// report takes in how m has served a client.
func (p *Pool) report(m *member, o outcome, from netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	var begun int
	begun, p.window = windows(p.window, now, p.settings.Passive.Window)
	roll(&p.seen, begun)
	p.seen[0].add(from)
	begun, m.window = windows(m.window, now, p.settings.Passive.Window)
	roll(&m.tallies, begun)
	m.tallies[0].count[o]++
	switch o {
	case served:
		m.unreached, m.failed = 0, 0
		return
	case unreached:
		m.unreached++
	case failed:
		m.tallies[0].clients.add(from)
	}
	m.failed++
	if m.generation != p.generation || !m.up() {
		return
	}
	if why := p.verdict(m); why != nil {
		p.eject(m, why, now)
	}
}

// verdict returns why m is to be ejected, nil if it is not. What only one
// client saw fail counts for nothing while there are others: it may be what the
// client asks for.
func (p *Pool) verdict(m *member) error {
	s := &p.settings.Passive
	believed := several(m.tallies[0].clients, m.tallies[1].clients) || !several(p.seen[0], p.seen[1])
	row := m.unreached
	bad := m.outcomes(unreached)
	all := bad + m.outcomes(served)
	if believed {
		row = m.failed
		bad += m.outcomes(failed)
		all += m.outcomes(failed)
	}
	switch {
	case s.Failures > 0 && row >= s.Failures:
		return fmt.Errorf("it failed %d times in a row", row)
	case s.Ratio > 0 && all >= MinWindow && float64(bad) >= s.Ratio*float64(all):
		return fmt.Errorf("it failed %d times of %d", bad, all)
	}
	return nil
}

// outcomes returns how many of a kind there were in this window and in the one
// before.
func (r *record) outcomes(o outcome) int { return r.tallies[0].count[o] + r.tallies[1].count[o] }

// eject gives m no work for a while: longer if it fails again as soon as it is
// back.
func (p *Pool) eject(m *member, why error, now time.Time) {
	if !p.settings.Passive.EjectLast && !p.spare(m) {
		return
	}
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

// spare reports whether the others can do without m: one of them is up, and
// fewer than a third of all, rounded up, are ejected.
func (p *Pool) spare(m *member) bool {
	up, ejected := 0, 0
	for _, o := range p.current {
		if o != m && o.up() {
			up++
		}
		if !o.ejected.IsZero() {
			ejected++
		}
	}
	return up > 0 && ejected < (len(p.current)+2)/3
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
			m.failed = max(p.settings.Passive.Failures-1, 0)
			m.unreached = m.failed
			m.tallies = [2]tally{}
			p.join(m, now)
			p.event(m, "endpoint is tried again", nil)
			changed = true
		}
	}
	if changed {
		p.arrange(now)
	}
}
