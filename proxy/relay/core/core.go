// Package core is what a session does about verdicts and about time: which bytes go on,
// which frames the gateway sends itself, what it waits for and until when, and when the
// session is over. It does no I/O and keeps no clock: engines move the bytes, tell it
// what happened, and call it when a moment has come. What sessions are made of and what
// is reported of them is here too.
package core

import (
	"github.com/gobwas/ws"

	"sluice/internal/frame"
)

// A Core is one session without its sockets. It is a value of two pointers; copies are
// the same session. Its caller makes one call at a time, moves the bytes that Feed and
// AppendOwn return, and calls Tick when the moment of NextDue has come.
//
// The life of a session has these phases, in this order:
//
//   - open: bytes go on under the rules;
//   - closing ([Core.Closing]): a cause is known, or a side takes no more bytes; Close frames
//     go out and are waited for;
//   - over ([Core.Over]): nothing more is expected from or sent to either side;
//   - finished ([Core.Finished]): it is reported, and its sockets linger;
//   - closed: its sockets are closed. Only the engine knows this phase: epoll retires the
//     session's slot.
//
// Moments are nanoseconds of the caller's clock, which does not go back; 0 means none.
type Core struct {
	*State
	*Refs
}

// State is the part of a Core without pointers: engines may keep it outside the Go heap.
type State struct {
	id     uint64
	opened int64
	sides  [2]side // by Side

	// deadline is a moment that depends on the phase: while the session is open, that of
	// the planned end; while it is closing, the end of the wait for answers to Close
	// frames; when it is finished, the end of lingering. 0 means none.
	deadline int64
	planned  Cause // of the planned end; 0 means none is planned

	cause      Cause // 0 while the session is open
	by         Side
	finished   bool // all is said and reported
	code       ws.StatusCode
	badGateway ws.StatusCode
}

// Refs is the part of a Core with pointers.
type Refs struct {
	part    *Part
	outcome *outcome // nil until there is something to say of the end
}

// side is one side of a session.
type side struct {
	dir frame.Direction // of what comes from it

	// silentSince is the moment from which its silence counts: the last bytes from it, or
	// the last time when it could not send or be asked.
	silentSince int64

	peerPingAt   int64        // the last ping of the other side went to it then
	pendingClose pendingClose // a Close frame of the gateway's own that waits to be sent
	pingDue      bool         // a ping is to be sent to it
	pingSent     bool         // a ping was sent, of the gateway or of the other side, and nothing has come since
	readDone     bool         // nothing more is expected from it: its Close frame or its last byte has come
	writeDone    bool         // nothing more goes to it: a Close frame did, or nothing can
	writeBroken  bool         // a write to it failed
	unreachable  bool         // it cannot learn that the session is over, or did not answer in time
}

// pendingClose is a Close frame of the gateway's own that waits for its turn.
type pendingClose struct {
	code       ws.StatusCode   // 0 means there is none
	violation  frame.Violation // what the reason says; None means it does not name one
	explained  bool            // the reason is the outcome's
	afterPeer  bool            // it goes after all that the other side still sends
	atBoundary bool            // the stream to the side is between frames, and nothing goes there before the Close frame
}

// outcome is the close reason and log detail of a session, and what few sessions have. It is
// allocated once, when the session is ending, an end with a code of its own is planned, or it is
// tapped.
type outcome struct {
	tap       *Tap
	reason    string // of the peer's Close frame, or of the gateway's own
	detail    string // for the operator
	writeErrs [2]error
	planned   *Ending // what the end at the deadline says, where that is not the cause's default
}

// New makes state and refs those of an open session, which counts in part, and returns its
// Core.
func New(state *State, refs *Refs, part *Part, s *Session, now int64) Core {
	*state = State{id: s.ID, opened: now, badGateway: s.BadGateway}
	*refs = Refs{part: part}
	part.begin()
	c := Core{state, refs}
	if c.badGateway == 0 {
		c.badGateway = frame.StatusBadGateway
	}
	c.sides[Client].dir = frame.FromClient(s.Deflate)
	c.sides[Backend].dir = frame.FromBackend(s.Deflate)
	for i := range c.sides {
		c.sides[i].silentSince, c.sides[i].dir.Last = now, now
	}
	return c
}

// ID returns the session's ID.
func (c Core) ID() uint64 { return c.id }

// Planned returns the cause of the end that is planned; 0 while none is.
func (c Core) Planned() Cause { return c.planned }

// Group returns the session's group.
func (c Core) Group() *Group { return c.part.Group }

// Feed applies the rules to in, the next bytes of a side. It returns the bytes to forward,
// which begin in, and how many bytes it consumed. Nothing else may be sent to the other
// side until they are written.
//
// If it consumed 0 bytes, out is empty, and the caller keeps in. If [Core.Delayed] reports
// so, it calls again with the same bytes at the moment of [Core.Until], and whenever the
// rules have changed. Otherwise it calls again when more bytes have come after them.
func (c Core) Feed(from Side, in []byte, now int64) (out []byte, used int) {
	dir, t := &c.sides[from].dir, c.tap()
	before, begun := dir.Counts, framesBegun(dir)
	out, used = c.feed(from, in, now)
	c.part.count(from, &before, &dir.Counts)
	if t != nil && len(out) > 0 {
		t.forwarded(from, out, framesBegun(dir)-begun, dir.Left(), now)
	}
	return out, used
}

