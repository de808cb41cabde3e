package relay

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/gobwas/ws"

	"sluice/internal/frame"
)

// core is the state of a session without its sockets: which bytes go on, who
// was told what, and when it is over. Its caller moves the bytes and makes sure
// that only one call runs at a time.
type core struct {
	ends       [2]end // by Side
	badGateway ws.StatusCode

	cause  Cause // 0 while the session is open
	by     Side
	code   ws.StatusCode
	reason string
	detail string
}

// end is one side of a session as the core sees it.
type end struct {
	dir    frame.Direction // of what comes from it
	heard  bool            // nothing more is awaited from it: its Close frame or its last byte has come
	told   bool            // nothing more goes to it: a Close frame did, or nothing can
	notice *notice         // a Close frame of the gateway's own, until it is written
	broken error           // a write to it failed
	cut    bool            // it can not know that the session is over, or did not answer in time
}

type notice struct {
	code   ws.StatusCode
	reason string
	due    bool // the stream to the side stands between frames, and is mute from there on
}

func newCore(s *Session) core {
	c := core{badGateway: s.BadGateway}
	if c.badGateway == 0 {
		c.badGateway = frame.StatusBadGateway
	}
	c.ends[Client].dir = frame.FromClient(s.Deflate)
	c.ends[Backend].dir = frame.FromBackend(s.Deflate)
	return c
}

// feed judges bytes that came from a side, behind those used before. out is
// what of them goes to the other side now; nothing of a frame may go to it
// until out is written. used 0 asks for more bytes behind the same ones.
func (c *core) feed(from Side, in []byte) (out []byte, used int) {
	x, y := &c.ends[from], &c.ends[from.other()]
	mute, counts := y.told, x.dir.Counts
	if y.notice != nil {
		// The frame under way goes first, and nothing behind it.
		if y.notice.due = y.notice.due || x.dir.Boundary(); y.notice.due {
			mute = true
		} else if left := x.dir.Left(); int64(len(in)) > left {
			in = in[:left]
		}
	}
	v := x.dir.Next(in)
	switch v.Do {
	case frame.End:
		x.heard = true
		c.violation(from, v.Violation)
		return nil, len(in)
	case frame.Close:
		code, reason := frame.ParseClose(in[:v.Take])
		c.first(Closed, from, code, reason, "")
		x.heard = true
		if !mute {
			y.told = true
		}
	}
	switch {
	case mute:
		x.dir.Counts = counts
	case v.Do != frame.Drop:
		out = in[:v.Take]
	}
	return out, v.Take
}

// ahead returns how many bytes of payload come next from a side that may go on
// without being fed, in bytes.
func (c *core) ahead(from Side) int64 {
	if y := &c.ends[from.other()]; y.told || y.notice != nil && y.notice.due {
		return 0
	}
	return c.ends[from].dir.Left()
}

// passed tells that n of those bytes went on.
func (c *core) passed(from Side, n int64) { c.ends[from].dir.Passed(n) }

// first notes why the session ends, unless that is known already.
func (c *core) first(cause Cause, by Side, code ws.StatusCode, reason, detail string) bool {
	if c.cause != 0 {
		return false
	}
	c.cause, c.by, c.code, c.reason, c.detail = cause, by, code, reason, detail
	return true
}

// tell puts a Close frame in line for a side.
func (c *core) tell(to Side, code ws.StatusCode, reason string) {
	if e := &c.ends[to]; !e.told && e.notice == nil {
		e.notice = &notice{code: code, reason: reason}
	}
}

func (c *core) violation(by Side, v frame.Violation) {
	c.first(Violation, by, ws.StatusProtocolError, "", fmt.Sprintf("the %s sent %s", by, v))
	c.tell(by, ws.StatusProtocolError, v.String())
	c.tell(by.other(), ws.StatusGoingAway, "")
}

// end ends the session for a cause of the gateway's own.
func (c *core) end(cause Cause) {
	c.first(cause, Gateway, cause.code(), cause.String(), "")
	c.tell(Client, cause.code(), cause.String())
	c.tell(Backend, ws.StatusGoingAway, "")
}

// lost tells that no more bytes come from a side: err is io.EOF when it ended
// its stream and may still be written to.
func (c *core) lost(side Side, err error) {
	x, y := &c.ends[side], &c.ends[side.other()]
	inside := !x.dir.Boundary() && !y.told
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
			c.tell(side.other(), code, "")
		} else {
			c.answer(side.other())
		}
	}
	x.heard = true
	if inside {
		// The other side's frame stays cut: no Close frame can follow it.
		y.heard, y.told, y.notice, y.cut = true, true, nil, true
		c.tell(side, ws.StatusGoingAway, "")
	}
	if !errors.Is(err, io.EOF) {
		x.told, x.notice = true, nil
	}
}

// answer tells a side in place of the other one, which can not any more: the
// code of its own Close frame, if it sent one.
func (c *core) answer(to Side) {
	code := ws.StatusGoingAway
	if c.cause == Closed && c.by == to && c.code != ws.StatusNoStatusRcvd {
		code = c.code
	}
	c.tell(to, code, "")
}

// unwritable tells that a side takes no more bytes. What it sent before, a Close
// frame perhaps, may still be there to read: feed and lost follow as ever.
func (c *core) unwritable(side Side, err error) {
	e := &c.ends[side]
	e.told, e.notice, e.broken = true, nil, err
}

// expire gives up waiting: who was not told yet is told now, if a Close frame
// fits, and nothing is awaited any more.
func (c *core) expire() {
	for side := range c.ends {
		if err := c.ends[side].broken; err != nil {
			c.lost(Side(side), fmt.Errorf("write: %w", err))
		}
	}
	for side := range c.ends {
		e := &c.ends[side]
		e.cut = e.cut || !e.heard
		e.heard = true
		c.answer(Side(side))
		if !e.told && !c.ends[Side(side).other()].dir.Boundary() {
			e.told, e.notice, e.cut = true, nil, true
		}
	}
}

// next returns the Close frame that has to go to a side now, or nil. It is to
// be asked when nothing that feed returned for the side is unwritten.
func (c *core) next(to Side) []byte {
	e := &c.ends[to]
	if e.notice == nil || !e.notice.due && !c.ends[to.other()].dir.Boundary() {
		return nil
	}
	n := e.notice
	e.notice, e.told = nil, true
	if to == Client {
		return frame.AppendClose(nil, n.code, n.reason, nil)
	}
	var mask [4]byte
	rand.Read(mask[:])
	return frame.AppendClose(nil, n.code, n.reason, &mask)
}

// closing reports whether the session is on its way out.
func (c *core) closing() bool {
	return c.cause != 0 || c.ends[Client].broken != nil || c.ends[Backend].broken != nil
}

// over reports whether both sides have said and heard all there is.
func (c *core) over() bool {
	a, b := &c.ends[Client], &c.ends[Backend]
	return a.heard && a.told && b.heard && b.told
}

// hangsUp reports whether the gateway, when all is over, ends its stream to a
// side before that side does. The server of a session closes first (RFC 6455,
// section 7.1.1): towards the client that is the gateway, and a backend does
// it unless it was cut.
func (c *core) hangsUp(side Side) bool { return side == Client || c.ends[side].cut }
