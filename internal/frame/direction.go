package frame

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// An Action says what to do with the bytes a [Verdict] covers.
type Action uint8

const (
	// Wait: keep all of in, at most [MaxControl] bytes. Call Next again when more bytes have
	// come after them.
	Wait Action = iota
	// Hold: keep all of in, and call Next again at the moment [Direction.Until].
	Hold
	// Forward: the bytes go on to the other side as they are.
	Forward
	// Close: the bytes are one whole, valid Close frame. They go on to the other side as
	// the last ones; [ParseClose] reads them.
	Close
	// Drop: the bytes go nowhere. They came after a Close frame or a violation, or are the
	// answer to a ping of the gateway's own.
	Drop
	// Excess: the first frame of in is over a limit or, for the byte rate, the frames of in
	// that could go on now are over it together. Nothing has changed; Next goes on if
	// it is called without limits.
	Excess
	// End: the first frame of in breaks the protocol and must not go on.
	End
)

// A Verdict says what to do with the first bytes of in.
type Verdict struct {
	Do        Action
	Take      int       // how many bytes of in that are; 0 with Wait, Hold, Excess and End
	Violation Violation // of End; the limit of Excess
}

// Counts counts what went on in one direction.
type Counts struct {
	Messages uint64 // data messages, complete ones
	Frames   uint64 // data frames, complete ones
	Controls uint64 // ping, pong and close frames
	Bytes    uint64 // payload of data frames
}

// AddDifference adds to c what was counted from before to after.
func (c *Counts) AddDifference(before, after *Counts) {
	c.Messages += after.Messages - before.Messages
	c.Frames += after.Frames - before.Frames
	c.Controls += after.Controls - before.Controls
	c.Bytes += after.Bytes - before.Bytes
}

// Add adds o to c.
func (c *Counts) Add(o *Counts) {
	c.Messages += o.Messages
	c.Frames += o.Frames
	c.Controls += o.Controls
	c.Bytes += o.Bytes
}

// A Direction is one direction of a session. It walks the frames of a stream in place,
// however the stream is cut into pieces, and says which bytes may go on. It holds no pointers
// and may be copied. The zero value walks the frames of a server.
//
// Moments are nanoseconds of the caller's clock, which does not go back.
type Direction struct {
	Counts
	Last          int64  // moment of the last bytes of a data frame
	Ping          uint64 // payload of the gateway's own pings, whose pongs are dropped; 0 means it sends none
	ForwardedPing uint32 // mark of the last ping that went on; the caller sets it to 0
	OwedPong      uint32 // mark of a ping that the sender has to answer, set by the caller; 0 once it has

	left           int64     // bytes of the current data frame's payload that are still to come
	size           int64     // bytes of payload of the current message's frames, the current one included
	messagesFullAt int64     // the moment at which the bucket Limits.MessageRate is full again
	bytesFullAt    int64     // the moment at which the bucket Limits.ByteRate is full again
	until          int64     // nothing goes on before this moment
	untilFor       Violation // the rate that until is for
	masked         bool      // frames come from the client (RFC 6455, section 5.1)
	deflate        bool      // permessage-deflate was negotiated (RFC 7692)
	fin            bool      // the current data frame is its message's last
	inside         bool      // a data frame is under way
	fragmented     bool      // a message is under way, between or inside its frames
	over           bool      // a Close frame or a violation was seen
}

// FromClient returns the direction from a client to a backend.
func FromClient(deflate bool) Direction { return Direction{masked: true, deflate: deflate} }

// FromBackend returns the direction from a backend to a client.
func FromBackend(deflate bool) Direction { return Direction{deflate: deflate} }

// Boundary reports whether a control frame may be put into the stream after the bytes that
// went on so far.
func (d *Direction) Boundary() bool { return !d.inside }

// Left returns how many bytes of the current frame's payload are still to come; 0 between
// frames. They may go on without Next; then Passed has to be called.
func (d *Direction) Left() int64 { return d.left }

// Until returns the moment before which nothing more may be read, because the sender is over a
// rate.
func (d *Direction) Until() int64 { return d.until }

// UntilFor returns the rate that the moment of Until is for: MessageRate or ByteRate.
func (d *Direction) UntilFor() Violation { return d.untilFor }

// waitUntil sets the moment for a rate, unless it is set to a later one.
func (d *Direction) waitUntil(when int64, rate Violation) {
	if when > d.until {
		d.until, d.untilFor = when, rate
	}
}

// ResetRates forgets what the sender has used of its rates, because they have changed.
func (d *Direction) ResetRates() { d.messagesFullAt, d.bytesFullAt, d.until = 0, 0, 0 }

// Next returns the verdict about the bytes at the start of in, which follow those that earlier
// verdicts covered. It covers as many frames as it can at once. L may be nil: no limits.
func (d *Direction) Next(in []byte, l *Limits, now int64) Verdict {
	if d.over {
		return Verdict{Do: Drop, Take: len(in)}
	}
	d.until = 0
	if l == nil || l.ByteRate.Unlimited() {
		return d.walk(in, l, now)
	}
	before := *d
	v := d.walk(in, l, now)
	switch {
	case !l.EndOverRate: // until is set also when Take is 0: the side may still be over its rate
		d.waitUntil(l.ByteRate.Spend(&d.bytesFullAt, int64(v.Take), now), ByteRate)
	case v.Take == 0:
	case l.ByteRate.Take(&d.bytesFullAt, int64(v.Take), now) != 0:
		*d = before
		return Verdict{Do: Excess, Violation: ByteRate}
	}
	return v
}

