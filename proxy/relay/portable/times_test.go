package portable

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// The scenarios on the portable engine, whose time stands still while anything can go on.
func TestSessionsByTheClock(t *testing.T) {
	for _, tt := range relaytest.TimedScenarios() {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &relaytest.TimedSession{Fixture: newFixture(t).Fixture, AdvanceTime: func(d time.Duration) { <-time.After(d); synctest.Wait() }, Settle: synctest.Wait, AwaitFull: func(core.Side) { synctest.Wait() }}
				s.Group.Set(tt.Rules)
				s.C, s.B = s.StartSession(relaytest.Narrow, relaytest.Narrow, core.Session{Note: "noted"})
				tt.Run(s)
				s.Drained(context.Background())
				s.ExpectReport(tt.Cause, tt.By, tt.Code)
			})
		})
	}
}

// Messages that a rate holds go on at once when the session ends.
func TestAnEndWaitsForNoRate(t *testing.T) {
	tests := []struct {
		name string
		ends func(s *relaytest.TimedSession)
		b    string
	}{
		{"shutdown", func(s *relaytest.TimedSession) { s.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0) }, "close 1001"},
		{"a Close frame of the backend", func(s *relaytest.TimedSession) { s.B.Send(wstest.Close(1001, "shutdown")) }, `text "b", text "c", close 1001`},
		{"the rate is taken away", func(s *relaytest.TimedSession) {
			s.ChangeRules(core.Rules{})
			s.Settle()
			s.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
		}, `text "b", text "c", close 1001`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &relaytest.TimedSession{Fixture: newFixture(t).Fixture, Settle: synctest.Wait}
				s.Group.Set(core.Rules{Client: core.Traffic{MessageRate: 1e-6, MessageBurst: 1}})
				s.C, s.B = s.StartSession(relaytest.Narrow, relaytest.Narrow, core.Session{})
				start := time.Now()
				s.C.Send(wstest.Text("a"), wstest.Text("b"), wstest.Text("c"))
				s.B.Receive(wstest.Text("a"))
				s.Settle()
				tt.ends(s)
				s.AnswerCloses(relaytest.ShutdownClose(core.Client), tt.b)
				s.Drained(t.Context())
				if took := time.Since(start); took != 0 {
					t.Errorf("the session ended after %v; want at once", took)
				}
			})
		})
	}
}

// Delayed messages arrive in order, each at its moment.
func TestDelayedMessagesArriveInTheirMoments(t *testing.T) {
	for _, side := range []core.Side{core.Client, core.Backend} {
		t.Run(side.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFixture(t)
				rate := core.Traffic{MessageRate: 2, MessageBurst: 3}
				h.Group.Set(core.Rules{Client: rate, Backend: rate})
				c, b := h.StartSession(relaytest.Narrow, relaytest.Narrow, core.Session{})
				from, to := c, b
				if side == core.Backend {
					from, to = b, c
				}
				const n = 40
				start := time.Now()
				go func() {
					for i := range n {
						from.Send(wstest.Part(ws.OpText, fmt.Sprint(i)), wstest.Last(strings.Repeat("x", 100)))
					}
				}()
				for i := range n {
					to.Receive(wstest.Part(ws.OpText, fmt.Sprint(i)), wstest.Last(strings.Repeat("x", 100)))
					if got, want := time.Since(start), time.Duration(max(i-2, 0))*time.Second/2; got != want {
						t.Fatalf("message %d came after %v; want %v", i, got, want)
					}
				}
				from.Reset()
				to.Reset()
			})
		})
	}
}

// Bytes come at their rate, except for one piece that was read before.
func TestDelayedBytesComeAtTheirRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, burst, total = 10_000, 20_000, 1_000_000
		h := newFixture(t)
		h.Group.Set(core.Rules{Client: core.Traffic{ByteRate: rate, ByteBurst: burst}})
		c, b := h.StartSession(relaytest.Narrow, relaytest.Narrow, core.Session{})
		whole := frametest.Encode(core.Client, frametest.Binary(relaytest.RandomPayload(total)))
		start := time.Now()
		go c.SendRaw(whole)
		got := make([]byte, len(whole))
		for n := 0; n < len(got); {
			k, err := b.Read(got[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += k
			if most := burst + rate*time.Since(start).Seconds() + busyBuffer; float64(n) > most {
				t.Fatalf("%d bytes came in %v; want at most %.0f", n, time.Since(start), most)
			}
		}
		if !bytes.Equal(got, whole) {
			t.Error("the frame arrived changed")
		}
		least, most := time.Duration(total-burst-busyBuffer)*time.Second/rate, time.Duration(total)*time.Second/rate
		if took := time.Since(start); took < least || took > most {
			t.Errorf("%d bytes took %v; want between %v and %v", total, took, least, most)
		}
		c.Reset()
		b.Reset()
	})
}
