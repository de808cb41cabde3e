package core

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/gobwas/ws"

	"sluice/internal/clock"
)

// tapFrames is how many frames wait for a slow reader of a tap.
const tapFrames = 1024

// TapOptions say what a tap shows. The zero value is the headers of all frames.
type TapOptions struct {
	Payload int    // most bytes of each frame's payload that are shown, at most [MaxTapPayload]; 0 means none
	Sample  int    // of each side, one of so many data frames is shown; less than 2 means all
	Ops     uint16 // the opcodes that are shown, as the bits 1<<op; 0 means all
}

// A Tap shows the frames that a session passes on, and the gateway's own. It never holds a frame up: a
// reader that is too slow misses some. The session writes it, one goroutine at a time; one other may
// read it. The zero value shows the headers of all frames.
type Tap struct {
	clock   clock.Clock
	options TapOptions
	sides   [2]tappedSide // by Side
	next    uint64        // frames that were put into the ring so far, some of them not yet published
	missed  uint64        // frames that did not fit, and are not yet in lost

	payloads *tapPayloads // nil where only headers are shown

	ring    [tapFrames]TappedFrame // without payloads
	written atomic.Uint64          // frames that were put into the ring so far
	read    atomic.Uint64          // frames that were taken out
	lost    atomic.Uint64          // frames that did not fit
	over    atomic.Bool            // the session is finished
}

// A TappedFrame is a frame as a tap shows it.
type TappedFrame struct {
	At         int64 // moment at which it was passed on, or its beginning was
	From, To   Side
	Op         ws.OpCode
	Message    ws.OpCode // of a data frame's message: text or binary, or continuation if its beginning was not seen
	Fin        bool
	Compressed bool   // its message is: permessage-deflate, the bit RSV1 of the first frame (RFC 7692); false if its beginning was not seen
	Length     int64  // of the payload, in bytes
	Payload    string // what is shown of it, unmasked; less than Length if that is more than the tap shows
}

// tappedSide is what a tap knows of what comes from a side.
type tappedSide struct {
	left       int64     // bytes of payload of the frame under way that are still to come
	hidden     int       // data frames that the sample leaves out before the next one is shown
	message    ws.OpCode // of the message under way, as in TappedFrame
	compressed bool      // that message is

	// A frame is shown when so much of its payload has come as is shown of it.
	frame   TappedFrame
	key     [4]byte
	awaited int    // bytes of its payload that are missing; 0 means that none is waited for
	kept    []byte // of its payload
}

// NewTap returns a tap that no session has yet.
func NewTap(o TapOptions) *Tap {
	t := &Tap{options: o}
	if o.Payload > 0 {
		t.payloads = newTapPayloads(min(o.Payload, MaxTapPayload))
		for i := range t.sides {
			t.sides[i].kept = make([]byte, 0, t.payloads.most)
		}
	}
	return t
}

// Read appends the frames that wait to to, and returns how many did not fit since the last call.
// Over says that no more will come: the session is reported. A Close frame that goes to a side after
// that, because the side takes nothing, is not shown.
func (t *Tap) Read(to []TappedFrame) (frames []TappedFrame, lost uint64, over bool) {
	over = t.over.Load() // before the frames: what comes after it is none
	read, written := t.read.Load(), t.written.Load()
	for ; read < written; read++ {
		to = append(to, t.ring[read%tapFrames])
		if t.payloads != nil {
			to[len(to)-1].Payload = t.payloads.take(read % tapFrames)
		}
	}
	t.read.Store(read)
	return to, t.lost.Swap(0), over
}

// Clock returns the clock of the frames' moments.
func (t *Tap) Clock() clock.Clock { return t.clock }