// walk is Next without the rate of bytes.
func (d *Direction) walk(in []byte, l *Limits, now int64) Verdict {
	pos := 0
	for {
		if d.inside {
			n := min(d.left, int64(len(in)-pos))
			d.countPayload(n, now)
			pos += int(n)
			if d.inside {
				return forward(pos)
			}
		}
		if !d.fragmented {
			if pos += d.walkMessages(in[pos:], l, now); pos == len(in) {
				return forward(pos)
			}
		}
		h, broken := d.parse(in[pos:])
		// Of a valid control frame only: the length of a data frame may be near 2^63.
		size, whole := 0, false
		if broken == None && h.size > 0 && h.op.IsControl() {
			size = h.size + int(h.length)
			whole = len(in)-pos >= size
			if whole && h.op == ws.OpClose {
				broken = checkClose(in[pos+h.size:pos+size], h.mask)
			}
		}
		switch {
		case broken != None:
			if pos > 0 { // the valid bytes before go first
				return forward(pos)
			}
			d.over = true
			return Verdict{Do: End, Violation: broken}
		case h.size == 0:
			return forward(pos)
		case !h.op.IsControl():
			if l != nil {
				if do, limit := d.admit(&h, l, now); do != Forward {
					if pos > 0 {
						return forward(pos)
					}
					return Verdict{Do: do, Violation: limit}
				}
			}
			pos += h.size
			d.beginFrame(&h, now)
			continue
		case !whole:
			return forward(pos)
		}
		if h.op == ws.OpClose || d.Ping != 0 && d.answers(&h, in[pos+h.size:pos+size]) {
			if pos > 0 {
				return forward(pos)
			}
			if h.op != ws.OpClose {
				return Verdict{Do: Drop, Take: size}
			}
			d.Controls++
			d.over = true
			return Verdict{Do: Close, Take: size}
		}
		d.noteControl(&h, in[pos+h.size:pos+size])
		d.Controls++
		pos += size
	}
}

// walkMessages walks what most streams consist of: whole messages of one frame with less than
// 64 KiB, one after the other. It stops in front of everything else, and of what is over a
// limit, and returns how many bytes it has covered.
func (d *Direction) walkMessages(in []byte, l *Limits, now int64) (pos int) {
	mask, key := byte(0), 0
	if d.masked {
		mask, key = bitMask, 4
	}
	extra := byte(0) // more bits that may be set
	if d.deflate {
		extra = bitRsv1
	}
	messages, payload := uint64(0), uint64(0)
	for len(in)-pos >= 4 {
		b := in[pos : pos+4]
		first := b[0] &^ extra
		if first != bitFin|byte(ws.OpText) && first != bitFin|byte(ws.OpBinary) || b[1]&bitMask != mask {
			break
		}
		size, n := 2+key, int(b[1]&maskLen)
		switch n {
		case 126:
			if size, n = size+2, int(b[2])<<8|int(b[3]); n < 126 {
				n = len(in) // too large for the check below: the loop stops here, and parse refuses it
			}
		case 127:
			n = len(in) // too large for the check below: the loop stops here, and parse decides
		}
		if len(in)-pos < size+n || l != nil && !d.admitWhole(l, int64(n), now) {
			break
		}
		pos += size + n
		messages++
		payload += uint64(n)
	}
	if messages > 0 {
		d.Messages += messages
		d.Frames += messages
		d.Bytes += payload
		d.Last = now
	}
	return pos
}

// forward returns the verdict that n bytes go on.
func forward(n int) Verdict {
	if n == 0 {
		return Verdict{Do: Wait}
	}
	return Verdict{Do: Forward, Take: n}
}

// answers reports whether a control frame is the pong to a ping of the gateway's own.
func (d *Direction) answers(h *header, body []byte) bool {
	if h.op != ws.OpPong || len(body) != 8 {
		return false
	}
	plain := [8]byte(body)
	ws.Cipher(plain[:], h.mask, 0)
	return binary.BigEndian.Uint64(plain[:]) == d.Ping
}

// noteControl notes a ping or a pong that goes on.
func (d *Direction) noteControl(h *header, body []byte) {
	switch m := pingMark(body, h.mask); {
	case h.op == ws.OpPing:
		d.ForwardedPing = m
	case m == d.OwedPong:
		d.OwedPong = 0
	}
}

// pingMark returns a hash of the payload that a ping and its pong have in common (RFC 6455,
// section 5.5.3): FNV-1a, and never 0.
func pingMark(body []byte, mask [4]byte) uint32 {
	h := uint32(2166136261)
	for i, b := range body {
		h = (h ^ uint32(b^mask[i%4])) * 16777619
	}
	return max(h, 1)
}

// beginFrame notes the header of a data frame.
func (d *Direction) beginFrame(h *header, now int64) {
	d.size = d.total(h)
	d.inside, d.fragmented, d.fin, d.left = true, true, h.fin, h.length
	d.countPayload(0, now) // a frame without payload ends here
}

// Passed tells the direction that n bytes of the current frame's payload went on without Next;
// n is at most Left. It reports whether the sender is over a rate and has to be ended for it.
func (d *Direction) Passed(n int64, l *Limits, now int64) (excess bool) {
	d.countPayload(n, now)
	switch {
	case l == nil:
	case l.EndOverRate:
		return l.ByteRate.Take(&d.bytesFullAt, n, now) != 0
	default:
		d.until = 0
		d.waitUntil(l.ByteRate.Spend(&d.bytesFullAt, n, now), ByteRate)
	}
	return false
}

// countPayload counts n bytes of the current frame's payload, and the frame when it ends.
func (d *Direction) countPayload(n, now int64) {
	d.left -= n
	d.Bytes += uint64(n)
	d.Last = now
	if d.left > 0 || !d.inside {
		return
	}
	d.inside = false
	d.Frames++
	if d.fin {
		d.fragmented = false
		d.Messages++
	}
}
