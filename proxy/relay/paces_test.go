package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// A stage is a session on an engine whose time is the test's.
type timedSession struct {
	*engineFixture
	c, b        *peer
	advanceTime func(time.Duration) // time goes by
	settle      func()              // waits until the engine has seen all that was sent
	awaitFull   func(Side)          // waits until a side's reader holds up what is sent to it
}

func (s *timedSession) peer(side Side) *peer { return [...]*peer{s.c, s.b}[side] }

// view returns what there is to see of the one session.
func (s *timedSession) view() (v View) {
	s.t.Helper()
	n := 0
	s.Each(func(one View) bool { v = one; n++; return true })
	if n != 1 {
		s.t.Fatalf("%d sessions to see; want 1", n)
	}
	return v
}

// readPing reads a ping of the gateway's and returns its payload.
func (p *peer) readPing() string {
	p.t.Helper()
	f, err := wstest.ReadFrame(p)
	if err != nil || f.Header.OpCode != ws.OpPing || f.Header.Length != 8 || f.Header.Masked != (p.side == Backend) {
		p.t.Fatalf("the %s got %+v, %v; want a ping of the gateway's", p.side, f.Header, err)
	}
	if f.Header.Masked {
		f = ws.UnmaskFrame(f)
	}
	return string(f.Payload)
}

// An act is what happens on a stage, and how the session ends.
type scenario struct {
	name  string
	rules Rules
	run   func(s *timedSession)
	cause Cause
	by    Side
	code  ws.StatusCode
}

// stoppedReading is a side that takes nothing of what waits for it for longer than
// the rules allow: an hour and a minute.
func stoppedReading(side Side, rules Rules, cause Cause) scenario {
	return scenario{
		name: fmt.Sprintf("the %s has stopped reading: %s", side, cause), rules: rules,
		run: func(s *timedSession) {
			from := s.peer(side.other())
			go from.Write(encode(side.other(), binary(randomPayload(bulk))))
			s.awaitFull(side)
			s.advanceTime(time.Hour)
			s.advanceTime(time.Minute)
			want := "close 1001"
			if side == Backend {
				want = fmt.Sprintf("close 1001 %q", cause)
			}
			from.expectClose(want)
			s.advanceTime(closeTimeout)
			s.advanceTime(lingerTime)
		},
		cause: cause, by: side, code: 1001,
	}
}

// answerCloses reads the gateway's Close frames and answers them.
func (s *timedSession) answerCloses(client, backend string) {
	var both sync.WaitGroup
	both.Go(func() { s.b.answerClose(backend, wstest.Close(1001, "")) })
	both.Go(func() { s.c.answerClose(client, wstest.Close(1001, "")) })
	both.Wait()
}

