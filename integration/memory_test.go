package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// relayed echoes each frame while it still arrives.
func relayed(c *wstest.Conn) {
	if c.Accept() != nil {
		return
	}
	for {
		h, err := ws.ReadHeader(c)
		if err != nil {
			return
		}
		mask := h.Mask
		h.Masked, h.Mask = false, [4]byte{}
		if ws.WriteHeader(c, h) != nil {
			return
		}
		chunk := make([]byte, 64<<10) // a multiple of the key's length
		for left := h.Length; left > 0; {
			n, err := io.ReadFull(c, chunk[:min(left, int64(len(chunk)))])
			ws.Cipher(chunk[:n], mask, 0)
			if _, failed := c.Write(chunk[:n]); err != nil || failed != nil {
				return
			}
			left -= int64(n)
		}
		if h.OpCode == ws.OpClose {
			return
		}
	}
}

// A message is never held as a whole: 128 MiB in one frame pass through with much less memory. What the
// gateway may grow by is mostly garbage, which the race detector makes larger.
func TestLargeFrameIsStreamed(t *testing.T) {
	t.Parallel()
	const size, allowed = 128 << 20, 64 << 20
	b := wstest.NewBackend(t, relayed)
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
			p := wstest.Open(t, g.schemes()[scheme], wstest.Handshake("/"))
			payload := bytes.Repeat([]byte("0123456789abcdefg"), size/17+1)[:size]
			want := sha256.Sum256(payload)
			frame := p.Conn.Encode(ws.NewBinaryFrame(payload)) // with the race detector that alone takes seconds
			before := peak(t, g.pid)

			sent := make(chan error, 1)
			go func() { _, err := p.Conn.Write(frame); sent <- err }()
			h, err := ws.ReadHeader(p)
			if err != nil || h != (ws.Header{Fin: true, OpCode: ws.OpBinary, Length: size}) {
				t.Fatalf("header of the echo: %+v, %v", h, err)
			}
			sum := sha256.New()
			if n, err := io.CopyN(sum, p, size); err != nil {
				t.Fatalf("echo ended after %d bytes: %v", n, err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if got := [sha256.Size]byte(sum.Sum(nil)); got != want {
				t.Error("the echo differs from what was sent")
			}
			if grown := peak(t, g.pid) - before; grown > allowed {
				t.Errorf("the gateway grew by %d MiB for a frame of %d MiB, want at most %d", grown>>20, size>>20, allowed>>20)
			}
			goodbye(p)
		})
	}
}

// peak is the most memory in bytes that a process has had in use, which only
// Linux tells.
func peak(t *testing.T, pid int) int {
	t.Helper()
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatalf("process %d tells no VmHWM", pid)
	return 0
}
