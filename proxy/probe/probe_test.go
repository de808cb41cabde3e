package probe

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
)

// Whatever a backend sends, the wait ends, and it succeeds only if there was a pong.
func FuzzAwait(f *testing.F) {
	said := []byte("sluice")
	frames := func(all ...ws.Frame) (b []byte) {
		for _, frame := range all {
			b = append(b, ws.MustCompileFrame(frame)...)
		}
		return b
	}
	f.Add(frames(ws.NewPongFrame(said)))
	f.Add(frames(ws.NewTextFrame([]byte("welcome")), ws.NewPingFrame(nil), ws.NewPongFrame(said)))
	f.Add(frames(ws.NewCloseFrame(ws.NewCloseFrameBody(1013, "later"))))
	f.Add([]byte("\x8a\x7f\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := await(bytes.NewReader(b), func(h ws.Header, body []byte) bool {
			return h.OpCode == ws.OpPong && bytes.Equal(body, said)
		})
		if err == nil && !bytes.Contains(b, said) {
			t.Fatalf("await(%q) found a pong", b)
		}
	})
}
