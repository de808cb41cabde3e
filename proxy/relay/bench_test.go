package relay

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// echo runs a session whose backend sends back what comes, and returns a function
// that sends one message of n bytes and waits for it.
func (h *engineFixture) echo(kind link, n int) (once func()) {
	t := h.t
	c, b := h.join(kind, kind, Session{})
	there, back := encode(Client, binary(strings.Repeat("x", n))), encode(Backend, binary(strings.Repeat("x", n)))
	go func() {
		for in := make([]byte, len(there)); ; {
			if _, err := io.ReadFull(b, in); err != nil {
				return
			}
			if _, err := b.Write(back); err != nil {
				return
			}
		}
	}()
	out := make([]byte, len(back))
	t.Cleanup(func() { c.Close(); b.Close() })
	wake, woken := make(chan struct{}), make(chan error)
	go func() { // beside the reader, or large messages would hold each other back
		for range wake {
			_, err := c.Write(there)
			woken <- err
		}
	}()
	t.Cleanup(func() { close(wake) })
	return func() {
		wake <- struct{}{}
		if _, err := io.ReadFull(c, out); err != nil {
			t.Fatal(err)
		}
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
}

func TestRelayingAllocatesNothing(t *testing.T) {
	tests := []struct{ size, messages, borrows int }{{128, 10_000, 0}, {16 << 10, 10_000, 2}, {1 << 20, 200, 40}}
	for _, tt := range tests {
		once := newFixture(t).echo(loopback, tt.size)
		for range 100 {
			once()
		}
		limit := uint64(max(tt.messages/20, 50)) // a garbage collection empties the pool of buffers, and now and then a buffer is full
		if poolDropsItems() {
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

// poolDropsItems reports whether a sync.Pool drops a part of what it is given, as
// it does under the race detector.
func poolDropsItems() bool {
	var p sync.Pool
	for range 100 {
		p.Put(new(int))
		if p.Get() == nil {
			return true
		}
	}
	return false
}

func BenchmarkEcho(b *testing.B) {
	kinds := []struct {
		name string
		link link
	}{{"plain", loopback}, {"TLS", overTLS(b, loopback)}}
	sizes := []struct {
		name string
		n    int
	}{{"128B", 128}, {"16KiB", 16 << 10}, {"1MiB", 1 << 20}}
	for _, kind := range kinds {
		for _, size := range sizes {
			b.Run(kind.name+"/"+size.name, func(b *testing.B) {
				once := newFixture(b).echo(kind.link, size.n)
				b.ReportAllocs()
				b.SetBytes(int64(2 * size.n))
				for b.Loop() {
					once()
				}
			})
		}
	}
}

func BenchmarkCoreFeed(b *testing.B) {
	for _, n := range []int{16, 1024} {
		frame := encode(Client, binary(strings.Repeat("x", n)))
		in := bytes.Repeat(frame, busyBuffer/len(frame))
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			c := newCore(&Session{})
			for b.Loop() {
				if out, used := c.feed(Client, in, 1); used != len(in) || len(out) != used {
					b.Fatalf("feed = %d bytes, %d used; want %d", len(out), used, len(in))
				}
			}
		})
	}
}
