package core

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/gobwas/ws"

	"sluice/internal/clock"
)

// tapFrames is how many frames wait for a slow reader of a tap.
const tapFrames = 1024

// A Tap shows the headers of the frames that a session passes on, and of the gateway's own. It never
// holds a frame up: a reader that is too slow misses some. The session writes it, one goroutine at a
// time; one other may read it.
type Tap struct {
	clock clock.Clock
	left  [2]int64 // by Side: bytes of payload of the frame under way that are still to come from it

	ring    [tapFrames]TappedFrame
	written atomic.Uint64 // frames that were put into the ring so far
	read    atomic.Uint64 // frames that were taken out
	lost    atomic.Uint64 // frames that did not fit
	over    atomic.Bool   // the session is finished
}

// A TappedFrame is the header of a frame.
type TappedFrame struct {
	At         int64 // moment at which it was passed on, or its beginning was
	From, To   Side
	Op         ws.OpCode
	Fin        bool
	Compressed bool  // permessage-deflate: the bit RSV1 (RFC 7692)
	Length     int64 // of the payload, in bytes
}

// Read appends the frames that wait to to, and returns how many did not fit since the last call.
// Over says that no more will come: the session is reported. A Close frame that goes to a side after
// that, because the side takes nothing, is not shown.
func (t *Tap) Read(to []TappedFrame) (frames []TappedFrame, lost uint64, over bool) {
	over = t.over.Load() // before the frames: what comes after it is none
	read, written := t.read.Load(), t.written.Load()
	for ; read < written; read++ {
		to = append(to, t.ring[read%tapFrames])
	}
	t.read.Store(read)
	return to, t.lost.Swap(0), over
}

// Clock returns the clock of the frames' moments.
func (t *Tap) Clock() clock.Clock { return t.clock }

// Tap makes t the tap of the session, whose moments are those of a clock. It is false if the session
// has one, or is finished.
func (c Core) Tap(t *Tap, by clock.Clock) bool {
	o := c.ensureOutcome()
	if c.finished || o.tap != nil {
		return false
	}
	t.clock = by
	for side := range t.left {
		t.left[side] = c.sides[side].dir.Left()
	}
	o.tap = t
	return true
}

// Untap takes t off the session, if it is its tap.
func (c Core) Untap(t *Tap) {
	if c.outcome != nil && c.outcome.tap == t {
		c.outcome.tap = nil
	}
}

// tap returns the tap of the session, or nil.
func (c Core) tap() *Tap {
	if c.outcome == nil {
		return nil
	}
	return c.outcome.tap
}

// forwarded notes bytes of a side that go on: whole headers, and payload.
func (t *Tap) forwarded(from Side, b []byte, now int64) {
	written, read := t.written.Load(), t.read.Load()
	lost := uint64(0)
	for len(b) > 0 {
		if n := min(t.left[from], int64(len(b))); n > 0 {
			t.left[from] -= n
			b = b[n:]
			continue
		}
		f, size := parseTapped(b)
		f.At, f.From, f.To = now, from, from.Other()
		t.left[from], b = f.Length, b[size:]
		if written-read == tapFrames {
			lost++
			continue
		}
		t.ring[written%tapFrames] = f
		written++
	}
	t.written.Store(written)
	if lost > 0 {
		t.lost.Add(lost)
	}
}

// payloadForwarded notes payload of a side that goes on without being read.
func (t *Tap) payloadForwarded(from Side, n int64) { t.left[from] -= n }

// own notes a frame of the gateway's own.
func (t *Tap) own(to Side, b []byte, now int64) {
	f, _ := parseTapped(b)
	f.At, f.From, f.To = now, Gateway, to
	written := t.written.Load()
	if written-t.read.Load() == tapFrames {
		t.lost.Add(1)
		return
	}
	t.ring[written%tapFrames] = f
	t.written.Store(written + 1)
}

// parseTapped reads a header that was checked, and returns its size.
func parseTapped(b []byte) (f TappedFrame, size int) {
	f.Fin, f.Compressed, f.Op = b[0]&0x80 != 0, b[0]&0x40 != 0, ws.OpCode(b[0]&0x0f)
	size = 2
	switch n := b[1] & 0x7f; n {
	case 126:
		f.Length, size = int64(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		f.Length, size = int64(binary.BigEndian.Uint64(b[2:])), 10
	default:
		f.Length = int64(n)
	}
	if b[1]&0x80 != 0 {
		size += 4
	}
	return f, size
}
