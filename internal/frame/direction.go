package frame

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// An Action says what to do with the bytes a [Verdict] covers.
type Action uint8

const (
	// Wait: keep all of in; with more bytes behind them Next can go on. They
	// are never more than [MaxControl].
	Wait Action = iota
	// Hold: keep all of in until the moment [Direction.Until].
	Hold
	// Forward: the bytes go on to the other side as they are.
	Forward
	// Close: the bytes are one whole, valid Close frame. They go on to the
	// other side and are the last to do so; [ParseClose] reads them.
	Close
	// Drop: the bytes came behind a Close frame or a violation, or are the
	// answer to a ping of the gateway's own.
	Drop
	// Excess: what in begins with is over a limit. Nothing has changed; Next
	// goes on if it is called without limits.
	Excess
	// End: what in begins with breaks the protocol and must not go on.
	End
)

// A Verdict is what is to be done with the first bytes of a stream.
type Verdict struct {
	Do        Action
	Take      int       // number of bytes of in that this covers; 0 with Wait, Hold, Excess and End
	Violation Violation // with End, and with Excess the limit
}

// Counts is what went on in one direction.
type Counts struct {
	Messages uint64 // data messages, complete ones
	Frames   uint64 // data frames, complete ones
	Controls uint64 // ping, pong and close frames
	Bytes    uint64 // payload of data frames
}

// Add adds o to c.
func (c *Counts) Add(o *Counts) {
	c.Messages += o.Messages
	c.Frames += o.Frames
	c.Controls += o.Controls
	c.Bytes += o.Bytes
}

// A Direction is one direction of a session: it walks the frames of a stream
// in place, however the stream was cut, and says which bytes may go on. It is
// flat and copyable. The zero value walks the frames of a server.
//
// Moments are nanoseconds of the caller's clock, which does not go back.
type Direction struct {
	Counts
	Last int64  // moment of the last bytes of a data frame
	Ping uint64 // payload of the pings of the gateway's own, whose pongs go no further; 0 when it sends none
	Asks uint32 // mark of the last ping that went on; the caller sets it to 0
	Owes uint32 // mark of a ping that the sender has to answer; 0 once it has, the caller sets it

	left       int64 // payload of the current data frame that is still to pass
	size       int64 // payload of the current message's frames, the current one included
	messages   int64 // bucket of Limits.Messages
	bytes      int64 // bucket of Limits.Bytes
	until      int64 // nothing goes on before this moment
	masked     bool  // frames come from the client (RFC 6455, section 5.1)
	deflate    bool  // permessage-deflate was negotiated (RFC 7692)
	fin        bool  // the current data frame is its message's last
	inside     bool  // a data frame is under way
	fragmented bool  // a message is under way, between or inside its frames
	over       bool  // a Close frame or a violation was seen
}

// FromClient returns the direction from a client to a backend.
func FromClient(deflate bool) Direction { return Direction{masked: true, deflate: deflate} }

// FromBackend returns the direction from a backend to a client.
func FromBackend(deflate bool) Direction { return Direction{deflate: deflate} }

// Boundary reports whether a control frame may be put into the stream behind
// the bytes that went on so far.
func (d *Direction) Boundary() bool { return !d.inside }

// Left returns how much payload of the current frame is still to come, in
// bytes; 0 between frames. It may pass without being seen by Next, and is
// reported with Passed.
func (d *Direction) Left() int64 { return d.left }

// Until returns the moment before which nothing more is to be read: the
// sender is over a rate.
func (d *Direction) Until() int64 { return d.until }

// Forgive forgets what the sender has used of its rates, which are others from
// now on.
func (d *Direction) Forgive() { d.messages, d.bytes, d.until = 0, 0, 0 }

