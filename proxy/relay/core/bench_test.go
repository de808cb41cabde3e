package core

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"sluice/proxy/relay/frametest"
)

func BenchmarkCoreFeed(b *testing.B) {
	for _, n := range []int{16, 1024} {
		frame := frametest.Encode(Client, frametest.Binary(strings.Repeat("x", n)))
		in := bytes.Repeat(frame, (64<<10)/len(frame))
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			c := newCore(&Session{})
			for b.Loop() {
				if out, used := c.Feed(Client, in, 1); used != len(in) || len(out) != used {
					b.Fatalf("feed = %d bytes, %d used; want %d", len(out), used, len(in))
				}
			}
		})
	}
}
