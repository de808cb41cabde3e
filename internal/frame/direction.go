package frame

import (
	"github.com/gobwas/ws"
)

// An Action says what to do with the bytes a [Verdict] covers.
type Action uint8

const (
	// Wait: keep all of in; with more bytes behind them Next can go on. They
	// are never more than [MaxControl].
	Wait Action = iota
	// Forward: the bytes go on to the other side as they are.
	Forward
	// Close: the bytes are one whole, valid Close frame. They go on to the
	// other side and are the last to do so; [ParseClose] reads them.
	Close
	// Drop: the bytes came behind a Close frame or a violation.
	Drop
	// End: what in begins with breaks the protocol and must not go on.
	End
)

// A Verdict is what is to be done with the first bytes of a stream.
type Verdict struct {
	Do   Action
	Take int // number of bytes of in that this covers; 0 with Wait and End
	// Ahead is the number of payload bytes behind Take that may pass without
	// being seen by Next; they are reported with Passed.
	Ahead     int64
	Violation Violation // with End
}

// Counts is what went on in one direction.
type Counts struct {
	Messages uint64 // data messages, complete ones
	Frames   uint64 // data frames, complete ones
	Controls uint64 // ping, pong and close frames
	Bytes    uint64 // payload of data frames
}

// A Direction is one direction of a session: it walks the frames of a stream
// in place, however the stream was cut, and says which bytes may go on. It is
// flat and copyable. The zero value walks the frames of a server.
type Direction struct {
	Counts
	left       int64 // payload of the current data frame that is still to pass
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
// bytes; 0 between frames.
func (d *Direction) Left() int64 { return d.left }

// Next judges the bytes at the start of in, which follow those that earlier
// verdicts took. It covers as many frames as it can at once.
func (d *Direction) Next(in []byte) Verdict {
	if d.over {
		return Verdict{Do: Drop, Take: len(in)}
	}
	pos := 0
	for {
		if d.inside {
			n := min(d.left, int64(len(in)-pos))
			d.Passed(n)
			pos += int(n)
			if d.inside {
				break
			}
		}
		h, broken := d.parse(in[pos:])
		if broken == None && h.size > 0 && h.op == ws.OpClose && len(in)-pos >= h.size+int(h.length) {
			broken = checkClose(in[pos+h.size:pos+h.size+int(h.length)], h.mask)
		}
		switch {
		case broken != None:
			if pos > 0 { // what was valid before goes first
				return Verdict{Do: Forward, Take: pos}
			}
			d.over = true
			return Verdict{Do: End, Violation: broken}
		case h.size == 0:
			return forward(pos, 0)
		case !h.op.IsControl():
			pos += h.size
			d.begin(&h)
			continue
		}
		size := h.size + int(h.length)
		if len(in)-pos < size {
			return forward(pos, 0)
		}
		if h.op == ws.OpClose && pos > 0 {
			return forward(pos, 0)
		}
		d.Controls++
		pos += size
		if h.op == ws.OpClose {
			d.over = true
			return Verdict{Do: Close, Take: pos}
		}
	}
	return forward(pos, d.left)
}

func forward(n int, ahead int64) Verdict {
	if n == 0 {
		return Verdict{Do: Wait, Ahead: ahead}
	}
	return Verdict{Do: Forward, Take: n, Ahead: ahead}
}

func (d *Direction) begin(h *header) {
	d.inside, d.fragmented, d.fin, d.left = true, true, h.fin, h.length
	d.Passed(0) // a frame without payload ends here
}

// Passed tells that n bytes of the current frame's payload went on, at most
// the Ahead of the last verdict.
func (d *Direction) Passed(n int64) {
	d.left -= n
	d.Bytes += uint64(n)
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