// Tap makes t, which no session has had, the tap of the session, whose moments are those of a clock.
// It is false if the session has one, or is finished.
func (c Core) Tap(t *Tap, by clock.Clock) bool {
	o := c.ensureOutcome()
	if c.finished || o.tap != nil {
		return false
	}
	t.clock = by
	for side := range t.sides {
		t.sides[side].left = c.sides[side].dir.Left()
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

// endTap takes the session's tap off it, for which nothing more comes.
func (c Core) endTap() {
	if t := c.tap(); t != nil {
		c.outcome.tap = nil
		t.end()
	}
}

// tap returns the tap of the session, or nil.
func (c Core) tap() *Tap {
	if c.outcome == nil {
		return nil
	}
	return c.outcome.tap
}

// forwarded notes bytes of a side that go on: whole headers, and payload. Begun is how many frames begin
// in them, and left how many bytes of payload are still to come after them.
func (t *Tap) forwarded(from Side, b []byte, begun uint64, left, now int64) {
	s := &t.sides[from]
	if s.awaited == 0 && t.full() {
		// No frame of b can be shown: what a busy session pays for is that its frames are counted.
		t.missed += begun
		if s.left = left; begun > 0 {
			s.message, s.compressed = ws.OpContinuation, false
		}
		t.publish()
		return
	}
	for len(b) > 0 {
		if s.left > 0 {
			n := int(min(s.left, int64(len(b))))
			s.left -= int64(n)
			if s.awaited > 0 {
				t.keep(s, b[:n])
			}
			b = b[n:]
			continue
		}
		size, length := tappedSize(b)
		header := b[:size]
		s.left, b = length, b[size:]
		if t.shows(header[0], s) {
			t.begin(s, &TappedFrame{At: now, From: from, To: from.Other(), Length: length}, header, b)
		}
	}
	t.publish()
}

// full reports whether the next frame may not fit. A tap that shows some of the frames is not full: which
// of them it misses only their headers tell.
func (t *Tap) full() bool {
	if t.options.Sample > 1 || t.options.Ops != 0 {
		return false
	}
	return t.next-t.read.Load() == tapFrames || t.payloads != nil && t.payloads.room() < t.payloads.most
}

// payloadForwarded notes payload of a side that goes on without being read.
func (t *Tap) payloadForwarded(from Side, n int64) { t.sides[from].left -= n }

// own notes a frame of the gateway's own, a control frame.
func (t *Tap) own(to Side, b []byte, now int64) {
	size, length := tappedSize(b)
	if t.shows(b[0], nil) {
		t.begin(nil, &TappedFrame{At: now, From: Gateway, To: to, Length: length}, b[:size], b[size:])
	}
	t.publish()
}

// end shows the frames under way as far as they have come, and says that there are no more.
func (t *Tap) end() {
	for i := range t.sides {
		if s := &t.sides[i]; s.awaited > 0 {
			t.put(&s.frame, s.key, s.kept)
		}
	}
	t.publish()
	t.over.Store(true)
}

// shows reports whether the tap shows a frame with this first byte. It notes what message a data frame
// from a side begins.
func (t *Tap) shows(first byte, s *tappedSide) bool {
	op := ws.OpCode(first & 0x0f)
	chosen := t.options.Ops == 0 || t.options.Ops&(1<<op) != 0
	if op.IsControl() {
		return chosen
	}
	if op != ws.OpContinuation {
		s.message, s.compressed = op, first&0x40 != 0
	}
	switch {
	case !chosen:
		return false
	case s.hidden > 0:
		s.hidden--
		return false
	}
	s.hidden = max(t.options.Sample, 1) - 1
	return true
}

// begin shows a frame, once as much of its payload has come as is shown of it. The payload begins rest,
// which is all of it where s, the side that the frame comes from, is nil.
func (t *Tap) begin(s *tappedSide, f *TappedFrame, header, rest []byte) {
	f.Fin, f.Op = header[0]&0x80 != 0, ws.OpCode(header[0]&0x0f)
	if f.Op.IsData() {
		f.Message, f.Compressed = s.message, s.compressed
	}
	want, key := 0, [4]byte{}
	if t.payloads != nil {
		want = int(min(f.Length, int64(t.payloads.most)))
		if header[1]&0x80 != 0 {
			key = [4]byte(header[len(header)-4:])
		}
	}
	if want <= len(rest) {
		t.put(f, key, rest[:want])
		return
	}
	s.frame, s.key, s.awaited, s.kept = *f, key, want, s.kept[:0]
}

// keep keeps what is shown of b, the next bytes of the payload that is awaited from a side.
func (t *Tap) keep(s *tappedSide, b []byte) {
	n := min(s.awaited, len(b))
	s.kept = append(s.kept, b[:n]...)
	if s.awaited -= n; s.awaited == 0 {
		t.put(&s.frame, s.key, s.kept)
	}
}

// put puts a frame into the ring, with the beginning of its payload.
func (t *Tap) put(f *TappedFrame, key [4]byte, payload []byte) {
	if t.next-t.read.Load() == tapFrames || t.payloads != nil && !t.payloads.put(t.next%tapFrames, key, payload) {
		t.missed++
		return
	}
	t.ring[t.next%tapFrames] = *f
	t.next++
}

// publish lets the reader have what was put into the ring.
func (t *Tap) publish() {
	if t.next != t.written.Load() {
		t.written.Store(t.next)
	}
	if t.missed > 0 {
		t.lost.Add(t.missed)
		t.missed = 0
	}
}

// tappedSize returns the size of a header that was checked, and the length of its payload.
func tappedSize(b []byte) (size int, length int64) {
	switch size, length = 2, int64(b[1]&0x7f); length {
	case 126:
		size, length = 4, int64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		size, length = 10, int64(binary.BigEndian.Uint64(b[2:]))
	}
	if b[1]&0x80 != 0 {
		size += 4
	}
	return size, length
}
