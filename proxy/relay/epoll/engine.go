//go:build linux && !portable

// Package epoll runs sessions between sockets on event loops: no goroutine, no buffer and
// no timer of the Go runtime belongs to a session. Where there is TLS, the loops protect
// its records themselves.
package epoll

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/clock"
	"sluice/internal/loop"
	"sluice/internal/spread"
	"sluice/proxy/relay/core"
)

// Engine is one loop for each CPU, with their sessions.
type Engine struct {
	loops     []*loopSessions
	pipes     *loop.Pipes
	takenOver atomic.Uint64 // TLS connections whose records the loops have taken over
	planned   atomic.Uint64 // ends of sessions that have a place in a span so far
}

// New returns an engine that tells sink of every session's end. It is idle until Run.
func New(sink core.Sink, c clock.Clock) *Engine { return newEngine(sink, c, loop.NewPipes(0)) }

func newEngine(sink core.Sink, c clock.Clock, pipes *loop.Pipes) *Engine {
	e := &Engine{pipes: pipes}
	for range runtime.GOMAXPROCS(0) {
		e.loops = append(e.loops, newLoopSessions(sink, c, pipes))
	}
	return e
}

// Loops returns the loops, for other kinds of connections. These must be added before the
// engine has its first session.
func (e *Engine) Loops() []*loop.Loop {
	var all []*loop.Loop
	for _, l := range e.loops {
		all = append(all, l.Loop)
	}
	return all
}

// Run runs the loops until ctx ends, aborts the sessions that are left, and returns when
// all of them are reported and their sockets closed.
func (e *Engine) Run(ctx context.Context) {
	defer e.pipes.Close()
	var all sync.WaitGroup
	defer all.Wait()
	for _, l := range e.loops {
		all.Go(func() { l.Run(ctx) })
	}
}

// Join takes a session over and returns at once. If the loops cannot have it, Join returns
// why: one of few sentences, for [core.Sink.Stayed]. The session can then run on another
// engine, and some of what its connections had read may be in Early. If the process ran out
// of descriptors, its backend's connection may be closed already.
func (e *Engine) Join(s *core.Session) (why string) {
	l := e.idlest()
	o := &handover{session: s}
	if why := o.prepare(l); why != "" {
		return why
	}
	for side := range o.sides {
		if o.sides[side].hasTLS {
			e.takenOver.Add(1)
		}
	}
	s.Group.SessionJoined()
	l.Enter(func() { l.start(o) })
	return ""
}

// idlest returns the loop with the fewest connections.
func (e *Engine) idlest() *loopSessions {
	return slices.MinFunc(e.loops, func(a, b *loopSessions) int { return cmp.Compare(a.Load(), b.Load()) })
}

// JoinOn takes a session over whose sockets are in the epoll set of a loop, which it is called
// on: number is its place among [Engine.Loops]. The session's sides have no connections.
func (e *Engine) JoinOn(number int, s *core.Session, client, backend core.Socket) {
	l := e.loops[number]
	l.Loop.Join()
	l.open.Add(1)
	s.Group.SessionJoined()
	o := &handover{session: s, watched: true}
	for side, from := range [...]core.Socket{core.Client: client, core.Backend: backend} {
		d := &o.sides[side]
		d.fd, d.early, d.unread = from.FD, from.Early, from.Unread
		if from.State != nil {
			d.hasTLS, d.state = true, *from.State
			from.State.Wipe()
			e.takenOver.Add(1)
		}
	}
	l.start(o)
}

// End ends the sessions that match, evenly over a time (see package spread), and returns the
// number of those that were not to end sooner. The loops call match and wait for it.
func (e *Engine) End(match func(core.View) bool, how core.Ending, over time.Duration) (n int) {
	e.scan(func(l *loopSessions, h handle) {
		if match(l.view(h)) {
			if e.endWithin(l, h, how, over) {
				n++
			}
		}
	}, func() bool { return true })
	return n
}

// endWithin ends a session at the next place in a time. It reports whether the session was not to
// end sooner.
func (e *Engine) endWithin(l *loopSessions, h handle, how core.Ending, over time.Duration) (ends bool) {
	if ends = true; over > 0 {
		ends = h.PlanEnd(how, l.Now()+int64(spread.Place(e.planned.Add(1), over)))
	} else {
		h.End(how, core.Gateway)
	}
	l.advance(h)
	return ends
}

