//go:build linux && !portable

package epoll

import (
	"sluice/internal/codec"
	"sluice/internal/loop"
	"sluice/internal/record"
	"sluice/proxy/relay/core"
)

// A Carried is a session on its way to another engine, mostly one of another process, without its descriptors, group and owner. What a
// writer is shown belongs to a session that was stopped ([Engine.StopSome]). What a reader has set is the receiver's,
// who calls Wipe unless an engine adopts it. The zero Carried is ready for a reader.
type Carried struct {
	state core.State
	refs  core.Refs
	note  string
	rates core.Rates     // those that what is used of rates belongs to
	sides [2]carriedSide // by Side
}

// carriedSide is one side of a session that is carried.
type carriedSide struct {
	state   uint8         // of the socket: the bits of carriedStates
	tls     *record.State // nil without TLS
	pending pendingSide   // without a pipe
}

// carriedStates are the states of a socket that are not those of one engine.
const carriedStates = readEnded | hungUp | large

const (
	mostNote = 64 << 10 // bytes
	mostOut  = 4 << 20  // bytes that wait for one side of a session that is carried
)

// carried returns the session as it is carried. It points to what the loop has of it.
func (l *loopSessions) carried(h handle) *Carried {
	x := &Carried{state: h.state, refs: h.refs, note: l.note(h), rates: h.Group().Rates()}
	for side := range h.sockets {
		s, to := &h.sockets[side], &x.sides[side]
		to.state = s.state & carriedStates
		if s.tlsCell >= 0 {
			to.tls, _ = l.tls.At(s.tlsCell)
		}
		if h.pending != nil {
			to.pending = h.pending[side]
		}
	}
	return x
}

// ID returns the session's ID.
func (x *Carried) ID() uint64 { return core.Core{State: &x.state, Refs: &x.refs}.ID() }

// Planned returns the cause of the end that the session is to have at a time; 0 without one.
func (x *Carried) Planned() core.Cause {
	return core.Core{State: &x.state, Refs: &x.refs}.Planned()
}

// Note returns the session's note.
func (x *Carried) Note() string { return x.note }

// Carry writes the session down, or reads one. Secrets are in what is written.
func (x *Carried) Carry(c *codec.Coder) {
	core.Core{State: &x.state, Refs: &x.refs}.Carry(c)
	c.Text(&x.note, mostNote)
	for i := range x.rates {
		codec.Number(c, &x.rates[i])
	}
	for side := range x.sides {
		s := &x.sides[side]
		s.carry(c)
		c.Check(s.tls == nil || s.tls.IsClient() == (core.Side(side) == core.Backend), "TLS of the other end")
	}
}

func (s *carriedSide) carry(c *codec.Coder) {
	codec.Number(c, &s.state)
	c.Check(s.state&^carriedStates == 0, "a socket in a state that there is not")
	codec.Optional(c, &s.tls, func(c *codec.Coder, v *record.State) { v.Carry(c) })
	p := &s.pending
	c.Bytes(&p.partialRecord, loop.BufferSize)
	c.Bytes(&p.held, loop.BufferSize)
	c.Bytes(&p.out, mostOut)
	c.Check(len(p.partialRecord)+len(p.held) <= loop.BufferSize, "more that was read than a loop holds")
	c.Check(s.tls != nil || len(p.partialRecord) == 0, "a part of a TLS record without TLS")
	codec.Number(c, &p.recordSince)
	codec.Number(c, &p.blockedSince)
	c.Check(p.recordSince >= 0 && p.blockedSince >= 0, "a moment that is negative")
	core.CarryError(c, &p.readErr)
}

// Wipe drops the secrets of a session that was read, and what waits in it.
func (x *Carried) Wipe() {
	for side := range x.sides {
		s := &x.sides[side]
		if s.tls != nil {
			s.tls.Wipe()
		}
		clear(s.pending.held)
		clear(s.pending.out)
	}
}

// Adopt makes the session of x one of the engine's, with its descriptors, which are the engine's from now on. The clock of the
// engine must show the time of the one that it was written with.
func (e *Engine) Adopt(x *Carried, group *core.Group, owner any, client, backend int) (ok bool) {
	l := e.idlest()
	if !l.reserve() {
		return false
	}
	group.SessionJoined()
	l.Enter(func() { l.adopt(x, group, owner, [...]int32{core.Client: int32(client), core.Backend: int32(backend)}) })
	return true
}

// adopt begins a session that another engine has had.
func (l *loopSessions) adopt(x *Carried, group *core.Group, owner any, files [2]int32) {
	p, r := l.slots.Alloc()
	p.state, r.refs = x.state, x.refs
	h := handleOf(p, r)
	h.CountIn(l.part(group))
	if x.rates != group.Rates() {
		h.ResetRates()
	}
	h.owner = owner
	l.setNote(h, x.note)
	for side := range h.sockets {
		s, from := &h.sockets[side], &x.sides[side]
		s.fd, s.tlsCell, s.state = files[side], noTLS, from.state
		if from.tls != nil {
			s.tlsCell = l.tls.Add(from.tls)
		}
		if !from.pending.empty() {
			l.ensurePending(h)[side] = from.pending
		}
	}
	defer l.guard(h)
	l.proceed(h)
}