// plays are what both engines have to do alike.
var timedScenarios = []scenario{
	{
		name: "pings are answered, and nobody else sees it", rules: Rules{Ping: time.Hour, Pong: time.Minute},
		run: func(s *timedSession) {
			for range 3 {
				s.advanceTime(time.Hour)
				s.c.send(wstest.Pong(s.c.readPing()))
				s.b.send(wstest.Pong(s.b.readPing()))
				s.settle()
			}
			s.c.send(wstest.Text("a"), wstest.Pong("not asked"))
			s.b.receive(wstest.Text("a"), wstest.Pong("not asked"))
			s.b.send(wstest.Text("b"))
			s.c.receive(wstest.Text("b"))
			s.c.send(wstest.Close(1000, ""))
			s.answerCloses("close 1001", "close 1000")
		},
		cause: Closed, by: Client, code: 1000,
	},
	{
		name: "a ping comes behind the frame that is under way", rules: Rules{Ping: time.Hour, Pong: time.Minute},
		run: func(s *timedSession) {
			whole := encode(Backend, binary(randomPayload(300_000)))
			go s.b.Write(whole[:200_000])
			got := make([]byte, len(whole))
			io.ReadFull(s.c, got[:200_000])
			s.advanceTime(time.Hour)
			s.b.readPing() // to which its frame is the answer
			go s.b.Write(whole[200_000:])
			io.ReadFull(s.c, got[200_000:])
			if !bytes.Equal(got, whole) {
				s.t.Error("the frame arrived changed")
			}
			s.c.send(wstest.Pong(s.c.readPing()))
			s.End(all, Shutdown, 0)
			s.answerCloses(shutdownClose(Client), shutdownClose(Backend))
		},
		cause: Shutdown, by: Gateway, code: 1001,
	},
	{
		name: "a ping waits for a reader that stalls", rules: Rules{Ping: time.Hour, Pong: time.Minute},
		run: func(s *timedSession) {
			message := binary(randomPayload(bulk))
			go s.b.Write(encode(Backend, message))
			s.awaitFull(Client)
			s.advanceTime(time.Hour)
			s.c.receive(message)
			s.c.send(wstest.Pong(s.c.readPing()))
			s.settle()
			s.End(all, Shutdown, 0)
			s.answerCloses(shutdownClose(Client), shutdownClose(Backend))
		},
		cause: Shutdown, by: Gateway, code: 1001,
	},
	stoppedReading(Client, Rules{Ping: time.Hour, Pong: time.Minute}, Unanswered),
	stoppedReading(Backend, Rules{Ping: time.Hour, Pong: time.Minute}, Unanswered),
	stoppedReading(Client, Rules{Stall: time.Hour + time.Minute}, Stalled),
	stoppedReading(Backend, Rules{Stall: time.Hour + time.Minute}, Stalled),
	{
		name: "a reader that stalls for less than it may", rules: Rules{Stall: time.Hour},
		run: func(s *timedSession) {
			message := binary(randomPayload(bulk))
			go s.b.Write(encode(Backend, message))
			s.awaitFull(Client)
			s.advanceTime(time.Minute)
			s.c.receive(message)
			s.settle()
			s.advanceTime(10 * time.Hour)
			s.End(all, Shutdown, 0)
			s.answerCloses(shutdownClose(Client), shutdownClose(Backend))
		},
		cause: Shutdown, by: Gateway, code: 1001,
	},
	{
		name: "a reader that goes on when it has stalled for too long", rules: Rules{Stall: time.Hour},
		run: func(s *timedSession) {
			message := binary(randomPayload(bulk))
			go s.b.Write(encode(Backend, message))
			s.awaitFull(Client)
			s.advanceTime(time.Hour)
			s.c.receive(message)
			s.answerCloses(`close 1001 "stalled"`, "close 1001")
		},
		cause: Stalled, by: Client, code: 1001,
	},
	{
		name: "a rule for a reader that has stalled for longer",
		run: func(s *timedSession) {
			message := binary(randomPayload(bulk))
			go s.b.Write(encode(Backend, message))
			s.awaitFull(Client)
			s.advanceTime(time.Hour)
			s.group.Set(Rules{Stall: time.Minute})
			s.Review()
			s.advanceTime(instant)
			s.c.receive(message)
			s.answerCloses(`close 1001 "stalled"`, "close 1001")
		},
		cause: Stalled, by: Client, code: 1001,
	},
	{
		name: "nobody answers a ping", rules: Rules{Ping: time.Hour, Pong: time.Minute},
		run: func(s *timedSession) {
			s.advanceTime(time.Hour)
			s.c.readPing()
			s.b.send(wstest.Pong(s.b.readPing()))
			s.settle()
			s.advanceTime(time.Minute)
			s.answerCloses(`close 1001 "ping unanswered"`, "close 1001")
		},
		cause: Unanswered, by: Client, code: 1001,
	},
	{
		name: "idle", rules: Rules{Idle: time.Hour},
		run: func(s *timedSession) {
			s.c.send(wstest.Text("a"))
			s.b.receive(wstest.Text("a"))
			s.settle()
			s.advanceTime(time.Hour)
			s.answerCloses(`close 1001 "idle"`, "close 1001")
		},
		cause: Idle, by: Gateway, code: 1001,
	},
	{
		name: "the life is over", rules: Rules{Lifetime: time.Hour},
		run: func(s *timedSession) {
			s.advanceTime(time.Hour)
			s.answerCloses(`close 1001 "lifetime over"`, "close 1001")
		},
		cause: Lifetime, by: Gateway, code: 1001,
	},
	{
		name: "rules for a session that is open",
		run: func(s *timedSession) {
			s.advanceTime(time.Hour)
			s.group.Set(Rules{Idle: 2 * time.Hour, Backend: Traffic{Frame: 3}})
			s.Review()
			s.b.send(wstest.Text("abc"))
			s.c.receive(wstest.Text("abc"))
			s.b.send(wstest.Text("abcd"))
			s.answerCloses("close 1001", `close 1009 "a frame over the size limit"`)
		},
		cause: TooLarge, by: Backend, code: 1009,
	},
	{
		name: "a rule that ends sessions at once",
		run: func(s *timedSession) {
			s.advanceTime(time.Hour)
			s.group.Set(Rules{Lifetime: time.Minute})
			s.Review()
			s.advanceTime(time.Minute)
			s.answerCloses(`close 1001 "lifetime over"`, "close 1001")
		},
		cause: Lifetime, by: Gateway, code: 1001,
	},
	{
		name: "a rule that is taken back", rules: Rules{Idle: time.Hour, Lifetime: time.Hour, Ping: time.Hour, Pong: time.Minute},
		run: func(s *timedSession) {
			s.group.Set(Rules{})
			s.Review()
			s.advanceTime(10 * time.Hour)
			s.c.send(wstest.Close(1000, ""))
			s.answerCloses("close 1001", "close 1000")
		},
		cause: Closed, by: Client, code: 1000,
	},
	{
		name: "messages are delayed, which is no stall", rules: Rules{Client: Traffic{MessageRate: 1.0 / 3600, MessageBurst: 2}, Stall: time.Minute},
		run: func(s *timedSession) {
			var all []ws.Frame
			for i := range 10 {
				all = append(all, wstest.Text(fmt.Sprint("message ", i)))
			}
			s.c.send(append(all, wstest.Close(1000, ""))...)
			s.b.receive(all[:2]...)
			for i, f := range all[2:] {
				s.settle()
				if n := s.view().FromClient.Messages; n != uint64(i+2) {
					s.t.Fatalf("%d messages passed after %d hours; want %d", n, i, i+2)
				}
				s.advanceTime(time.Hour)
				s.b.receive(f)
			}
			s.answerCloses("close 1001", "close 1000")
		},
		cause: Closed, by: Client, code: 1000,
	},
	{
		name: "a side that is delayed gets no ping and is not blamed",
		rules: Rules{
			Client: Traffic{MessageRate: 1.0 / 36000, MessageBurst: 1}, Ping: time.Hour, Pong: time.Minute,
		},
		run: func(s *timedSession) {
			s.c.send(wstest.Text("a"), wstest.Text("b"))
			s.b.receive(wstest.Text("a"))
			s.settle()
			for range 9 {
				s.advanceTime(time.Hour)
				s.b.send(wstest.Pong(s.b.readPing()))
				s.settle()
			}
			s.group.Set(Rules{Client: Traffic{MessageRate: 1.0 / 36000, MessageBurst: 1}})
			s.Review()
			s.advanceTime(time.Hour)
			s.b.receive(wstest.Text("b"))
			s.b.send(wstest.Close(1000, ""))
			s.answerCloses("close 1000", "close 1001")
		},
		cause: Closed, by: Backend, code: 1000,
	},
	{
		name: "an end does not wait for a rate", rules: Rules{Client: Traffic{MessageRate: 1.0 / 3600, MessageBurst: 1}},
		run: func(s *timedSession) {
			s.c.send(wstest.Text("a"), wstest.Text("b"))
			s.b.receive(wstest.Text("a"))
			s.settle()
			s.End(all, Shutdown, 0)
			s.answerCloses(shutdownClose(Client), "close 1001")
		},
		cause: Shutdown, by: Gateway, code: 1001,
	},
}

