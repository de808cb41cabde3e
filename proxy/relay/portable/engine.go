// Package portable runs sessions with two goroutines each. It serves every system and
// every kind of connection: sockets, TLS that stays with crypto/tls, and streams of other
// connections.
package portable

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/clock"
	"sluice/proxy/relay/core"
)

// Engine runs sessions. While a direction is silent it holds a buffer of 512 bytes, and one
// of 64 KiB after a read that filled that to the last byte.
type Engine struct {
	sink    core.Sink
	clock   clock.Clock
	buffers sync.Pool
	planned atomic.Uint64 // ends of sessions that have a place in a span so far

	totalsMu sync.Mutex
	totals   map[*core.Group]*groupTotals

	mu       sync.Mutex
	sessions map[*session]bool // those with open connections; true until reported
	empty    chan struct{}     // closed when the last session is removed; nil while it is not waited for
	stopped  bool
}

// New returns an engine that tells sink of every session's end.
func New(sink core.Sink, c clock.Clock) *Engine {
	return &Engine{
		sink:     sink,
		clock:    c,
		buffers:  sync.Pool{New: func() any { b := make([]byte, busyBuffer); return &b }},
		sessions: make(map[*session]bool),
		totals:   make(map[*core.Group]*groupTotals),
	}
}

// Run waits for ctx to end, aborts the sessions that are left, and returns when all of
// them are reported and their connections closed.
func (e *Engine) Run(ctx context.Context) {
	<-ctx.Done()
	e.mu.Lock()
	e.stopped = true
	for s := range e.sessions {
		s.abort()
	}
	e.mu.Unlock()
	<-e.whenEmpty()
}

// Join takes a session over and returns at once. If the engine has stopped, the session is
// aborted: both sides get their Close frames, and the session is reported like any other.
func (e *Engine) Join(o core.Session) {
	if o.Capturing() {
		e.sink.Stayed("sluice has no event loops on this system")
		o.DropCapture()
	}
	s := &session{
		owner: o.Owner, note: o.Note, conns: [2]net.Conn{o.Client.Conn, o.Backend.Conn},
		engine: e, concluded: make(chan struct{}),
	}
	s.changed.L = &s.mu
	s.part.Group, s.totals = o.Group, e.totalsOf(o.Group)
	s.Core = core.New(&s.state, &s.refs, &s.part, &o, e.clock.Now())
	s.count()
	o.Group.SessionJoined()
	e.mu.Lock()
	e.sessions[s] = true
	if e.stopped {
		s.abort()
	}
	e.mu.Unlock()
	go s.run(o.Client.Early, o.Backend.Early)
}

// report tells the sink that a session ended.
func (e *Engine) report(s *session) {
	defer s.guard()
	e.mu.Lock()
	e.sessions[s] = false
	e.mu.Unlock()
	e.sink.Ended(s.finish())
}

// remove forgets a session whose connections are closed.
func (e *Engine) remove(s *session) {
	defer s.guard()
	defer e.forget(s)
	e.sink.Closed(s.owner)
}

// forget takes a session off the list of those with open connections.
func (e *Engine) forget(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, s)
	if len(e.sessions) == 0 && e.empty != nil {
		close(e.empty)
		e.empty = nil
	}
}

// whenEmpty returns a channel that is closed as soon as no session has open connections.
func (e *Engine) whenEmpty() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	empty := e.empty
	if empty == nil {
		empty = make(chan struct{})
		if len(e.sessions) == 0 {
			close(empty)
		} else {
			e.empty = empty
		}
	}
	return empty
}

// Drained waits until the connections of all sessions are closed, or until ctx ends.
func (e *Engine) Drained(ctx context.Context) {
	select {
	case <-e.whenEmpty():
	case <-ctx.Done():
	}
}

// End ends the sessions that match, evenly over a time (see package spread), and returns the
// number of those that were not to end sooner.
func (e *Engine) End(match func(core.View) bool, how core.Ending, over time.Duration) (n int) {
	for _, s := range e.unfinished() {
		if match(s.currentView()) && s.endWithin(how, over) {
			n++
		}
	}
	return n
}

// PlanEnd makes the session of an ID end at a time, unless it is to end sooner. It reports
// whether there is such a session. It looks at one session after the other. Only tests call
// it yet (docs/roadmap.md).
func (e *Engine) PlanEnd(id uint64, at time.Time, how core.Ending) (found bool) {
	for _, s := range e.unfinished() {
		if s.ID() == id {
			s.endAt(how, e.clock.Moment(at))
			return true
		}
	}
	return false
}

// Tap makes t the tap of the session of an ID. It reports whether there is such a session, and
// whether it has got the tap: a session has one at most.
func (e *Engine) Tap(id uint64, t *core.Tap) (found, tapped bool) {
	for _, s := range e.unfinished() {
		if s.ID() == id {
			s.mu.Lock()
			defer s.mu.Unlock()
			return true, s.Core.Tap(t, e.clock)
		}
	}
	return false, false
}

// Untap takes a tap off the session of an ID, if it has that one.
func (e *Engine) Untap(id uint64, t *core.Tap) {
	for _, s := range e.unfinished() {
		if s.ID() == id {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.Core.Untap(t)
			return
		}
	}
}

// RulesChanged does what [core.Group.Set] says for the sessions of groups whose rules
// changed.
func (e *Engine) RulesChanged(groups map[*core.Group]bool) {
	for _, s := range e.unfinished() {
		if groups[s.Group()] {
			s.rulesChanged()
		}
	}
}

// groupTotals is what the sessions of a group have done.
type groupTotals struct {
	mu sync.Mutex
	core.Totals
}

// add adds what a session has done.
func (t *groupTotals) add(o *core.Totals) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Totals.Add(o)
}

func (t *groupTotals) read() core.Totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Totals
}

// totalsOf returns the totals of a group.
func (e *Engine) totalsOf(g *core.Group) *groupTotals {
	e.totalsMu.Lock()
	defer e.totalsMu.Unlock()
	t := e.totals[g]
	if t == nil {
		t = new(groupTotals)
		e.totals[g] = t
	}
	return t
}

// AddTotals adds what the sessions of each group have done to totals. It looks at no session.
func (e *Engine) AddTotals(totals map[*core.Group]core.Totals) {
	e.totalsMu.Lock()
	defer e.totalsMu.Unlock()
	for g, of := range e.totals {
		t, more := totals[g], of.read()
		t.Add(&more)
		totals[g] = t
	}
}

// Counters returns how many bytes of payload went through pipes, and how many TLS connections have
// their records on loops: none.
func (e *Engine) Counters() (spliced, records uint64) { return 0, 0 }

// Merge moves the totals of groups that get no more sessions and have none to another group.
func (e *Engine) Merge(groups []*core.Group, into *core.Group) {
	to := e.totalsOf(into)
	for _, g := range groups {
		e.totalsMu.Lock()
		from := e.totals[g]
		delete(e.totals, g)
		e.totalsMu.Unlock()
		if from != nil {
			moved := from.read()
			to.add(&moved)
		}
	}
}

// Memory returns how many bytes the engine holds that the Go runtime does not know of.
func (e *Engine) Memory() int64 { return 0 }

// Each calls yield with every session that is not finished, until yield returns false.
func (e *Engine) Each(yield func(core.View) bool) {
	for _, s := range e.unfinished() {
		if !yield(s.currentView()) {
			return
		}
	}
}

// unfinished returns the sessions that are not reported yet.
func (e *Engine) unfinished() []*session {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*session, 0, len(e.sessions))
	for s, open := range e.sessions {
		if open {
			all = append(all, s)
		}
	}
	return all
}
