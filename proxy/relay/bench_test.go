package relay

import (
	"runtime"
	"testing"

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
