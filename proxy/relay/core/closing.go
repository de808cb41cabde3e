package core

import (
	"errors"
	"fmt"
	"io"

	"github.com/gobwas/ws"

	"sluice/internal/frame"
)

// End ends the session for a cause of the gateway's own, or because a side did not say or
// do in time what it had to. If the session is ending already it does nothing.
func (c Core) End(e Ending, by Side) {
	e = e.complete()
	if !c.setCause(e.Cause, by, e.Code, e.Reason, "") {
		return // the Close frames of the first cause are on their way
	}
	c.queueClose(Client, pendingClose{code: e.Code, explained: true})
	c.queueClose(Backend, pendingClose{code: ws.StatusGoingAway})
}

// errTorn is why a side takes no more bytes whose stream a panic may have left anywhere.
var errTorn = errors.New("internal error")

// Fail ends the session after a panic, which detail tells. Nothing more is expected from the
// sides, and the bytes that still come from them must not be passed to Feed. A side that is
// torn, which was being written to, gets nothing more; another one gets its Close frame if the
// stream to it is between frames. If the session was ending already, its Close frames stay
// those of the first cause.
func (c Core) Fail(detail string, torn [2]bool) {
	for i := range torn {
		if torn[i] {
			c.WriteFailed(Side(i), errTorn)
			c.sides[i].unreachable = true
		}
	}
	c.End(Ending{Cause: Internal}, Gateway)
	c.Expire()
	c.cause, c.by, c.ensureOutcome().detail = Internal, Gateway, detail
}

// Failed reports whether Fail was called.
func (c Core) Failed() bool { return c.cause == Internal }

// overLimit ends the session of a side that is over a limit.
func (c Core) overLimit(by Side, v frame.Violation) {
	cause := TooFast
	if v.Code() == ws.StatusMessageTooBig {
		cause = TooLarge
	}
	c.blame(by, cause, v)
}

// blame ends the session because of what a side sent. The other side gets its Close frame
// at once. A client that is to blame gets its Close frame after what the backend still
// sends: that can be answers to what the client sent before.
func (c Core) blame(by Side, cause Cause, v frame.Violation) {
	c.setCause(cause, by, v.Code(), v.String(), fmt.Sprintf("the %s sent %s", by, v))
	c.queueClose(by, pendingClose{code: v.Code(), violation: v, afterPeer: by == Client})
	c.queueClose(by.Other(), pendingClose{code: ws.StatusGoingAway})
}

// ReadEnded tells the session that no more bytes come from a side. Err is io.EOF if the
// side has ended its stream properly and can still be written to.
func (c Core) ReadEnded(side Side, err error) {
	x, y := &c.sides[side], &c.sides[side.Other()]
	inside := !c.atBoundary(side.Other()) && !y.writeDone
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
			c.queueClose(side.Other(), pendingClose{code: code})
		} else {
			c.answerClose(side.Other())
		}
	}
	x.readDone = true
	if inside {
		// The frame to the other side stays incomplete: no Close frame can follow it.
		y.readDone, y.writeDone, y.pendingClose, y.unreachable = true, true, pendingClose{}, true
		c.queueClose(side, pendingClose{code: ws.StatusGoingAway})
	}
	if !errors.Is(err, io.EOF) {
		x.writeDone, x.pendingClose = true, pendingClose{}
	}
}

// WriteFailed tells the session that a side takes no more bytes. What the side sent
// before, perhaps a Close frame, can still be read: Feed and ReadEnded are called as
// before.
func (c Core) WriteFailed(side Side, err error) {
	e := &c.sides[side]
	e.writeDone, e.pendingClose, e.pingDue, e.writeBroken = true, pendingClose{}, false, true
	c.ensureOutcome().writeErrs[side] = err
}

// WriteBroken reports whether WriteFailed was called for a side.
func (c Core) WriteBroken(side Side) bool { return c.sides[side].writeBroken }

// Closing reports whether the session is ending.
func (c Core) Closing() bool {
	return c.cause != 0 || c.sides[Client].writeBroken || c.sides[Backend].writeBroken
}

// Over reports whether nothing more is expected from or sent to either side.
func (c Core) Over() bool {
	a, b := &c.sides[Client], &c.sides[Backend]
	return a.readDone && a.writeDone && b.readDone && b.writeDone
}

// Finished reports whether Finish was called: the session is reported, and its sockets
// only linger.
func (c Core) Finished() bool { return c.finished }

// ClosesFirst reports whether the gateway, when the session is finished, ends its stream
// to a side before that side does. The server of a WebSocket connection closes first (RFC
// 6455, section 7.1.1): towards the client that is the gateway, and towards a backend the
// gateway does so only if the backend is unreachable.
func (c Core) ClosesFirst(side Side) bool { return side == Client || c.sides[side].unreachable }

// Expire stops waiting for the sides. A side gets its Close frame now if the stream to it
// is between frames, and nothing more is expected from either.
func (c Core) Expire() {
	for i := range c.sides {
		if c.sides[i].writeBroken {
			c.ReadEnded(Side(i), fmt.Errorf("write: %w", c.outcome.writeErrs[i]))
		}
	}
	for i := range c.sides {
		e := &c.sides[i]
		e.unreachable = e.unreachable || !e.readDone
		e.readDone = true
		c.answerClose(Side(i))
		if !e.writeDone && !c.atBoundary(Side(i)) {
			e.writeDone, e.pendingClose, e.unreachable = true, pendingClose{}, true
		}
	}
}

// setCause notes why the session ends, unless a cause is known already.
func (c Core) setCause(cause Cause, by Side, code ws.StatusCode, reason, detail string) bool {
	if c.cause != 0 {
		return false
	}
	c.cause, c.by, c.code = cause, by, code
	o := c.ensureOutcome()
	o.reason, o.detail = reason, detail
	return true
}

// ensureOutcome returns the outcome and allocates it if needed.
func (c Core) ensureOutcome() *outcome {
	if c.outcome == nil {
		c.outcome = new(outcome)
	}
	return c.outcome
}

// queueClose makes p the Close frame of the gateway for a side, unless the side has one or
// nothing goes to it any more.
func (c Core) queueClose(to Side, p pendingClose) {
	if e := &c.sides[to]; !e.writeDone && e.pendingClose.code == 0 {
		e.pendingClose, e.pingDue = p, false
	}
}

// closeReady reports whether a Close frame waits for a side and it is its turn.
func (c Core) closeReady(to Side) bool {
	p := &c.sides[to].pendingClose
	return p.code != 0 && (!p.afterPeer || c.sides[to.Other()].readDone)
}

// closeReason returns the reason that a Close frame of the gateway's own gives.
func (c Core) closeReason(p *pendingClose) string {
	switch {
	case p.violation != frame.None:
		return p.violation.String()
	case p.explained:
		return c.outcome.reason
	}
	return ""
}

// answerClose queues the Close frame that a side gets because the other side can send
// none: with the code of the side's own Close frame, if it sent one.
func (c Core) answerClose(to Side) {
	code := ws.StatusGoingAway
	if c.cause == Closed && c.by == to && c.code != ws.StatusNoStatusRcvd {
		code = c.code
	}
	c.queueClose(to, pendingClose{code: code})
}

// stopWaitingForPeer stops waiting for the rest of what a side sends, so that the Close frame
// that has to go after it to the other side can go out. It reports whether there was such a
// Close frame.
func (c Core) stopWaitingForPeer() bool {
	for i := range c.sides {
		if x := &c.sides[Side(i).Other()]; c.sides[i].pendingClose.afterPeer && !x.readDone {
			x.readDone, x.unreachable = true, true
			return true
		}
	}
	return false
}
