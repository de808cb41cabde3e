package relay

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// A side that is over a limit gets its Close frame although it sends on: what it sends is read
// and dropped, because a reset would destroy the Close frame.
func TestWhoIsOverALimitReadsWhyWhileItSends(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name  string
		rules Traffic
		sent  []ws.Frame
		pass  []ws.Frame // of them
		cause Cause
		code  ws.StatusCode
		why   string
	}{
		{"a frame", Traffic{Frame: 1 << 20}, []ws.Frame{wstest.Text("a"), frametest.Binary(x(size))}, []ws.Frame{wstest.Text("a")}, TooLarge, 1009, "a frame over the size limit"},
		{
			"a message", Traffic{Message: 1 << 20}, []ws.Frame{wstest.Part(ws.OpText, x(1<<20)), wstest.Part(ws.OpContinuation, x(size))},
			[]ws.Frame{wstest.Part(ws.OpText, x(1<<20))}, TooLarge, 1009, "a message over the size limit",
		},
		{
			"messages", Traffic{MessageRate: 1e-3, MessageBurst: 2, EndOverRate: true}, []ws.Frame{wstest.Text("a"), wstest.Text("b"), wstest.Text("c"), frametest.Binary(x(size))},
			[]ws.Frame{wstest.Text("a"), wstest.Text("b")}, TooFast, 1008, "messages over the rate limit",
		},
		{
			"bytes, inside a frame that goes on to its end", Traffic{ByteRate: 1e-3, ByteBurst: 1 << 20, EndOverRate: true}, []ws.Frame{frametest.Binary(x(size)), frametest.Binary(x(size))},
			[]ws.Frame{frametest.Binary(x(size))}, TooFast, 1008, "bytes over the rate limit",
		},
	}
	for _, tt := range tests {
		for _, side := range []Side{Client, Backend} {
			t.Run(tt.name+" of the "+side.String(), func(t *testing.T) {
				t.Parallel()
				h := newFixture(t)
				if side == Client {
					h.Group.Set(Rules{Client: tt.rules})
				} else {
					h.Group.Set(Rules{Backend: tt.rules})
				}
				c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, Session{})
				from, to := c, b
				if side == Backend {
					from, to = b, c
				}
				var sending, other sync.WaitGroup
				sending.Go(func() { from.Send(tt.sent...) })
				other.Go(func() {
					to.Receive(tt.pass...)
					to.AnswerClose("close 1001", wstest.Close(1001, ""))
				})
				want := frametest.Encode(side.Other(), wstest.Close(int(tt.code), tt.why))
				got := make([]byte, len(want))
				if _, err := io.ReadFull(from, got); err != nil {
					t.Fatalf("the %s reads %x, %v", side, got, err)
				}
				if r := frametest.Parse(side.Other(), false, got); r.String() != fmt.Sprintf("close %d %q", tt.code, tt.why) {
					t.Errorf("the %s reads %s; want close %d %q", side, &r, tt.code, tt.why)
				}
				sending.Wait()
				from.Send(wstest.Close(int(tt.code), ""))
				if side == Client {
					from.ExpectRest("")
				}
				from.Close()
				other.Wait()
				h.ExpectReport(tt.cause, side, tt.code)
			})
		}
	}
}

// A message that comes while a reload takes its rate away goes on, whatever comes first.
func TestARateIsTakenAwayWhileAMessageComes(t *testing.T) {
	for name, kind := range relaytest.Links(t) {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			c, b := h.StartSession(kind, kind, Session{})
			hang := time.AfterFunc(wstest.LongGuard, c.Reset)
			defer hang.Stop()
			for i := range 5000 {
				first, second := wstest.Text(fmt.Sprint("first ", i)), wstest.Text(fmt.Sprint("second ", i))
				h.ChangeRules(Rules{Client: Traffic{MessageRate: 1e-6, MessageBurst: 1}})
				c.Send(first)
				b.Receive(first)
				var reload sync.WaitGroup
				reload.Go(func() { h.ChangeRules(Rules{}) })
				c.Send(second)
				b.Receive(second)
				reload.Wait()
			}
		})
	}
}