// PlanEnd makes the session of an ID end at a time, unless it is to end sooner. It reports
// whether there is such a session. It looks at one session after the other. Only tests call
// it yet (docs/roadmap.md).
func (e *Engine) PlanEnd(id uint64, at time.Time, how core.Ending) (found bool) {
	e.scan(func(l *loopSessions, h handle) {
		if h.ID() == id {
			found = true
			h.PlanEnd(how, l.clock.Moment(at))
			l.advance(h)
		}
	}, func() bool { return !found })
	return found
}

// Tap makes t the tap of the session of an ID. It reports whether there is such a session, and
// whether it has got the tap: a session has one at most.
func (e *Engine) Tap(id uint64, t *core.Tap) (found, tapped bool) {
	e.scan(func(l *loopSessions, h handle) {
		if h.ID() == id {
			found, tapped = true, h.Core.Tap(t, l.clock)
		}
	}, func() bool { return !found })
	return found, tapped
}

// Untap takes a tap off the session of an ID, if it has that one.
func (e *Engine) Untap(id uint64, t *core.Tap) {
	found := false
	e.scanAll(func(_ *loopSessions, h handle) { // one that is stopped may go on here
		if h.ID() == id {
			found = true
			h.Untap(t)
		}
	}, func() bool { return !found })
}

// RulesChanged does what [core.Group.Set] says for the sessions of groups whose rules
// changed.
func (e *Engine) RulesChanged(groups map[*core.Group]bool) {
	e.scan(func(l *loopSessions, h handle) {
		if groups[h.Group()] {
			h.ResetRates()
			l.advance(h)
		}
	}, func() bool { return true })
}

// AddTotals adds what the sessions of each group have done to totals. It looks at no session.
func (e *Engine) AddTotals(totals map[*core.Group]core.Totals) {
	for _, l := range e.loops {
		l.Look(func() { l.addTotals(totals) })
	}
}

// Counters returns how many bytes of payload went through pipes, and how many TLS connections have
// their records on the loops so far.
func (e *Engine) Counters() (spliced, records uint64) {
	for _, l := range e.loops {
		l.Look(func() { spliced += l.splicedBytes })
	}
	return spliced, e.takenOver.Load()
}

// Merge moves the totals of groups that get no more sessions and have none to another group.
func (e *Engine) Merge(groups []*core.Group, into *core.Group) {
	for _, l := range e.loops {
		l.Call(func() {
			to := l.part(into)
			l.partsMu.Lock()
			defer l.partsMu.Unlock()
			for _, g := range groups {
				if p := l.parts[g]; p != nil {
					to.Totals.Add(&p.Totals)
					delete(l.parts, g)
				}
			}
		})
	}
}

// Memory returns how many bytes the engine holds that the Go runtime does not know of.
func (e *Engine) Memory() (n int64) {
	for _, l := range e.loops {
		n += l.slots.Mapped() + l.tls.Mapped()
	}
	return n
}

// Each calls yield with every session that is not finished, until yield returns false.
func (e *Engine) Each(yield func(core.View) bool) {
	var views []core.View
	e.scan(func(l *loopSessions, h handle) { views = append(views, l.view(h)) }, func() bool {
		for _, v := range views {
			if !yield(v) {
				return false
			}
		}
		views = views[:0]
		return true
	})
}

// scan makes the loops step every session that is neither finished nor stopped with f: see scanAll.
func (e *Engine) scan(f func(*loopSessions, handle), more func() bool) {
	e.scanAll(func(l *loopSessions, h handle) {
		if !h.stopped() {
			l.step(h, func(h handle) { f(l, h) })
		}
	}, more)
}

// scanAll makes the loops call f with every session that is not finished, a few hundred at a
// time so that the other sessions need not wait long. It calls more after each time, and
// stops when more returns false.
func (e *Engine) scanAll(f func(*loopSessions, handle), more func() bool) {
	for _, l := range e.loops {
		for i, left := 0, true; left; i++ {
			left = false
			l.Call(func() {
				if left = i < l.slots.Chunks(); left {
					l.slots.EachInChunk(i, func(p *slot, r *slotRefs) {
						if h := handleOf(p, r); !h.Finished() {
							f(l, h)
						}
					})
				}
			})
			if !more() {
				return
			}
		}
	}
}

// Drained waits until the sockets of all sessions are closed, or until ctx ends.
func (e *Engine) Drained(ctx context.Context) {
	for _, l := range e.loops {
		empty := make(chan struct{})
		if !l.Post(func() { l.drainWaiters = append(l.drainWaiters, empty); l.signalDrained() }) {
			continue
		}
		select {
		case <-empty:
		case <-ctx.Done():
		}
	}
}
