package integration

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// sides are the sides that can be over a limit, and how the configuration writes a limit
// of each.
var sides = map[string]string{"client": "%s", "backend": "backend: { %s }"}

// A side that sends more than its limit gets a Close frame that says so, and the other
// side gets 1001. The limit of one side does not hold for the other.
func TestTrafficOverALimit(t *testing.T) {
	t.Parallel()
	text := func(n int) ws.Frame { return wstest.Text(strings.Repeat("x", n)) }
	part := func(n int) ws.Frame { return wstest.Part(ws.OpText, strings.Repeat("x", n)) }
	more := func(n int) ws.Frame { return wstest.Part(ws.OpContinuation, strings.Repeat("x", n)) }
	last := func(n int) ws.Frame { return wstest.Last(strings.Repeat("x", n)) }
	header := map[string]int{"client": 6, "backend": 2} // bytes, in front of up to 125
	type frames func(offender string) []ws.Frame
	always := func(f ...ws.Frame) frames { return func(string) []ws.Frame { return f } }
	ping := always(wstest.Ping(""))
	tests := []struct {
		name, limit string
		within      frames
		over        frames
		code        int
		cause       string
		what        string // in the detail
		begun       bool   // the first bytes of over are within the limit: a frame that has begun goes on to its end
	}{
		{"a frame", "frame_size: 100B", always(text(100), text(0), wstest.Ping(strings.Repeat("p", 125))), always(text(101)), 1009, "too large", "a frame over the size limit", false},
		{"a large frame", "frame_size: 1MiB", always(text(1 << 20)), always(text(1<<20 + 1)), 1009, "too large", "a frame over the size limit", false},
		{"a fragment", "frame_size: 100B", always(part(100), more(100), last(100), part(100)), always(last(101)), 1009, "too large", "a frame over the size limit", false},
		{"a message", "message_size: 250B", always(text(250), text(250), part(100), last(150)), always(text(251)), 1009, "too large", "a message over the size limit", false},
		{"a message in fragments", "message_size: 250B", always(part(100), wstest.Ping("between"), more(100), more(0)), always(last(51)), 1009, "too large", "a message over the size limit", false},
		{"messages", "message_rate: 1/h, message_burst: 3, on_excess: close", always(text(1), part(1), more(1), last(1), wstest.Ping(""), text(1)), always(text(1)), 1008, "too fast", "messages over the rate limit", false},
		{
			"bytes", "byte_rate: 1B/h, byte_burst: 1KiB, on_excess: close",
			func(offender string) []ws.Frame {
				return []ws.Frame{text(500 - 2 - header[offender]), text(524 - 2 - header[offender])}
			},
			ping, 1008, "too fast", "bytes over the rate limit", false,
		},
		{
			"bytes of pings", "byte_rate: 1B/h, byte_burst: 120B, on_excess: close",
			func(offender string) []ws.Frame {
				return []ws.Frame{wstest.Ping(strings.Repeat("p", 120-header[offender]))}
			},
			ping, 1008, "too fast", "bytes over the rate limit", false,
		},
		{
			"bytes inside a large frame", "byte_rate: 1B/h, byte_burst: 256KiB, on_excess: close",
			always(text(1000)), always(text(1 << 20)), 1008, "too fast", "bytes over the rate limit", true,
		},
	}
	var routes strings.Builder
	for i, tt := range tests {
		for offender, how := range sides {
			fmt.Fprintf(&routes, "  - { path: /%s/%d, backend: BACKEND, websocket: { limits: { %s } } }\n", offender, i, fmt.Sprintf(how, tt.limit))
		}
	}
	overBoth(t, nil, "routes:\n"+routes.String(), func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend) {
		for i, tt := range tests {
			for offender := range sides {
				t.Run(offender+" "+tt.name, func(t *testing.T) {
					uri := fmt.Sprintf("/%s/%d", offender, i)
					client, backend := wstest.Pair(t, target, b, wstest.Handshake(uri))
					from, to := client, backend
					if offender == "backend" {
						from, to = backend, client
					}
					for _, free := range slices.Concat(tt.within(offender), tt.over(offender)) { // of the other side
						if free.Header.Fin && free.Header.OpCode != ws.OpContinuation {
							to.Send(free)
							from.Expect(free)
						}
					}
					for _, f := range tt.within(offender) {
						from.Send(f)
						to.Expect(f)
					}
					sent := make(chan error, 1) // more than the gateway will take
					go func() { sent <- from.Conn.Send(append(tt.over(offender), text(1))...) }()
					if tt.begun {
						to.Expect(tt.over(offender)...)
					}
					from.ExpectClose(tt.code)
					to.ExpectClose(1001)
					client.ExpectEnd()
					backend.ExpectEnd()
					<-sent // the gateway may have closed before it was all written
					r := g.ended(uri)
					expect(t, r, record{"close_code": tt.code, "ended_by": offender, "cause": tt.cause})
					if want := offender + " sent " + tt.what; !strings.Contains(r.text("detail"), want) {
						t.Errorf("detail = %q, want %q", r.text("detail"), want)
					}
				})
			}
		}
	})
}

