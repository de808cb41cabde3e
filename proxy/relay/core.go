package relay

import (
	"errors"
	"fmt"
	"io"

	"github.com/gobwas/ws"

	"sluice/internal/frame"
)

// core is the state of a session without its sockets: which bytes go on, who
// was told what, what it waits for and until when, and when it is over. Its
// caller moves the bytes, has only one call run at a time, and calls tick when
// the moment of due has come.
//
// Moments are nanoseconds of the caller's clock, which does not go back; 0 is
// none.
type core struct {
	*state
	*stateRefs
}

// state is what a core keeps of an open session. It is plain: engines may keep
// it where the collector does not look.
type state struct {
	id           uint64
	opened       int64
	sides        [2]sideState // by Side
	deadline     int64        // of what is awaited: while the session is open its end for planned, then answers to Close frames, then that the peers close; 0 for never
	plannedCause Cause

	cause      Cause // 0 while the session is open
	by         Side
	code       ws.StatusCode
	badGateway ws.StatusCode
}

// sideState is one side of a session as the core sees it.
type sideState struct {
	dir          frame.Direction // of what comes from it
	silentSince  int64           // moment from which its silence counts: of the last bytes from it that said something, or of what excuses it
	peerPingAt   int64           // moment at which the last ping of the other side went to it
	pendingClose pendingClose    // a Close frame of the gateway's own, until it is written
	pingDue      bool            // a ping is to be written to it
	pingSent     bool            // one was, of the gateway's or of the other side's, and nothing has come since
	readDone     bool            // nothing more is awaited from it: its Close frame or its last byte has come
	writeDone    bool            // nothing more goes to it: a Close frame did, or nothing can
	writeBroken  bool            // a write to it failed
	unreachable  bool            // it can not know that the session is over, or did not answer in time
}

// pendingClose is a Close frame to be written, and what its reason is made of.
type pendingClose struct {
	code       ws.StatusCode // 0 means there is none
	cause      Cause
	violation  frame.Violation
	afterPeer  bool // it goes behind all that the other side still says
	atBoundary bool // the stream to the side stands between frames, and is mute from there on
}

func (n *pendingClose) reason() string {
	switch {
	case n.violation != frame.None:
		return n.violation.String()
	case n.cause != 0:
		return n.cause.String()
	}
	return ""
}

// stateRefs is what a core has to point to.
type stateRefs struct {
	group   *Group
	outcome *outcome // nil while the session is open
}

// outcome is what there is to say of a session's end.
type outcome struct {
	reason    string // of the peer's Close frame, or of the gateway's own
	detail    string // for the operator
	writeErrs [2]error
}

// open makes the core that of an open session.
func (c core) open(s *Session, now int64) {
	*c.state = state{id: s.ID, opened: now, badGateway: s.BadGateway}
	*c.stateRefs = stateRefs{group: s.Group}
	if c.badGateway == 0 {
		c.badGateway = frame.StatusBadGateway
	}
	c.sides[Client].dir = frame.FromClient(s.Deflate)
	c.sides[Backend].dir = frame.FromBackend(s.Deflate)
	for side := range c.sides {
		c.sides[side].silentSince, c.sides[side].dir.Last = now, now
	}
}

// feed judges bytes that came from a side, behind those used before. out is
// what of them goes to the other side now; nothing of a frame may go to it
// until out is written. used 0 asks for more bytes behind the same ones, or,
// where the moment of until has not come, for the same ones again then.
func (c core) feed(from Side, in []byte, now int64) (out []byte, used int) {
	x, y := &c.sides[from], &c.sides[from.other()]
	mute, counts := y.writeDone, x.dir.Counts
	if c.closeReady(from.other()) {
		// The frame under way goes first, and nothing behind it.
		if y.pendingClose.atBoundary = y.pendingClose.atBoundary || x.dir.Boundary(); y.pendingClose.atBoundary {
			mute = true
		} else if left := x.dir.Left(); int64(len(in)) > left {
			in = in[:left]
		}
	}
	v := x.dir.Next(in, c.limits(from), now)
	if v.Take > 0 { // the same bytes may come again
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
		if mute = mute || y.pendingClose.code != 0; !mute {
			y.writeDone = true
		}
	}
	switch {
	case mute:
		x.dir.Counts = counts
	case v.Do != frame.Drop:
		out = in[:v.Take]
		if x.dir.Asks != 0 {
			y.notePing(x.dir.Asks, now)
			x.dir.Asks = 0
		}
	}
	return out, v.Take
}

