package core

import (
	"math/bits"
	"sync/atomic"

	"github.com/gobwas/ws"
)

// MaxTapPayload is the most bytes of a frame's payload that a tap shows.
const MaxTapPayload = 4096

// maxTapBytes is how many bytes of payload wait for a slow reader of a tap at most.
const maxTapBytes = 1 << 20

// tapPayloads is the shown payloads of the frames in the ring of a tap, as they are on the wire: the
// reader unmasks them. They stand in the order of the frames, so two counters say which bytes the
// session may write and which the reader may read, as they do for frames.
type tapPayloads struct {
	most  int // of one frame
	where [tapFrames]tappedPayload
	bytes []byte        // a ring; its size is a power of two
	added uint64        // bytes that were put in so far
	taken atomic.Uint64 // bytes that were taken out so far
}

// tappedPayload says which bytes are those of a frame.
type tappedPayload struct {
	at   uint64 // bytes that were put in before it
	size int
	key  [4]byte // zero where it is not masked
}

func newTapPayloads(most int) *tapPayloads {
	size := min(1<<bits.Len(uint(most*tapFrames-1)), maxTapBytes)
	return &tapPayloads{most: most, bytes: make([]byte, size)}
}

// room returns how many bytes fit.
func (p *tapPayloads) room() int { return len(p.bytes) - int(p.added-p.taken.Load()) }

// put puts in the payload of the frame in a slot of the ring, and reports whether it fits.
func (p *tapPayloads) put(slot uint64, key [4]byte, b []byte) bool {
	if len(b) > p.room() {
		return false
	}
	n := copy(p.bytes[p.added%uint64(len(p.bytes)):], b)
	copy(p.bytes, b[n:])
	p.where[slot] = tappedPayload{p.added, len(b), key}
	p.added += uint64(len(b))
	return true
}

// take takes out the payload of the frame in a slot of the ring, and unmasks it.
func (p *tapPayloads) take(slot uint64) string {
	w := &p.where[slot]
	if w.size == 0 {
		return ""
	}
	b := make([]byte, w.size)
	n := copy(b, p.bytes[w.at%uint64(len(p.bytes)):])
	copy(b[n:], p.bytes)
	p.taken.Store(w.at + uint64(w.size))
	ws.Cipher(b, w.key, 0)
	return string(b)
}
