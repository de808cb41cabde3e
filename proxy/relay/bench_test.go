package relay

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

func TestRelayingAllocatesNothing(t *testing.T) {
	tests := []struct{ size, messages, borrows int }{{128, 10_000, 0}, {16 << 10, 10_000, 2}, {1 << 20, 200, 40}}
	for _, tt := range tests {
		once := newFixture(t).Echo(relaytest.Loopback, tt.size)
		for range 100 {
			once()
		}
		limit := uint64(max(tt.messages/20, 50)) // a garbage collection empties the pool of buffers, and sometimes a buffer is full
		if relaytest.PoolDropsItems() {
			limit += uint64(tt.messages * tt.borrows)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range tt.messages {
			once()
		}
		runtime.ReadMemStats(&after)
		if n := after.Mallocs - before.Mallocs; n > limit {
			t.Errorf("%d messages of %d bytes there and back: %d allocations; want at most %d", tt.messages, tt.size, n, limit)
		}
	}
}

func BenchmarkEcho(b *testing.B) {
	kinds := []struct {
		name string
		link relaytest.Link
	}{{"plain", relaytest.Loopback}, {"TLS", relaytest.OverTLS(b, relaytest.Loopback)}}
	sizes := []struct {
		name string
		n    int
	}{{"128B", 128}, {"16KiB", 16 << 10}, {"1MiB", 1 << 20}}
	for _, kind := range kinds {
		for _, size := range sizes {
			b.Run(kind.name+"/"+size.name, func(b *testing.B) {
				once := newFixture(b).Echo(kind.link, size.n)
				b.ReportAllocs()
				b.SetBytes(int64(2 * size.n))
				for b.Loop() {
					once()
				}
			})
		}
	}
}

// BenchmarkTap is a session whose client sends as fast as it can, without a tap and with taps that are
// read as the admin interface reads them. An operation is a message.
func BenchmarkTap(b *testing.B) {
	sizes := []struct {
		name string
		n    int
	}{{"128B", 128}, {"64KiB", 64 << 10}}
	taps := []struct {
		name string
		tap  func() *Tap
	}{
		{"none", func() *Tap { return nil }},
		{"headers", func() *Tap { return NewTap(TapOptions{}) }},
		{"payloads", func() *Tap { return NewTap(TapOptions{Payload: 256}) }},
		{"sample", func() *Tap { return NewTap(TapOptions{Payload: 256, Sample: 1000}) }},
	}
	for _, size := range sizes {
		for _, kind := range taps {
			b.Run(size.name+"/"+kind.name, func(b *testing.B) {
				h := newFixture(b)
				client, backend := h.StartSession(relaytest.Loopback, relaytest.Loopback, Session{})
				if tap := kind.tap(); tap != nil {
					h.Tap(h.LastID, tap)
					go readUntil(b.Context().Done(), tap)
				}
				saturate(b, client, backend, frametest.Encode(Client, frametest.Binary(strings.Repeat("x", size.n))))
			})
		}
	}
}

// readUntil reads a tap every 50 ms until done is closed.
func readUntil(done <-chan struct{}, tap *Tap) {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for frames := []TappedFrame(nil); ; {
		select {
		case <-done:
			return
		case <-look.C:
			frames, _, _ = tap.Read(frames[:0])
		}
	}
}

// saturate sends a frame b.N times from a client, many in one write, and reads it at the backend.
func saturate(b *testing.B, client io.Writer, backend io.Reader, frame []byte) {
	b.SetBytes(int64(len(frame)))
	some := max((256<<10)/len(frame), 1)
	many := bytes.Repeat(frame, some)
	b.ResetTimer()
	go func() {
		for left := b.N; left > 0; left -= some {
			client.Write(many[:min(left, some)*len(frame)])
		}
	}()
	in := make([]byte, 256<<10)
	for left := b.N * len(frame); left > 0; {
		n, err := backend.Read(in[:min(len(in), left)])
		if err != nil {
			b.Fatal(err)
		}
		left -= n
	}
}