// resetRates is for a session whose group may have other rules now.
func (c core) resetRates() {
	for side := range c.sides {
		c.sides[side].dir.Forgive()
	}
}

// limits returns what a side is held to: nothing once the session is ending.
func (c core) limits(from Side) *frame.Limits {
	if c.cause != 0 {
		return nil
	}
	r := c.group.rules.Load()
	if r == nil {
		return nil
	}
	return r.limits[from]
}

// until returns the moment before which a side is not to be read or fed: it is
// over a rate.
func (c core) until(from Side) int64 {
	if c.limits(from) == nil {
		return 0
	}
	return c.sides[from].dir.Until()
}

// payloadAhead returns how many bytes of payload come next from a side that may go on
// without being fed.
func (c core) payloadAhead(from Side) int64 {
	if y := &c.sides[from.other()]; y.writeDone || y.pendingClose.atBoundary {
		return 0
	}
	return c.sides[from].dir.Left()
}

// payloadForwarded tells that n of those bytes went on.
func (c core) payloadForwarded(from Side, n, now int64) {
	x := &c.sides[from]
	x.noteRead(now)
	if x.dir.Passed(n, c.limits(from), now) {
		c.overLimit(from, frame.ByteRate)
	}
}

// setCause notes why the session ends, unless that is known already.
func (c core) setCause(cause Cause, by Side, code ws.StatusCode, reason, detail string) bool {
	if c.cause != 0 {
		return false
	}
	c.cause, c.by, c.code = cause, by, code
	w := c.ensureOutcome()
	w.reason, w.detail = reason, detail
	return true
}

// ensureOutcome returns the words, which are there from now on.
func (c core) ensureOutcome() *outcome {
	if c.outcome == nil {
		c.outcome = new(outcome)
	}
	return c.outcome
}

// queueClose puts a Close frame in line for a side.
func (c core) queueClose(to Side, n pendingClose) {
	if e := &c.sides[to]; !e.writeDone && e.pendingClose.code == 0 {
		e.pendingClose, e.pingDue = n, false
	}
}

// closeReady reports whether there is a Close frame whose turn it is to go to a side.
func (c core) closeReady(to Side) bool {
	n := &c.sides[to].pendingClose
	return n.code != 0 && (!n.afterPeer || c.sides[to.other()].readDone)
}

// overLimit ends the session of a side that is over a limit.
func (c core) overLimit(by Side, v frame.Violation) {
	cause := TooFast
	if v.Code() == ws.StatusMessageTooBig {
		cause = TooLarge
	}
	c.blame(by, cause, v)
}

// blame ends the session for what a side sent. The other one is told at once.
// A client is told behind what the backend still says: answers to what it sent
// before are among that.
func (c core) blame(by Side, cause Cause, v frame.Violation) {
	c.setCause(cause, by, v.Code(), v.String(), fmt.Sprintf("the %s sent %s", by, v))
	c.queueClose(by, pendingClose{code: v.Code(), violation: v, afterPeer: by == Client})
	c.queueClose(by.other(), pendingClose{code: ws.StatusGoingAway})
}

// end ends the session for a cause that lies with the gateway, or with a side
// that does not say or do what it should.
func (c core) end(cause Cause, by Side) {
	if !c.setCause(cause, by, cause.code(), cause.String(), "") {
		return // both are about to know
	}
	c.queueClose(Client, pendingClose{code: cause.code(), cause: cause})
	c.queueClose(Backend, pendingClose{code: ws.StatusGoingAway})
}

