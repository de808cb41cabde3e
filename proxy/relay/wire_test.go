package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

var mask = [4]byte{0xa1, 0x5b, 0x7c, 0x02}

// encode returns frames as a side sends them: a client's are masked.
func encode(from Side, frames ...ws.Frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		if from == Client {
			f = ws.MaskFrameWith(f, mask)
		}
		b.Write(ws.MustCompileFrame(f))
	}
	return b.Bytes()
}

func binary(payload string) ws.Frame { return ws.NewBinaryFrame([]byte(payload)) }

// A reading is what an endpoint makes of a byte stream, by rules written down
// a second time: nothing here is shared with internal/frame.
type parsedStream struct {
	frames []string // one entry a whole frame
	pass   int      // bytes that a gateway may let through
	whole  int      // of them, bytes up to the end of the last whole frame
	closed bool     // the last frame is a valid Close frame
	broken bool     // a violation stands behind the bytes that may pass
}

// inside reports whether what may pass ends inside a data frame.
func (r *parsedStream) inside() bool { return r.pass > r.whole }

// ends reports whether the stream ends the session by itself.
func (r *parsedStream) ends() bool { return r.closed || r.broken }

func (r *parsedStream) String() string {
	s := strings.Join(r.frames, ", ")
	switch {
	case r.broken:
		s += " !broken"
	case r.inside():
		s += fmt.Sprintf(" +%d bytes", r.pass-r.whole)
	}
	return strings.TrimSpace(s)
}

// parseStream reads what a side sent. Bytes behind a Close frame are broken ones.
func parseStream(from Side, deflate bool, stream []byte) (r parsedStream) {
	in := bytes.NewReader(stream)
	message := false
	for in.Len() > 0 {
		at := len(stream) - in.Len()
		if r.closed {
			r.broken = true
			return r
		}
		if !legalStart(from, deflate, message, stream[at:]) {
			r.broken = true
			return r
		}
		h, err := ws.ReadHeader(in)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return r
		case err != nil:
			r.broken = true
			return r
		}
		payload := stream[len(stream)-in.Len():]
		if int64(len(payload)) < h.Length {
			if !h.OpCode.IsControl() {
				r.pass = len(stream)
			}
			return r
		}
		payload = bytes.Clone(payload[:h.Length])
		in.Seek(h.Length, io.SeekCurrent)
		if h.Masked {
			ws.Cipher(payload, h.Mask, 0)
		}
		if h.OpCode == ws.OpClose && !legalClose(payload) {
			r.broken = true
			return r
		}
		if !h.OpCode.IsControl() {
			message = !h.Fin
		}
		r.closed = h.OpCode == ws.OpClose
		r.pass = len(stream) - in.Len()
		r.whole = r.pass
		r.frames = append(r.frames, describe(h, payload))
	}
	return r
}

// legalStart applies what the first bytes of a frame give away.
func legalStart(from Side, deflate, message bool, b []byte) bool {
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
	case (b[1]&0x80 != 0) != (from == Client):
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

func legalClose(p []byte) bool {
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
