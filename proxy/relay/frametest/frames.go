// Package frametest is the frames of a session as tests write and read them. It shares
// nothing with internal/frame: the rules are written down a second time.
//
// Sides are numbers: 0 is the client, whose frames are masked, and 1 the backend.
package frametest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// client is the number of the side whose frames are masked.
const client = 0

// mask is the mask of all frames of a client.
var mask = [4]byte{0xa1, 0x5b, 0x7c, 0x02}

// Encode returns frames as a side sends them: those of a client masked.
func Encode[S ~uint8](from S, frames ...ws.Frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		if from == client {
			f = ws.MaskFrameWith(f, mask)
		}
		b.Write(ws.MustCompileFrame(f))
	}
	return b.Bytes()
}

// Binary returns a binary message of one frame.
func Binary(payload string) ws.Frame { return ws.NewBinaryFrame([]byte(payload)) }

// A Stream is what an endpoint makes of the bytes that a side sent.
type Stream struct {
	Frames []string // one entry a whole frame
	Pass   int      // bytes that a gateway may let through
	Whole  int      // of them, bytes up to the end of the last whole frame
	Closed bool     // the last frame is a valid Close frame
	Broken bool     // a violation stands after the bytes that may pass
}

// Inside reports whether what may pass ends inside a data frame.
func (r *Stream) Inside() bool { return r.Pass > r.Whole }

// Ends reports whether the stream ends the session by itself.
func (r *Stream) Ends() bool { return r.Closed || r.Broken }

func (r *Stream) String() string {
	s := strings.Join(r.Frames, ", ")
	switch {
	case r.Broken:
		s += " !broken"
	case r.Inside():
		s += fmt.Sprintf(" +%d bytes", r.Pass-r.Whole)
	}
	return strings.TrimSpace(s)
}

// Parse reads what a side sent. Bytes after a Close frame are broken ones.
func Parse[S ~uint8](from S, deflate bool, stream []byte) (r Stream) {
	in := bytes.NewReader(stream)
	message := false
	for in.Len() > 0 {
		at := len(stream) - in.Len()
		if r.Closed {
			r.Broken = true
			return r
		}
		if !legalStart(from == client, deflate, message, stream[at:]) {
			r.Broken = true
			return r
		}
		h, err := ws.ReadHeader(in)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return r
		case err != nil:
			r.Broken = true
			return r
		}
		payload := stream[len(stream)-in.Len():]
		if int64(len(payload)) < h.Length {
			if !h.OpCode.IsControl() {
				r.Pass = len(stream)
			}
			return r
		}
		payload = bytes.Clone(payload[:h.Length])
		in.Seek(h.Length, io.SeekCurrent)
		if h.Masked {
			ws.Cipher(payload, h.Mask, 0)
		}
		if h.OpCode == ws.OpClose && !ValidCloseBody(payload) {
			r.Broken = true
			return r
		}
		if !h.OpCode.IsControl() {
			message = !h.Fin
		}
		r.Closed = h.OpCode == ws.OpClose
		r.Pass = len(stream) - in.Len()
		r.Whole = r.Pass
		r.Frames = append(r.Frames, describe(h, payload))
	}
	return r
}

// legalStart applies what the first bytes of a frame give away.
func legalStart(fromClient bool, deflate, message bool, b []byte) bool {
	if len(b) < 2 {
		return true
	}
	op, length := b[0]&0xf, b[1]&0x7f
	control := op >= 8
	switch {
	case b[0]&0x30 != 0, op > 2 && op < 8, op > 10:
		return false
	case b[0]&0x40 != 0 && (!deflate || op == 0 || control):
		return false
	case (b[1]&0x80 != 0) != fromClient:
		return false
	case control && (b[0]&0x80 == 0 || length > 125):
		return false
	case !control && (op == 0) != message:
		return false
	}
	if length == 126 {
		return len(b) < 4 || b[2] > 0 || b[3] >= 126
	}
	if length == 127 && len(b) >= 10 && [6]byte(b[2:]) == [6]byte{} {
		return false
	}
	return length != 127 || len(b) < 3 || b[2]&0x80 == 0
}

func ValidCloseBody(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	if len(p) == 1 {
		return false
	}
	code := int(p[0])<<8 | int(p[1])
	return utf8.Valid(p[2:]) &&
		(code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006 || code >= 3000 && code < 5000)
}

func describe(h ws.Header, payload []byte) string {
	name := map[ws.OpCode]string{
		ws.OpContinuation: "more", ws.OpText: "text", ws.OpBinary: "binary",
		ws.OpClose: "close", ws.OpPing: "ping", ws.OpPong: "pong",
	}[h.OpCode]
	if !h.Fin {
		name += "-"
	}
	if h.OpCode == ws.OpClose && len(payload) >= 2 {
		name += fmt.Sprint(" ", int(payload[0])<<8|int(payload[1]))
		payload = payload[2:]
	}
	switch {
	case len(payload) > 40:
		name += fmt.Sprintf(" (%d)", len(payload))
	case len(payload) > 0:
		name += fmt.Sprintf(" %q", payload)
	}
	return name
}

// Random returns frames as a side might send them. Some are wrong.
func Random[S ~uint8](r *rand.Rand, from S) []byte {
	var b []byte
	message := false
	for range 1 + r.IntN(8) {
		payload := bytes.Repeat([]byte{'x'}, []int{0, 1, 5, 20, 125, 126, 300}[r.IntN(7)])
		var f ws.Frame
		switch n := r.IntN(16); {
		case n < 9:
			op := ws.OpBinary
			if message {
				op = ws.OpContinuation
			}
			message = r.IntN(3) == 0
			f = ws.NewFrame(op, !message, payload)
		case n < 12:
			f = ws.NewPingFrame(payload[:min(125, len(payload))])
		case n < 13:
			f = wstest.Close([]int{1000, 1005, 1012, 2000, 4000}[r.IntN(5)], strings.Repeat("é", r.IntN(50)))
		case n < 14:
			f = ws.NewFrame(ws.OpCode(r.IntN(16)), r.IntN(2) == 0, payload)
		default:
			f = ws.NewFrame(ws.OpBinary, true, payload)
			f.Header.Rsv = byte(r.IntN(8))
		}
		one := Encode(from, f)
		if r.IntN(30) == 0 {
			one[1] ^= 0x80
		}
		b = append(b, one...)
	}
	return b
}