// readEnded tells that no more bytes come from a side: err is io.EOF when it ended
// its stream and may still be written to.
func (c core) readEnded(side Side, err error) {
	x, y := &c.sides[side], &c.sides[side.other()]
	inside := !c.atBoundary(side.other()) && !y.writeDone
	if !x.readDone {
		code := c.badGateway
		if side == Client {
			code = ws.StatusGoingAway
		}
		detail := "the " + side.String() + " closed the connection without a Close frame"
		switch {
		case !errors.Is(err, io.EOF):
			detail = fmt.Sprintf("the connection to the %s broke: %v", side, err)
		case inside:
			detail = "the " + side.String() + " closed the connection inside a frame"
		}
		if c.setCause(Lost, side, code, "", detail) {
			c.queueClose(side.other(), pendingClose{code: code})
		} else {
			c.closeForPeer(side.other())
		}
	}
	x.readDone = true
	if inside {
		// The other side's frame stays cut: no Close frame can follow it.
		y.readDone, y.writeDone, y.pendingClose, y.unreachable = true, true, pendingClose{}, true
		c.queueClose(side, pendingClose{code: ws.StatusGoingAway})
	}
	if !errors.Is(err, io.EOF) {
		x.writeDone, x.pendingClose = true, pendingClose{}
	}
}

// atBoundary reports whether the stream to a side stands between frames.
func (c core) atBoundary(to Side) bool {
	return c.sides[to].pendingClose.atBoundary || c.sides[to.other()].dir.Boundary()
}

// closeForPeer tells a side in place of the other one, which can not any more: the
// code of its own Close frame, if it sent one.
func (c core) closeForPeer(to Side) {
	code := ws.StatusGoingAway
	if c.cause == Closed && c.by == to && c.code != ws.StatusNoStatusRcvd {
		code = c.code
	}
	c.queueClose(to, pendingClose{code: code})
}

// writeFailed tells that a side takes no more bytes. What it sent before, a Close
// frame perhaps, may still be there to read: feed and lost follow as ever.
func (c core) writeFailed(side Side, err error) {
	e := &c.sides[side]
	e.writeDone, e.pendingClose, e.pingDue, e.writeBroken = true, pendingClose{}, false, true
	c.ensureOutcome().writeErrs[side] = err
}

// stopWaitingBehind ends the time in which a side may go on while a Close frame waits behind
// it for the other one. It reports whether there was such a frame.
func (c core) stopWaitingBehind() bool {
	for side := range c.sides {
		if x := &c.sides[Side(side).other()]; c.sides[side].pendingClose.afterPeer && !x.readDone {
			x.readDone, x.unreachable = true, true
			return true
		}
	}
	return false
}

// expire gives up waiting: who was not told yet is told now, if a Close frame
// fits, and nothing is awaited any more.
func (c core) expire() {
	for side := range c.sides {
		if c.sides[side].writeBroken {
			c.readEnded(Side(side), fmt.Errorf("write: %w", c.outcome.writeErrs[side]))
		}
	}
	for side := range c.sides {
		e := &c.sides[side]
		e.unreachable = e.unreachable || !e.readDone
		e.readDone = true
		c.closeForPeer(Side(side))
		if !e.writeDone && !c.atBoundary(Side(side)) {
			e.writeDone, e.pendingClose, e.unreachable = true, pendingClose{}, true
		}
	}
}

// closing reports whether the session is on its way out.
func (c core) closing() bool {
	return c.cause != 0 || c.sides[Client].writeBroken || c.sides[Backend].writeBroken
}

// over reports whether both sides have said and heard all there is.
func (c core) over() bool {
	a, b := &c.sides[Client], &c.sides[Backend]
	return a.readDone && a.writeDone && b.readDone && b.writeDone
}

// closesFirst reports whether the gateway, when all is over, ends its stream to a
// side before that side does. The server of a session closes first (RFC 6455,
// section 7.1.1): towards the client that is the gateway, and a backend does
// it unless it was cut.
func (c core) closesFirst(side Side) bool { return side == Client || c.sides[side].unreachable }
