//go:build !portable

package relay

import (
	"context"
	"sync"
	"time"

	"sluice/internal/clock"
	"sluice/internal/loop"
	"sluice/proxy/relay/epoll"
	"sluice/proxy/relay/portable"
)

// Engine runs sessions: those between sockets on event loops, and all others with two
// goroutines each: those with a connection that is a stream of another one, and TLS that
// the loops cannot take over.
type Engine struct {
	sink     Sink
	loops    *epoll.Engine
	portable *portable.Engine
}

// New returns the engine of this system, whose moments are those of a clock. It tells sink of every
// session's end, and is idle until Run.
func New(sink Sink, c clock.Clock) *Engine {
	return &Engine{sink: sink, loops: epoll.New(sink, c), portable: portable.New(sink, c)}
}

// Loops returns the event loops of the engine, for other kinds of connections. These must be
// added before the engine has its first session.
func (e *Engine) Loops() []*loop.Loop { return e.loops.Loops() }

// Run runs the engine until ctx ends. It then aborts the sessions that are left, and
// returns when all of them are reported and their connections closed.
func (e *Engine) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { e.loops.Run(ctx) })
	both.Go(func() { e.portable.Run(ctx) })
	both.Wait()
}

// Join takes a session over, with both connections, and returns at once. If the engine has
// stopped, the session is aborted: both sides get their Close frames, and the session is
// reported like any other.
func (e *Engine) Join(s Session) {
	captured := s.Capturing()
	why := e.loops.Join(&s)
	if why == "" {
		return
	}
	s.DropCapture()
	if captured {
		e.sink.Stayed(why)
	}
	e.portable.Join(s)
}

// JoinOn takes a session over whose sockets are in the epoll set of a loop, which it is called
// on: number is its place among [Engine.Loops]. The session's sides have no connections.
func (e *Engine) JoinOn(number int, s Session, client, backend Socket) {
	e.loops.JoinOn(number, &s, client, backend)
}

// Sessions that go on in another process: see package epoll.
type (
	Offer   = epoll.Offer
	Stopped = epoll.Stopped
	Carried = epoll.Carried
)

// StopSome stops sessions, to let them go on in another process: see [epoll.Engine.StopSome]. Only those on the loops
// can.
func (e *Engine) StopSome(add func(Offer) (taken, more bool)) *Stopped { return e.loops.StopSome(add) }

// OfferAgain makes StopSome offer all sessions again.
func (e *Engine) OfferAgain() { e.loops.OfferAgain() }

// Adopt makes a session that another engine has had one of this one: see [epoll.Engine.Adopt].
func (e *Engine) Adopt(x *Carried, group *Group, owner any, client, backend int) (ok bool) {
	return e.loops.Adopt(x, group, owner, client, backend)
}

// End ends the sessions that match, evenly over a time (see package spread), and returns the
// number of those that were not to end sooner. Match may be called by loops, and must not block.
func (e *Engine) End(match func(View) bool, how Ending, over time.Duration) int {
	return e.portable.End(match, how, over) + e.loops.End(match, how, over)
}

// PlanEnd makes the session of an ID end at a time, unless it is to end sooner. It reports
// whether there is such a session, and looks at one session after the other to find it. It
// is planned for credentials that expire (docs/roadmap.md): only tests call it yet.
func (e *Engine) PlanEnd(id uint64, at time.Time, how Ending) bool {
	return e.portable.PlanEnd(id, at, how) || e.loops.PlanEnd(id, at, how)
}

// Tap makes t the tap of the session of an ID. It reports whether there is such a session, and
// whether it has got the tap: a session has one at most.
func (e *Engine) Tap(id uint64, t *Tap) (found, tapped bool) {
	if found, tapped = e.portable.Tap(id, t); found {
		return found, tapped
	}
	return e.loops.Tap(id, t)
}

// Untap takes a tap off the session of an ID, if it has that one.
func (e *Engine) Untap(id uint64, t *Tap) {
	e.portable.Untap(id, t)
	e.loops.Untap(id, t)
}

// RulesChanged does what [Group.Set] says for the sessions of groups whose rules changed.
func (e *Engine) RulesChanged(groups map[*Group]bool) {
	e.portable.RulesChanged(groups)
	e.loops.RulesChanged(groups)
}

// AddTotals adds what the sessions of each group have done to totals. It looks at no session, and
// no total is less than it was.
func (e *Engine) AddTotals(totals map[*Group]Totals) {
	e.portable.AddTotals(totals)
	e.loops.AddTotals(totals)
}

// Counters returns how many bytes of payload went through pipes, and how many TLS connections have
// their records on the loops so far.
func (e *Engine) Counters() (spliced, records uint64) { return e.loops.Counters() }

// Merge moves the totals of groups that get no more sessions and have none to another group.
func (e *Engine) Merge(groups []*Group, into *Group) {
	e.portable.Merge(groups, into)
	e.loops.Merge(groups, into)
}

// Memory returns how many bytes the engine holds that the Go runtime does not know of.
func (e *Engine) Memory() int64 { return e.loops.Memory() }

// Each calls yield with every session that is not finished, until yield returns false.
func (e *Engine) Each(yield func(View) bool) {
	more := true
	count := func(v View) bool {
		more = yield(v)
		return more
	}
	if e.portable.Each(count); more {
		e.loops.Each(count)
	}
}

// Drained waits until the connections of all sessions are closed, or until ctx ends.
func (e *Engine) Drained(ctx context.Context) {
	e.portable.Drained(ctx)
	e.loops.Drained(ctx)
}