// The portable engine, whose time stands still while anything can go on.
func TestSessionsByTheClock(t *testing.T) {
	for _, tt := range timedScenarios {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &timedSession{engineFixture: newFixture(t), advanceTime: func(d time.Duration) { <-time.After(d); synctest.Wait() }, settle: synctest.Wait, awaitFull: func(Side) { synctest.Wait() }}
				s.group.Set(tt.rules)
				s.c, s.b = s.join(narrow, narrow, Session{})
				tt.run(s)
				s.Drained(context.Background())
				s.expectReport(tt.cause, tt.by, tt.code)
			})
		})
	}
}

// Whoever is held to a rate when the session ends is heard at once.
func TestAnEndWaitsForNoRate(t *testing.T) {
	tests := []struct {
		name string
		ends func(s *timedSession)
		b    string
	}{
		{"shutdown", func(s *timedSession) { s.End(all, Shutdown, 0) }, "close 1001"},
		{"a Close frame of the backend", func(s *timedSession) { s.b.send(wstest.Close(1001, "shutdown")) }, `text "b", text "c", close 1001`},
		{"the rate is taken away", func(s *timedSession) {
			s.group.Set(Rules{})
			s.Review()
			s.settle()
			s.End(all, Shutdown, 0)
		}, `text "b", text "c", close 1001`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &timedSession{engineFixture: newFixture(t), settle: synctest.Wait}
				s.group.Set(Rules{Client: Traffic{MessageRate: 1e-6, MessageBurst: 1}})
				s.c, s.b = s.join(narrow, narrow, Session{})
				start := time.Now()
				s.c.send(wstest.Text("a"), wstest.Text("b"), wstest.Text("c"))
				s.b.receive(wstest.Text("a"))
				s.settle()
				tt.ends(s)
				s.answerCloses(shutdownClose(Client), tt.b)
				s.Drained(t.Context())
				if took := time.Since(start); took != 0 {
					t.Errorf("the session ended after %v; want at once", took)
				}
			})
		})
	}
}

