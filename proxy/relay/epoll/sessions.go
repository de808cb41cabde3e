//go:build linux && !portable

package epoll

import (
	"sync"
	"sync/atomic"

	"sluice/internal/clock"
	"sluice/internal/frame"
	"sluice/internal/loop"
	"sluice/proxy/relay/core"
)

// loopSessions is the sessions of one loop, and the loop's [loop.Handler] for them.
type loopSessions struct {
	*loop.Loop
	sink  core.Sink
	clock clock.Clock
	open  atomic.Int64 // sessions whose slots are reserved or taken

	partsMu       sync.Mutex // held to change parts; only the loop does
	parts         map[*core.Group]*core.Part
	slots         slots
	longNotes     map[int32]string // by number of the slot: notes that do not fit into it
	tls           loop.TLSStates
	sealed        []byte                 // records for a side, until the next ones
	ownFrame      [frame.MaxControl]byte // for a frame of the gateway's own
	sparePendings []*pending             // empty
	writing       [2]bool                // by Side: it is being written to, so that a panic leaves the stream to it anywhere
	drainWaiters  []chan struct{}        // closed when there is no session
	splicedBytes  uint64                 // that went through pipes
}

func newLoopSessions(sink core.Sink, c clock.Clock, pipes *loop.Pipes) *loopSessions {
	l := &loopSessions{Loop: loop.New(c, pipes), sink: sink, clock: c, parts: make(map[*core.Group]*core.Part)}
	l.slots.Kind = l.AddHandler(l)
	return l
}

// reserve reserves a slot for a session; see [loop.Loop.Reserve].
func (l *loopSessions) reserve() bool {
	if !l.Reserve() {
		return false
	}
	l.open.Add(1)
	return true
}

// unreserve takes back the reservation of a session that did not come.
func (l *loopSessions) unreserve() {
	l.open.Add(-1)
	l.Leave(1)
}

// Ready handles what epoll reports of a socket.
func (l *loopSessions) Ready(id loop.SlotID, side uint8, events uint32) {
	if h, ok := l.at(id); ok {
		defer l.guard(h)
		l.handleEvents(h, core.Side(side), events)
	}
}

// Due handles the timer of a session.
func (l *loopSessions) Due(id loop.SlotID) {
	if h, ok := l.at(id); ok {
		defer l.guard(h)
		l.tick(h)
	}
}

// BatchDone frees the slots of closed sessions. Handlers may use these slots until the batch
// ends.
func (l *loopSessions) BatchDone() {
	if n := l.slots.FreeRetired(); n > 0 {
		l.open.Add(-int64(n))
		l.Leave(n)
	}
	l.signalDrained()
}

// Stop aborts all sessions.
func (l *loopSessions) Stop() { l.each(l.abort) }

// each calls f with every session whose sockets are open, and that is not stopped.
func (l *loopSessions) each(f func(handle)) {
	l.slots.Each(func(p *slot, r *slotRefs) {
		if !p.stopped() {
			l.step(handleOf(p, r), f)
		}
	})
}

// start begins a session that was handed over.
func (l *loopSessions) start(o *handover) {
	p, r := l.slots.Alloc()
	core.New(&p.state, &r.refs, l.part(o.session.Group), o.session, l.Now())
	h := handleOf(p, r)
	h.owner = o.session.Owner
	l.setNote(h, o.session.Note)
	for side := range h.sockets {
		s, from := &h.sockets[side], &o.sides[side]
		s.fd, s.tlsCell = from.fd, noTLS
		if o.watched {
			s.state |= watched
		}
		if from.hasTLS {
			s.tlsCell = l.tls.Add(&from.state)
		}
	}
	defer l.guard(h) // not before the slot knows its sockets and which of them have TLS
	for side := range h.sockets {
		l.startSide(h, core.Side(side), &o.sides[side])
	}
	l.proceed(h)
}

// part returns the loop's part of a group.
func (l *loopSessions) part(g *core.Group) *core.Part {
	p := l.parts[g]
	if p == nil {
		p = &core.Part{Group: g}
		l.partsMu.Lock()
		l.parts[g] = p
		l.partsMu.Unlock()
	}
	return p
}

// addTotals adds what the sessions of the loop have done to totals, by group.
func (l *loopSessions) addTotals(totals map[*core.Group]core.Totals) {
	l.partsMu.Lock()
	defer l.partsMu.Unlock()
	for g, p := range l.parts {
		t := totals[g]
		t.Add(&p.Totals)
		totals[g] = t
	}
}

// proceed is advance, or abort on a loop that stops.
func (l *loopSessions) proceed(h handle) {
	if l.Stopping() {
		l.abort(h)
	} else {
		l.advance(h)
	}
}

// startSide passes on what a side sent before the loop had it.
func (l *loopSessions) startSide(h handle, from core.Side, d *detachedSide) {
	in := append(d.early, d.unread...)
	if d.hasTLS {
		l.consumeRecords(h, from, in, len(d.early))
	} else {
		l.consume(h, from, in, false)
	}
}

// signalDrained lets the callers of Drained go on if there is no session any more.
func (l *loopSessions) signalDrained() {
	if len(l.drainWaiters) == 0 || l.open.Load() > 0 {
		return
	}
	for _, c := range l.drainWaiters {
		close(c)
	}
	l.drainWaiters = nil
}

// view returns the state of a session at this moment.
func (l *loopSessions) view(h handle) core.View { return h.View(h.owner, l.note(h), l.clock) }
