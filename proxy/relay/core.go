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
	*flow
	*tie
}

// flow is what a core keeps of an open session. It is plain: engines may keep
// it where the collector does not look.
type flow struct {
	id       uint64
	opened   int64
	ends     [2]end // by Side
	deadline int64  // of what is awaited: while the session is open its end for planned, then answers to Close frames, then that the peers close; 0 for never
	planned  Cause

	cause      Cause // 0 while the session is open
	by         Side
	code       ws.StatusCode
	badGateway ws.StatusCode
}

// end is one side of a session as the core sees it.
type end struct {
	dir    frame.Direction // of what comes from it
	seen   int64           // moment from which its silence counts: of the last bytes from it that said something, or of what excuses it
	pinged int64           // moment at which the last ping of the other side went to it
	notice notice          // a Close frame of the gateway's own, until it is written
	ping   bool            // a ping is to be written to it
	asked  bool            // one was, of the gateway's or of the other side's, and nothing has come since
	heard  bool            // nothing more is awaited from it: its Close frame or its last byte has come
	told   bool            // nothing more goes to it: a Close frame did, or nothing can
	broken bool            // a write to it failed
	cut    bool            // it can not know that the session is over, or did not answer in time
}

// notice is a Close frame to be written, and what its reason is made of.
type notice struct {
	code  ws.StatusCode // 0 means there is none
	cause Cause
	broke frame.Violation
	last  bool // it goes behind all that the other side still says
	due   bool // the stream to the side stands between frames, and is mute from there on
}

func (n *notice) reason() string {
	switch {
	case n.broke != frame.None:
		return n.broke.String()
	case n.cause != 0:
		return n.cause.String()
	}
	return ""
}

// tie is what a core has to point to.
type tie struct {
	group *Group
	words *words // nil while the session is open
}

// words is what there is to say of a session's end.
type words struct {
	reason string // of the peer's Close frame, or of the gateway's own
	detail string // for the operator
	broken [2]error
}

// begin makes the core that of an open session.
func (c core) begin(s *Session, now int64) {
	*c.flow = flow{id: s.ID, opened: now, badGateway: s.BadGateway}
	*c.tie = tie{group: s.Group}
	if c.badGateway == 0 {
		c.badGateway = frame.StatusBadGateway
	}
	c.ends[Client].dir = frame.FromClient(s.Deflate)
	c.ends[Backend].dir = frame.FromBackend(s.Deflate)
	for side := range c.ends {
		c.ends[side].seen, c.ends[side].dir.Last = now, now
	}
}

// feed judges bytes that came from a side, behind those used before. out is
// what of them goes to the other side now; nothing of a frame may go to it
// until out is written. used 0 asks for more bytes behind the same ones, or,
// where the moment of until has not come, for the same ones again then.
func (c core) feed(from Side, in []byte, now int64) (out []byte, used int) {
	x, y := &c.ends[from], &c.ends[from.other()]
	mute, counts := y.told, x.dir.Counts
	if c.ready(from.other()) {
		// The frame under way goes first, and nothing behind it.
		if y.notice.due = y.notice.due || x.dir.Boundary(); y.notice.due {
			mute = true
		} else if left := x.dir.Left(); int64(len(in)) > left {
			in = in[:left]
		}
	}
	v := x.dir.Next(in, c.limits(from), now)
	if v.Take > 0 { // the same bytes may come again
		x.speaks(now)
	}
	switch v.Do {
	case frame.Excess:
		c.excess(from, v.Violation)
		return c.feed(from, in, now) // without limits now
	case frame.End:
		x.heard = true
		c.offend(from, Violation, v.Violation)
		return nil, len(in)
	case frame.Close:
		code, reason := frame.ParseClose(in[:v.Take])
		c.first(Closed, from, code, reason, "")
		x.heard = true
		if mute = mute || y.notice.code != 0; !mute {
			y.told = true
		}
	}
	switch {
	case mute:
		x.dir.Counts = counts
	case v.Do != frame.Drop:
		out = in[:v.Take]
		if x.dir.Asks != 0 {
			y.hears(x.dir.Asks, now)
			x.dir.Asks = 0
		}
	}
	return out, v.Take
}

