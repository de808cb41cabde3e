package core

import (
	"errors"
	"io"

	"sluice/internal/codec"
	"sluice/internal/frame"
)

// Movable reports whether [Core.Carry] may write the session down: it is not finished, and no step of it has
// panicked.
func (c Core) Movable() bool { return !c.finished && !c.Failed() }

// Forget marks the session as finished, as [Core.Finish] does, but it is not reported: another process has it.
func (c Core) Forget() {
	c.finished = true
	c.part.open.Add(-1)
	c.endTap()
}

// CountIn makes the session that Carry has read count in part, as one that has begun elsewhere.
func (c Core) CountIn(part *Part) { c.part = part }

// Carry writes a session down, or reads one into what is zero. Its moments are those of the same clock. Its group and its tap are not part
// of it: see [Core.CountIn].
func (c Core) Carry(x *codec.Coder) {
	codec.Number(x, &c.id)
	codec.Number(x, &c.opened)
	codec.Number(x, &c.deadline)
	x.Check(c.opened >= 0 && c.deadline >= 0, "a moment that is negative")
	for _, cause := range [...]*Cause{&c.planned, &c.cause} {
		codec.Number(x, cause)
		x.Check(*cause <= Expired && *cause != Internal, "a cause that no session has")
	}
	codec.Number(x, &c.by)
	x.Check(c.by <= Gateway, "a side that no session has")
	codec.Number(x, &c.code)
	codec.Number(x, &c.badGateway)
	if x.Reading() {
		c.sides[Client].dir, c.sides[Backend].dir = frame.FromClient(false), frame.FromBackend(false)
	}
	for i := range c.sides {
		c.sides[i].carry(x)
	}
	said := c.outcome != nil
	x.Bool(&said)
	if said {
		c.ensureOutcome().carry(x)
	}
	for i := range c.sides {
		e := &c.sides[i]
		x.Check(said || !e.pendingClose.explained && !e.writeBroken, "an end that nothing is said of")
		x.Check(!e.writeBroken || said && c.outcome.writeErrs[i] != nil, "a write that failed for nothing")
	}
	x.Check((c.planned == 0 || c.deadline != 0) && (c.deadline == 0 || c.planned != 0 || c.Closing()), "an end that is planned for no time, or for no cause")
}

func (s *side) carry(x *codec.Coder) {
	s.dir.Carry(x)
	codec.Number(x, &s.silentSince)
	codec.Number(x, &s.peerPingAt)
	x.Check(s.silentSince >= 0 && s.peerPingAt >= 0, "a moment that is negative")
	p := &s.pendingClose
	codec.Number(x, &p.code)
	codec.Number(x, &p.violation)
	x.Check(p.violation <= frame.ByteRate, "a violation that there is not")
	for _, b := range [...]*bool{
		&p.explained, &p.afterPeer, &p.atBoundary,
		&s.pingDue, &s.pingSent, &s.readDone, &s.writeDone, &s.writeBroken, &s.unreachable,
	} {
		x.Bool(b)
	}
}

// mostSaid is how long a text about an end may be, in bytes.
const mostSaid = 64 << 10

func (o *outcome) carry(x *codec.Coder) {
	x.Text(&o.reason, mostSaid)
	x.Text(&o.detail, mostSaid)
	for i := range o.writeErrs {
		CarryError(x, &o.writeErrs[i])
	}
	planned := o.planned != nil
	if x.Bool(&planned); !planned {
		return
	}
	if o.planned == nil {
		o.planned = new(Ending)
	}
	codec.Number(x, &o.planned.Cause)
	x.Check(o.planned.Cause > 0 && o.planned.Cause <= Expired && o.planned.Cause != Internal, "a planned end for no cause")
	codec.Number(x, &o.planned.Code)
	x.Text(&o.planned.Reason, mostSaid)
}

// CarryError writes an error of a connection down, or reads one: nil, [io.EOF], or what it says.
func CarryError(x *codec.Coder, err *error) {
	const none, eof, other = 0, 1, 2
	kind, text := none, ""
	switch {
	case x.Reading() || *err == nil:
	case errors.Is(*err, io.EOF):
		kind = eof
	default:
		kind, text = other, (*err).Error()
	}
	codec.Number(x, &kind)
	x.Check(kind >= none && kind <= other, "a kind of error that there is not")
	if kind == other {
		x.Text(&text, mostSaid)
	}
	if x.Reading() && x.Err() == nil {
		*err = [...]error{none: nil, eof: io.EOF, other: errors.New(text)}[kind]
	}
}