// Next judges the bytes at the start of in, which follow those that earlier
// verdicts took. It covers as many frames as it can at once. Without limits l
// is nil.
func (d *Direction) Next(in []byte, l *Limits, now int64) Verdict {
	if d.over {
		return Verdict{Do: Drop, Take: len(in)}
	}
	d.until = 0
	if l == nil || l.Bytes.Unlimited() {
		return d.walk(in, l, now)
	}
	before := *d
	v := d.walk(in, l, now)
	switch {
	case !l.Close: // a debt stands, whether anything was taken now or not
		d.until = max(d.until, l.Bytes.Spend(&d.bytes, int64(v.Take), now))
	case v.Take == 0:
	case l.Bytes.Take(&d.bytes, int64(v.Take), now) != 0:
		*d = before
		return Verdict{Do: Excess, Violation: ByteRate}
	}
	return v
}

// walk is Next but for the rate of bytes.
func (d *Direction) walk(in []byte, l *Limits, now int64) Verdict {
	pos := 0
	for {
		if d.inside {
			n := min(d.left, int64(len(in)-pos))
			d.pass(n, now)
			pos += int(n)
			if d.inside {
				return forward(pos)
			}
		}
		if !d.fragmented {
			if pos += d.run(in[pos:], l, now); pos == len(in) {
				return forward(pos)
			}
		}
		h, broken := d.parse(in[pos:])
		whole := h.size > 0 && len(in)-pos >= h.size+int(h.length)
		if broken == None && whole && h.op == ws.OpClose {
			broken = checkClose(in[pos+h.size:pos+h.size+int(h.length)], h.mask)
		}
		switch {
		case broken != None:
			if pos > 0 { // what was valid before goes first
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
			d.begin(&h, now)
			continue
		case !whole:
			return forward(pos)
		}
		size := h.size + int(h.length)
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
		d.note(&h, in[pos+h.size:pos+size])
		d.Controls++
		pos += size
	}
}

// run walks what most streams are made of: whole messages of one frame with less
// than 64 KiB, one behind the other. It stops in front of all else, what is over
// a limit too, and returns how many bytes it has covered.
func (d *Direction) run(in []byte, l *Limits, now int64) (pos int) {
	mask, key := byte(0), 0
	if d.masked {
		mask, key = bitMask, 4
	}
	extra := byte(0) // bits that may be set besides
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
				n = len(in) // for parse
			}
		case 127:
			n = len(in) // for parse
		}
		if len(in)-pos < size+n || l != nil && !l.passes(d, int64(n), now) {
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

func forward(n int) Verdict {
	if n == 0 {
		return Verdict{Do: Wait}
	}
	return Verdict{Do: Forward, Take: n}
}

// answers reports whether a control frame is the pong to a ping of the gateway's.
func (d *Direction) answers(h *header, body []byte) bool {
	if h.op != ws.OpPong || len(body) != 8 {
		return false
	}
	plain := [8]byte(body)
	ws.Cipher(plain[:], h.mask, 0)
	return binary.BigEndian.Uint64(plain[:]) == d.Ping
}

// note notes a ping or a pong that goes on.
func (d *Direction) note(h *header, body []byte) {
	switch m := mark(body, h.mask); {
	case h.op == ws.OpPing:
		d.Asks = m
	case m == d.Owes:
		d.Owes = 0
	}
}

// mark stands for the payload of a ping and of its pong, which have it in common
// (RFC 6455, section 5.5.3). It is the FNV-1a hash, and never 0.
func mark(body []byte, mask [4]byte) uint32 {
	h := uint32(2166136261)
	for i, b := range body {
		h = (h ^ uint32(b^mask[i%4])) * 16777619
	}
	return max(h, 1)
}

func (d *Direction) begin(h *header, now int64) {
	d.size = d.total(h)
	d.inside, d.fragmented, d.fin, d.left = true, true, h.fin, h.length
	d.pass(0, now) // a frame without payload ends here
}

// Passed tells that n bytes of the current frame's payload went on, at most
// Left. It reports whether that is more than l allows in the time.
func (d *Direction) Passed(n int64, l *Limits, now int64) (excess bool) {
	d.pass(n, now)
	switch {
	case l == nil:
	case l.Close:
		return l.Bytes.Take(&d.bytes, n, now) != 0
	default:
		d.until = l.Bytes.Spend(&d.bytes, n, now)
	}
	return false
}

func (d *Direction) pass(n, now int64) {
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
