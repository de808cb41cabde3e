package relay

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// A tap shows the frames of a session on every engine, over TLS too, and where payload is spliced.
func TestATapShowsTheFramesOfASession(t *testing.T) {
	for name, link := range map[string]relaytest.Link{
		"sockets": relaytest.Loopback, "TLS": relaytest.OverTLS(t, relaytest.Loopback), "memory": relaytest.Roomy,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t)
			c, b := h.StartSession(link, link, Session{})
			tap := new(Tap)
			if found, tapped := h.Tap(h.LastID, tap); !found || !tapped {
				t.Fatalf("Tap = %t, %t; want true", found, tapped)
			}
			if found, _ := h.Tap(h.LastID+1, new(Tap)); found {
				t.Error("a session that is none was found")
			}
			if _, tapped := h.Tap(h.LastID, new(Tap)); tapped {
				t.Error("a session took two taps")
			}
			large := frametest.Binary(strings.Repeat("x", 3<<20))
			go c.Send(wstest.Text("a"), large, wstest.Ping("p"))
			b.Receive(wstest.Text("a"), large, wstest.Ping("p"))
			b.Send(wstest.Part(ws.OpText, "b"), wstest.Last("c"))
			c.Receive(wstest.Part(ws.OpText, "b"), wstest.Last("c"))
			h.End(relaytest.All, Ending{Cause: Operator, Code: 4001, Reason: "enough"}, 0)
			b.AnswerClose("close 1001", wstest.Close(1001, ""))
			c.AnswerClose(`close 4001 "enough"`, wstest.Close(4001, ""))
			h.AwaitReport()
			frames, lost, over := tap.Read(nil)
			var got []string
			for _, f := range frames {
				got = append(got, fmt.Sprintf("%s %d %t %d", f.From, f.Op, f.Fin, f.Length))
			}
			slices.Sort(got)
			want := []string{"backend 0 true 1", "backend 1 false 1", "client 1 true 1", "client 2 true 3145728", "client 9 true 1", "gateway 8 true 2", "gateway 8 true 8"}
			if !slices.Equal(got, want) || lost != 0 || !over {
				t.Errorf("the tap showed %q, %d lost, over %t; want %q", got, lost, over, want)
			}
		})
	}
}

// A tap of payloads shows the beginning of frames of any size on every engine, and changes nothing of
// what passes. Where payload is spliced, what the tap does not show still is.
func TestATapShowsPayloads(t *testing.T) {
	const frames, most = 3, 300
	large := make([]ws.Frame, frames)
	for i := range large {
		large[i] = frametest.Binary(fmt.Sprintf("%d %s", i, relaytest.RandomPayload(1<<20)))
	}
	for name, link := range map[string]relaytest.Link{
		"sockets": relaytest.Loopback, "TLS": relaytest.OverTLS(t, relaytest.Loopback), "memory": relaytest.Roomy,
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			c, b := h.StartSession(link, link, Session{})
			exchange := func() {
				go c.Send(large...)
				b.Receive(large...)
				go b.Send(large...)
				c.Receive(large...)
			}
			spliced := func() uint64 { n, _ := h.engine.Counters(); return n }
			exchange()
			before := spliced()
			tap := NewTap(TapOptions{Payload: most})
			h.Tap(h.LastID, tap)
			exchange()
			if during := spliced(); before > 0 && during == before {
				t.Error("nothing was spliced while the session was tapped; want what the tap does not show")
			}
			shown, lost, _ := tap.Read(nil)
			if len(shown) != 2*frames || lost != 0 {
				t.Errorf("the tap showed %d frames, %d lost; want %d", len(shown), lost, 2*frames)
			}
			next := [2]int{}
			for _, f := range shown {
				if want := large[next[f.From]].Payload; f.Payload != string(want[:most]) || f.Length != int64(len(want)) {
					t.Errorf("frame %d of the %s: %d bytes, %.20q; want %d, %.20q", next[f.From], f.From, f.Length, f.Payload, len(want), want)
				}
				next[f.From]++
			}
			h.Untap(h.LastID, tap)
			exchange()
			if shown, _, _ := tap.Read(nil); len(shown) > 0 {
				t.Errorf("%d frames were shown after the tap was taken off", len(shown))
			}
		})
	}
}