// A side that is over a rate is read more slowly. Nothing is lost, and at no moment has
// more arrived than the burst and what the rate gives in the time since it was sent. A
// busy machine only makes that time longer: no test says how long it may be.
func TestTrafficIsDelayed(t *testing.T) {
	t.Parallel()
	const kib = 1 << 10
	const sealed = 16 * kib // of TLS; the gateway judges at once what a read brings, buffer_size or one of these
	tests := []struct {
		name, limit string
		sent        []ws.Frame
		unit        func(f ws.Header) float64 // what a frame counts
		rate, burst float64                   // a second; what may come at once
	}{
		{
			name: "messages", limit: "message_rate: 50/s, message_burst: 5",
			sent: numbered(25, 10), rate: 50, burst: 5,
			unit: func(ws.Header) float64 { return 1 },
		},
		{
			name: "messages without a burst", limit: "message_rate: 20/s, message_burst: 1",
			sent: numbered(8, 10_000), rate: 20, burst: 1,
			unit: func(ws.Header) float64 { return 1 },
		},
		{
			name: "bytes", limit: "byte_rate: 64KiB/s, byte_burst: 8KiB",
			sent: numbered(50, kib), rate: 64 * kib, burst: 8*kib + sealed,
			unit: func(h ws.Header) float64 { return float64(ws.HeaderSize(h)) + float64(h.Length) },
		},
		{
			name: "bytes of a large frame", limit: "byte_rate: 512KiB/s, byte_burst: 8KiB",
			sent: []ws.Frame{ws.NewBinaryFrame(bytes.Repeat([]byte("0123456789"), 256*kib/10))}, rate: 512 * kib, burst: 8*kib + sealed,
			unit: func(h ws.Header) float64 { return float64(ws.HeaderSize(h)) + float64(h.Length) },
		},
	}
	var routes strings.Builder
	for i, tt := range tests {
		for sender, how := range sides {
			fmt.Fprintf(&routes, "  - { path: /%s/%d, backend: BACKEND, websocket: { buffer_size: 4KiB, limits: { %s } } }\n", sender, i, fmt.Sprintf(how, tt.limit))
		}
	}
	overBoth(t, nil, "routes:\n"+routes.String(), func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend) {
		for i, tt := range tests {
			for sender := range sides {
				t.Run(sender+" "+tt.name, func(t *testing.T) {
					uri := fmt.Sprintf("/%s/%d", sender, i)
					client, backend := wstest.Pair(t, target, b, wstest.Handshake(uri))
					from, to := client, backend
					if sender == "backend" {
						from, to = backend, client
					}
					start := time.Now()
					sent := make(chan error, 1)
					go func() { sent <- from.Conn.Send(tt.sent...) }()
					arrived := 0.0
					for n, f := range tt.sent {
						to.Expect(f)
						if to == backend { // as it was on the wire
							f = ws.MaskFrame(f)
						}
						arrived += tt.unit(f.Header)
						took := time.Since(start)
						if most := tt.burst + tt.rate*took.Seconds(); arrived > most {
							t.Fatalf("behind frame %d of %d, %v after the first was sent, %.0f had arrived, want at most %.0f", n+1, len(tt.sent), took, arrived, most)
						}
					}
					if err := <-sent; err != nil {
						t.Error(err)
					}
					client.Send(wstest.Close(1000, ""))
					backend.ExpectClose(1000)
					client.ExpectClose(1000)
					client.ExpectEnd()
					backend.ExpectEnd()
					expect(t, g.ended(uri), record{"cause": "close", sender + "_messages": len(tt.sent)})
				})
			}
		}
	})
}

// numbered returns n messages of a size that are all different.
func numbered(n, size int) []ws.Frame {
	frames := make([]ws.Frame, n)
	for i := range frames {
		frames[i] = wstest.Text(strings.Repeat(string(rune('0'+i)), size))
	}
	return frames
}
