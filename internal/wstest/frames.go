package wstest

import (
	"fmt"
	"io"

	"github.com/gobwas/ws"
)

// ReadFrame reads a frame of at most 1 MiB, as it is on the wire.
func ReadFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	if f.Header.Length > 1<<20 {
		return f, fmt.Errorf("a frame of %d bytes", f.Header.Length)
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// Text returns a whole text message in one frame.
func Text(s string) ws.Frame { return ws.NewTextFrame([]byte(s)) }

// Part returns a frame of a fragmented message, not its last one.
func Part(op ws.OpCode, s string) ws.Frame { return ws.NewFrame(op, false, []byte(s)) }

// Last returns the frame that ends a fragmented message.
func Last(s string) ws.Frame { return ws.NewFrame(ws.OpContinuation, true, []byte(s)) }

// Ping returns a ping.
func Ping(s string) ws.Frame { return ws.NewPingFrame([]byte(s)) }

// Pong returns a pong.
func Pong(s string) ws.Frame { return ws.NewPongFrame([]byte(s)) }

// Close returns a close frame with a code, legal or not.
func Close(code int, reason string) ws.Frame {
	return ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

// Reserved returns f with reserved bits set.
func Reserved(f ws.Frame, rsv1, rsv2, rsv3 bool) ws.Frame {
	f.Header.Rsv = ws.Rsv(rsv1, rsv2, rsv3)
	return f
}