// review is for a session whose group may have other rules now.
func (c core) review() {
	for side := range c.ends {
		c.ends[side].dir.Forgive()
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
	return c.ends[from].dir.Until()
}

// ahead returns how many bytes of payload come next from a side that may go on
// without being fed.
func (c core) ahead(from Side) int64 {
	if y := &c.ends[from.other()]; y.told || y.notice.due {
		return 0
	}
	return c.ends[from].dir.Left()
}

// passed tells that n of those bytes went on.
func (c core) passed(from Side, n, now int64) {
	x := &c.ends[from]
	x.speaks(now)
	if x.dir.Passed(n, c.limits(from), now) {
		c.excess(from, frame.ByteRate)
	}
}

// first notes why the session ends, unless that is known already.
func (c core) first(cause Cause, by Side, code ws.StatusCode, reason, detail string) bool {
	if c.cause != 0 {
		return false
	}
	c.cause, c.by, c.code = cause, by, code
	w := c.wordy()
	w.reason, w.detail = reason, detail
	return true
}

// wordy returns the words, which are there from now on.
func (c core) wordy() *words {
	if c.words == nil {
		c.words = new(words)
	}
	return c.words
}

// tell puts a Close frame in line for a side.
func (c core) tell(to Side, n notice) {
	if e := &c.ends[to]; !e.told && e.notice.code == 0 {
		e.notice, e.ping = n, false
	}
}

// ready reports whether there is a Close frame whose turn it is to go to a side.
func (c core) ready(to Side) bool {
	n := &c.ends[to].notice
	return n.code != 0 && (!n.last || c.ends[to.other()].heard)
}

// excess ends the session of a side that is over a limit.
func (c core) excess(by Side, v frame.Violation) {
	cause := TooFast
	if v.Code() == ws.StatusMessageTooBig {
		cause = TooLarge
	}
	c.offend(by, cause, v)
}

// offend ends the session for what a side sent. The other one is told at once.
// A client is told behind what the backend still says: answers to what it sent
// before are among that.
func (c core) offend(by Side, cause Cause, v frame.Violation) {
	c.first(cause, by, v.Code(), v.String(), fmt.Sprintf("the %s sent %s", by, v))
	c.tell(by, notice{code: v.Code(), broke: v, last: by == Client})
	c.tell(by.other(), notice{code: ws.StatusGoingAway})
}

// end ends the session for a cause that lies with the gateway, or with a side
// that does not say or do what it should.
func (c core) end(cause Cause, by Side) {
	if !c.first(cause, by, cause.code(), cause.String(), "") {
		return // both are about to know
	}
	c.tell(Client, notice{code: cause.code(), cause: cause})
	c.tell(Backend, notice{code: ws.StatusGoingAway})
}

// lost tells that no more bytes come from a side: err is io.EOF when it ended
// its stream and may still be written to.
func (c core) lost(side Side, err error) {
	x, y := &c.ends[side], &c.ends[side.other()]
	inside := !c.between(side.other()) && !y.told
	if !x.heard {
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
		if c.first(Lost, side, code, "", detail) {
			c.tell(side.other(), notice{code: code})
		} else {
			c.answer(side.other())
		}
	}
	x.heard = true
	if inside {
		// The other side's frame stays cut: no Close frame can follow it.
		y.heard, y.told, y.notice, y.cut = true, true, notice{}, true
		c.tell(side, notice{code: ws.StatusGoingAway})
	}
	if !errors.Is(err, io.EOF) {
		x.told, x.notice = true, notice{}
	}
}

// between reports whether the stream to a side stands between frames.
func (c core) between(to Side) bool {
	return c.ends[to].notice.due || c.ends[to.other()].dir.Boundary()
}

// answer tells a side in place of the other one, which can not any more: the
// code of its own Close frame, if it sent one.
func (c core) answer(to Side) {
	code := ws.StatusGoingAway
	if c.cause == Closed && c.by == to && c.code != ws.StatusNoStatusRcvd {
		code = c.code
	}
	c.tell(to, notice{code: code})
}

// unwritable tells that a side takes no more bytes. What it sent before, a Close
// frame perhaps, may still be there to read: feed and lost follow as ever.
func (c core) unwritable(side Side, err error) {
	e := &c.ends[side]
	e.told, e.notice, e.ping, e.broken = true, notice{}, false, true
	c.wordy().broken[side] = err
}

// hush ends the time in which a side may go on while a Close frame waits behind
// it for the other one. It reports whether there was such a frame.
func (c core) hush() bool {
	for side := range c.ends {
		if x := &c.ends[Side(side).other()]; c.ends[side].notice.last && !x.heard {
			x.heard, x.cut = true, true
			return true
		}
	}
	return false
}

// expire gives up waiting: who was not told yet is told now, if a Close frame
// fits, and nothing is awaited any more.
func (c core) expire() {
	for side := range c.ends {
		if c.ends[side].broken {
			c.lost(Side(side), fmt.Errorf("write: %w", c.words.broken[side]))
		}
	}
	for side := range c.ends {
		e := &c.ends[side]
		e.cut = e.cut || !e.heard
		e.heard = true
		c.answer(Side(side))
		if !e.told && !c.between(Side(side)) {
			e.told, e.notice, e.cut = true, notice{}, true
		}
	}
}

// closing reports whether the session is on its way out.
func (c core) closing() bool {
	return c.cause != 0 || c.ends[Client].broken || c.ends[Backend].broken
}

// over reports whether both sides have said and heard all there is.
func (c core) over() bool {
	a, b := &c.ends[Client], &c.ends[Backend]
	return a.heard && a.told && b.heard && b.told
}

// hangsUp reports whether the gateway, when all is over, ends its stream to a
// side before that side does. The server of a session closes first (RFC 6455,
// section 7.1.1): towards the client that is the gateway, and a backend does
// it unless it was cut.
func (c core) hangsUp(side Side) bool { return side == Client || c.ends[side].cut }
