// Package frame is the WebSocket wire format as a gateway has to know it (RFC 6455, section
// 5): which bytes of a stream may go on to the other side, where frames begin and end, and how
// a session is closed. It reads no sockets and keeps no clock. Walking a stream allocates
// nothing.
package frame

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// MaxControl is the size in bytes of the longest control frame: two fixed bytes, four of mask,
// and the payload.
const MaxControl = 2 + 4 + ws.MaxControlFramePayloadSize

// The first two bytes of a frame.
const (
	bitFin    = 1 << 7
	bitRsv1   = 1 << 6
	bitsRsv23 = 3 << 4
	maskOp    = 1<<4 - 1
	bitMask   = 1 << 7
	maskLen   = 1<<7 - 1
)

// header is a parsed frame header.
type header struct {
	fin, rsv1 bool
	op        ws.OpCode
	size      int   // of the header itself
	length    int64 // of the payload
	mask      [4]byte
}

// parse reads the header at the start of in and checks it as the next one of d. It returns a
// header of size 0 if in is too short. A violation that the first two bytes show is found then
// too.
func (d *Direction) parse(in []byte) (h header, v Violation) {
	if len(in) < 2 {
		return h, None
	}
	h.fin, h.rsv1, h.op = in[0]&bitFin != 0, in[0]&bitRsv1 != 0, ws.OpCode(in[0]&maskOp)
	short := in[1] & maskLen
	if v := d.check(&h, in[0]&bitsRsv23 != 0, in[1]&bitMask != 0, short); v != None {
		return h, v
	}
	size := 2
	switch short {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	at := size
	if d.masked {
		size += 4
	}
	switch {
	case short == 127 && len(in) > 2 && in[2]&0x80 != 0:
		return h, LengthOverflow
	case len(in) < at:
		return h, None
	case short == 126:
		h.length = int64(binary.BigEndian.Uint16(in[2:]))
	case short == 127:
		h.length = int64(binary.BigEndian.Uint64(in[2:]))
	default:
		h.length = int64(short)
	}
	if h.length < leastLength(short) {
		return h, LongLength
	}
	if len(in) < size {
		return h, None
	}
	if d.masked {
		h.mask = [4]byte(in[at:])
	}
	h.size = size
	return h, None
}

// leastLength returns the smallest length that may be written in the form that short says:
// "the minimal number of bytes MUST be used" (RFC 6455, section 5.2).
func leastLength(short byte) int64 {
	switch short {
	case 126:
		return 126
	case 127:
		return 1 << 16
	}
	return 0
}

// check applies the rules that the first two bytes decide.
func (d *Direction) check(h *header, rsv23, masked bool, short byte) Violation {
	control := h.op.IsControl()
	switch {
	case rsv23:
		return ReservedBits
	case h.rsv1 && (!d.deflate || control || h.op == ws.OpContinuation):
		return ReservedBits
	case h.op.IsReserved():
		return ReservedOpcode
	case masked != d.masked && masked:
		return Masked
	case masked != d.masked:
		return Unmasked
	case control && !h.fin:
		return FragmentedControl
	case control && short > ws.MaxControlFramePayloadSize:
		return LongControl
	case h.op == ws.OpContinuation && !d.fragmented:
		return StrayContinuation
	case !control && h.op != ws.OpContinuation && d.fragmented:
		return MissingContinuation
	}
	return None
}