// What is delayed arrives in order, and each message in its moment.
func TestDelayedMessagesArriveInTheirMoments(t *testing.T) {
	for _, side := range []Side{Client, Backend} {
		t.Run(side.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFixture(t)
				rate := Traffic{MessageRate: 2, MessageBurst: 3}
				h.group.Set(Rules{Client: rate, Backend: rate})
				c, b := h.join(narrow, narrow, Session{})
				from, to := c, b
				if side == Backend {
					from, to = b, c
				}
				const n = 40
				start := time.Now()
				go func() {
					for i := range n {
						from.send(wstest.Part(ws.OpText, fmt.Sprint(i)), wstest.Last(strings.Repeat("x", 100)))
					}
				}()
				for i := range n {
					to.receive(wstest.Part(ws.OpText, fmt.Sprint(i)), wstest.Last(strings.Repeat("x", 100)))
					if got, want := time.Since(start), time.Duration(max(i-2, 0))*time.Second/2; got != want {
						t.Fatalf("message %d came after %v; want %v", i, got, want)
					}
				}
				from.reset()
				to.reset()
			})
		})
	}
}

// Bytes come at their rate, but for a piece that was read at once.
func TestDelayedBytesComeAtTheirRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, burst, total = 10_000, 20_000, 1_000_000
		h := newFixture(t)
		h.group.Set(Rules{Client: Traffic{ByteRate: rate, ByteBurst: burst}})
		c, b := h.join(narrow, narrow, Session{})
		whole := encode(Client, binary(randomPayload(total)))
		start := time.Now()
		go c.sendRaw(whole)
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
		c.reset()
		b.reset()
	})
}

// Who is over a limit reads why, although it sends on: what it sends is read
// and dropped, or a reset would destroy the Close frame.
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
		{"a frame", Traffic{Frame: 1 << 20}, []ws.Frame{wstest.Text("a"), binary(x(size))}, []ws.Frame{wstest.Text("a")}, TooLarge, 1009, "a frame over the size limit"},
		{
			"a message", Traffic{Message: 1 << 20}, []ws.Frame{wstest.Part(ws.OpText, x(1<<20)), wstest.Part(ws.OpContinuation, x(size))},
			[]ws.Frame{wstest.Part(ws.OpText, x(1<<20))}, TooLarge, 1009, "a message over the size limit",
		},
		{
			"messages", Traffic{MessageRate: 1e-3, MessageBurst: 2, Close: true}, []ws.Frame{wstest.Text("a"), wstest.Text("b"), wstest.Text("c"), binary(x(size))},
			[]ws.Frame{wstest.Text("a"), wstest.Text("b")}, TooFast, 1008, "messages over the rate limit",
		},
		{
			"bytes, inside a frame that goes on to its end", Traffic{ByteRate: 1e-3, ByteBurst: 1 << 20, Close: true}, []ws.Frame{binary(x(size)), binary(x(size))},
			[]ws.Frame{binary(x(size))}, TooFast, 1008, "bytes over the rate limit",
		},
	}
	for _, tt := range tests {
		for _, side := range []Side{Client, Backend} {
			t.Run(tt.name+" of the "+side.String(), func(t *testing.T) {
				t.Parallel()
				h := newFixture(t)
				if side == Client {
					h.group.Set(Rules{Client: tt.rules})
				} else {
					h.group.Set(Rules{Backend: tt.rules})
				}
				c, b := h.join(loopback, loopback, Session{})
				from, to := c, b
				if side == Backend {
					from, to = b, c
				}
				var sending, other sync.WaitGroup
				sending.Go(func() { from.send(tt.sent...) })
				other.Go(func() {
					to.receive(tt.pass...)
					to.answerClose("close 1001", wstest.Close(1001, ""))
				})
				want := encode(side.other(), wstest.Close(int(tt.code), tt.why))
				got := make([]byte, len(want))
				if _, err := io.ReadFull(from, got); err != nil {
					t.Fatalf("the %s reads %x, %v", side, got, err)
				}
				if r := parseStream(side.other(), false, got); r.String() != fmt.Sprintf("close %d %q", tt.code, tt.why) {
					t.Errorf("the %s reads %s; want close %d %q", side, &r, tt.code, tt.why)
				}
				sending.Wait()
				from.send(wstest.Close(int(tt.code), ""))
				if side == Client {
					from.expectRest("")
				}
				from.Close()
				other.Wait()
				h.expectReport(tt.cause, side, tt.code)
			})
		}
	}
}