// framesBegun returns how many frames of a direction have begun, control frames too.
func framesBegun(d *frame.Direction) uint64 {
	n := d.Frames + d.Controls
	if !d.Boundary() {
		n++
	}
	return n
}

// feed is Feed without the totals.
func (c Core) feed(from Side, in []byte, now int64) (out []byte, used int) {
	x, y := &c.sides[from], &c.sides[from.Other()]
	discard, counts := y.writeDone, x.dir.Counts
	if c.closeReady(from.Other()) {
		// The frame under way goes first, and nothing after it.
		if y.pendingClose.atBoundary = y.pendingClose.atBoundary || x.dir.Boundary(); y.pendingClose.atBoundary {
			discard = true
		} else if left := x.dir.Left(); int64(len(in)) > left {
			in = in[:left]
		}
	}
	waited := x.dir.Until() > now
	v := x.dir.Next(in, c.limits(from), now)
	c.noteWait(from, waited, now)
	if v.Take > 0 { // else the same bytes may come again
		x.noteRead(now)
	}
	switch v.Do {
	case frame.Excess:
		c.overLimit(from, v.Violation)
		return c.feed(from, in, now) // without limits now
	case frame.End:
		x.readDone = true
		c.blame(from, Violation, v.Violation)
		return nil, len(in)
	case frame.Close:
		code, reason := frame.ParseClose(in[:v.Take])
		c.setCause(Closed, from, code, reason, "")
		x.readDone = true
		if discard = discard || y.pendingClose.code != 0; !discard {
			y.writeDone = true
		}
	}
	switch {
	case discard:
		x.dir.Counts = counts
	case v.Do != frame.Drop:
		out = in[:v.Take]
		if x.dir.ForwardedPing != 0 {
			y.notePing(x.dir.ForwardedPing, now)
			x.dir.ForwardedPing = 0
		}
	}
	return out, v.Take
}

// noteWait counts a wait of a side for a rate that begins now: it did not wait before.
func (c Core) noteWait(from Side, waited bool, now int64) {
	if dir := &c.sides[from].dir; !waited && dir.Until() > now {
		c.part.wait(from, dir.UntilFor())
	}
}

// ResetRates forgets what the sides have used of their rates.
func (c Core) ResetRates() {
	for i := range c.sides {
		c.sides[i].dir.ResetRates()
	}
}

// limits returns the limits of a side. There are none once the session is ending.
func (c Core) limits(from Side) *frame.Limits {
	if c.cause != 0 {
		return nil
	}
	r := c.part.rules.Load()
	if r == nil {
		return nil
	}
	return r.limits[from]
}

// Until returns the moment before which a side must not be read or fed, because it is
// over a rate. It may be in the past.
func (c Core) Until(from Side) int64 {
	if c.limits(from) == nil {
		return 0
	}
	return c.sides[from].dir.Until()
}

// Delayed reports whether the last Feed of a side, if it consumed 0 bytes, was told to
// hold them for a rate. Until alone does not tell: the rules that it asks may have changed
// since.
func (c Core) Delayed(from Side, now int64) bool { return c.sides[from].dir.Until() > now }

// ReadSize returns how many bytes of a side may be read at once: at most most. A
// direction holds as many at most while its reader does not take them.
func (c Core) ReadSize(from Side, most int) int {
	r := c.part.rules.Load()
	if r == nil || r.Buffer == 0 {
		return most
	}
	return min(most, r.Buffer)
}

// MoveSize returns how many bytes of a side's payload may be moved at once without being read: at
// most most. Where a rate of bytes limits the side, it is no more than [Core.ReadSize] of read: the
// rate is asked after each move.
func (c Core) MoveSize(from Side, most, read int) int {
	if l := c.limits(from); l != nil && !l.ByteRate.Unlimited() {
		return c.ReadSize(from, min(most, read))
	}
	return most
}

// Frames returns how many data frames of a side have ended, and how many have begun.
func (c Core) Frames(from Side) (ended, begun uint64) {
	d := &c.sides[from].dir
	ended, begun = d.Frames, d.Frames
	if !d.Boundary() {
		begun++
	}
	return ended, begun
}

// PayloadAhead returns how many of the next bytes of a side are payload that may go to the
// other side without Feed. While a tap awaits payload of the side, there are none.
func (c Core) PayloadAhead(from Side) int64 {
	if y := &c.sides[from.Other()]; y.writeDone || y.pendingClose.atBoundary {
		return 0
	}
	if t := c.tap(); t != nil && t.sides[from].awaited > 0 {
		return 0
	}
	return c.sides[from].dir.Left()
}

// PayloadForwarded tells the session that n bytes of PayloadAhead were read and go on.
func (c Core) PayloadForwarded(from Side, n, now int64) {
	x := &c.sides[from]
	x.noteRead(now)
	if t := c.tap(); t != nil {
		t.payloadForwarded(from, n)
	}
	before := x.dir.Counts
	waited := x.dir.Until() > now
	over := x.dir.Passed(n, c.limits(from), now)
	c.noteWait(from, waited, now)
	c.part.count(from, &before, &x.dir.Counts)
	if over {
		c.overLimit(from, frame.ByteRate)
	}
}

// atBoundary reports whether the stream to a side is between frames.
func (c Core) atBoundary(to Side) bool {
	return c.sides[to].pendingClose.atBoundary || c.sides[to.Other()].dir.Boundary()
}
