package relay

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/gobwas/ws"

	"sluice/internal/frame"
	"sluice/internal/wstest"
)

var roomy, narrow = memoryLink(1 << 20), memoryLink(1 << 10)

// Time in these tests is testing/synctest's: it stands still while anything
// can go on, so what is asserted of it is exact.

func TestHowASessionEnds(t *testing.T) {
	ten := wstest.Text("0123456789")
	bad := []byte{0x83, 0x80, 0, 0, 0, 0}
	tests := []struct {
		name            string
		play            func(h *engineFixture, c, b *peer)
		client, backend string
		cause           Cause
		by              Side
		code            ws.StatusCode
		says, ends      time.Duration // until all is said, until the sockets are closed
	}{
		{
			name: "a Close frame and its answer",
			play: func(h *engineFixture, c, b *peer) {
				c.send(wstest.Close(1000, "bye"))
				b.receive(wstest.Close(1000, "bye"))
				b.send(wstest.Close(1000, ""))
				b.Close()
				c.expectRest("close 1000")
				c.Close()
			},
			cause: Closed, by: Client, code: 1000,
		},
		{
			name: "a Close frame never answered",
			play: func(h *engineFixture, c, b *peer) {
				c.send(wstest.Close(3000, ""))
				c.expectRest("close 3000")
				b.expectRest("close 3000")
				c.Close()
				b.Close()
			},
			cause: Closed, by: Client, code: 3000, says: closeTimeout, ends: closeTimeout,
		},
		{
			name: "peers that never close their end",
			play: func(h *engineFixture, c, b *peer) {
				b.send(wstest.Close(1001, ""))
				c.receive(wstest.Close(1001, ""))
				c.send(wstest.Close(1001, ""))
				b.expectRest("close 1001")
				c.expectRest("")
			},
			cause: Closed, by: Backend, code: 1001, ends: lingerTime,
		},
		{
			name: "a client that closes, sends on and reads nothing",
			play: func(h *engineFixture, c, b *peer) {
				c.send(wstest.Close(1000, ""))
				b.receive(wstest.Close(1000, ""))
				b.send(wstest.Close(1000, ""))
				b.Close()
				for {
					if _, err := c.Write(make([]byte, 1000)); err != nil {
						break
					}
				}
				c.expectRest("close 1000")
			},
			cause: Closed, by: Client, code: 1000,
		},
		{
			name: "the client ends its stream, the backend answers in full",
			play: func(h *engineFixture, c, b *peer) {
				c.send(ten)
				c.closeWrite()
				b.receive(ten)
				b.send(ten)
				b.answerClose("close 1001", wstest.Close(1001, ""))
				c.expectRest(`text "0123456789", close 1001`)
			},
			cause: Lost, by: Client, code: 1001,
		},
		{
			name: "the client is lost",
			play: func(h *engineFixture, c, b *peer) {
				c.reset()
				b.answerClose("close 1001", wstest.Close(1001, ""))
			},
			cause: Lost, by: Client, code: 1001,
		},
		{
			name: "the backend is lost",
			play: func(h *engineFixture, c, b *peer) {
				b.reset()
				c.answerClose("close 1014", wstest.Close(1014, ""))
			},
			cause: Lost, by: Backend, code: frame.StatusBadGateway,
		},
		{
			name: "the client is lost inside a frame",
			play: func(h *engineFixture, c, b *peer) {
				c.sendRaw(encode(Client, ten)[:9])
				io.ReadFull(b, make([]byte, 9))
				c.reset()
				b.expectRest("")
				b.Close()
			},
			cause: Lost, by: Client, code: 1001,
		},
		{
			name: "a violation of the client",
			play: func(h *engineFixture, c, b *peer) {
				c.sendRaw(append(encode(Client, ten), bad...))
				b.answerClose(`text "0123456789", close 1001`, wstest.Close(1001, ""))
				c.expectRest(`close 1002 "a frame with a reserved opcode"`)
				c.Close()
			},
			cause: Violation, by: Client, code: 1002,
		},
		{
			name: "a violation of the backend",
			play: func(h *engineFixture, c, b *peer) {
				b.sendRaw(append(encode(Backend, ten), encode(Client, ten)...))
				c.answerClose(`text "0123456789", close 1001`, wstest.Close(1001, ""))
				b.expectRest(`close 1002 "a masked frame"`)
			},
			cause: Violation, by: Backend, code: 1002, ends: lingerTime,
		},
		{
			name: "shutdown",
			play: func(h *engineFixture, c, b *peer) {
				h.End(all, Shutdown, 0)
				b.answerClose("close 1001", wstest.Close(1001, ""))
				c.answerClose(`close 1001 "shutdown"`, wstest.Close(1001, ""))
			},
			cause: Shutdown, by: Gateway, code: 1001,
		},
		{
			name: "the route is removed",
			play: func(h *engineFixture, c, b *peer) {
				h.End(all, RouteRemoved, 0)
				b.answerClose("close 1001", wstest.Close(1001, ""))
				c.answerClose(`close 1012 "route removed"`, wstest.Close(1012, ""))
			},
			cause: RouteRemoved, by: Gateway, code: 1012,
		},
		{
			name: "an end that nobody answers",
			play: func(h *engineFixture, c, b *peer) {
				h.End(all, BackendRemoved, 0)
				c.expectRest(`close 1012 "backend removed"`)
				b.expectRest("close 1001")
			},
			cause: BackendRemoved, by: Gateway, code: 1012, says: closeTimeout, ends: closeTimeout + lingerTime,
		},
		{
			name: "an end while the client does not read, then reads on",
			play: func(h *engineFixture, c, b *peer) {
				b.send(wstest.Text(strings.Repeat("x", 2400)))
				synctest.Wait()
				h.End(all, Shutdown, 0)
				b.answerClose("close 1001", wstest.Close(1001, ""))
				synctest.Wait()
				c.answerClose(`text (2400), close 1001 "shutdown"`, wstest.Close(1001, ""))
			},
			cause: Shutdown, by: Gateway, code: 1001,
		},
		{
			name: "an end while the client does not read, ever",
			play: func(h *engineFixture, c, b *peer) {
				b.send(wstest.Text(strings.Repeat("x", 2400)))
				synctest.Wait()
				h.End(all, Shutdown, 0)
				b.answerClose("close 1001", wstest.Close(1001, ""))
				h.Drained(context.Background())
				c.expectRest("+1024 bytes")
			},
			cause: Shutdown, by: Gateway, code: 1001, says: closeTimeout, ends: closeTimeout + lingerTime,
		},
		{
			name: "an end inside a frame that does not go on",
			play: func(h *engineFixture, c, b *peer) {
				c.sendRaw(encode(Client, ten)[:9])
				synctest.Wait()
				h.End(all, Shutdown, 0)
				c.expectRest(`close 1001 "shutdown"`)
				c.Close()
				b.expectRest("+9 bytes")
				b.Close()
			},
			// The client's leaving cuts the backend, which then has nothing to wait for.
			cause: Shutdown, by: Gateway, code: 1001, says: closeTimeout, ends: closeTimeout,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newFixture(t)
				c, b := h.join(narrow, narrow, Session{})
				start := time.Now()
				tt.play(h, c, b)
				h.Drained(context.Background())
				if took := time.Since(start); took != tt.ends {
					t.Errorf("the sockets were closed after %v; want %v", took, tt.ends)
				}
				r := h.report()
				if r.Cause != tt.cause || r.By != tt.by || r.Code != tt.code {
					t.Errorf("report = %s by the %s, %d (%s); want %s by the %s, %d", r.Cause, r.By, r.Code, r.Detail, tt.cause, tt.by, tt.code)
				}
				if want := tt.says; r.Duration != want {
					t.Errorf("duration = %v; want %v", r.Duration, want)
				}
			})
		})
	}
}

func TestAStalledTLSClientDoesNotDelayTheEngine(t *testing.T) {
	secure := overTLS(t, memoryLink(4<<10))
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		c, b := h.join(secure, narrow, Session{})
		go b.Write(encode(Backend, wstest.Text(strings.Repeat("x", 100_000))))
		synctest.Wait()
		start := time.Now()
		h.stop()
		if took := time.Since(start); took != cutTime {
			t.Errorf("Run returned after %v; want %v", took, cutTime)
		}
		h.expectReport(Shutdown, Gateway, 1001)
		c.reset()
		b.Close()
	})
}

func TestAnEngineThatStopsDoesNotLinger(t *testing.T) {
	tests := []struct {
		name  string
		play  func(h *engineFixture, c, b *peer)
		cause Cause
		by    Side
		code  ws.StatusCode
	}{
		{"an open session", func(*engineFixture, *peer, *peer) {}, Shutdown, Gateway, 1001},
		{"a session that waits for an answer", func(h *engineFixture, c, b *peer) {
			c.send(wstest.Close(3000, ""))
			b.receive(wstest.Close(3000, ""))
		}, Closed, Client, 3000},
		{"a session that lingers", func(h *engineFixture, c, b *peer) {
			c.send(wstest.Close(1000, ""))
			b.receive(wstest.Close(1000, ""))
			b.send(wstest.Close(1000, ""))
		}, Closed, Client, 1000},
		{"a session that was cut before", func(h *engineFixture, c, b *peer) {
			c.send(wstest.Close(1000, ""))
			synctest.Wait()
			h.End(all, Shutdown, 0)
			<-time.After(closeTimeout)
		}, Closed, Client, 1000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFixture(t)
				c, b := h.join(roomy, roomy, Session{})
				tt.play(h, c, b)
				synctest.Wait()
				start := time.Now()
				h.stop()
				if took := time.Since(start); took != cutTime {
					t.Errorf("Run returned after %v; want %v", took, cutTime)
				}
				h.expectReport(tt.cause, tt.by, tt.code)
			})
		})
	}
}

func TestASessionJoinedToAStoppedEngineIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		h.stop()
		c, b := h.join(roomy, roomy, Session{})
		c.expectRest(`close 1001 "shutdown"`)
		b.expectRest("close 1001")
		h.expectReport(Shutdown, Gateway, 1001)
		h.Drained(t.Context())
		if n := h.group.Open(); n != 0 {
			t.Errorf("Open() = %d; want 0", n)
		}
	})
}

func TestJoinWhileRunReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		h.join(roomy, roomy, Session{})
		var wg sync.WaitGroup
		wg.Go(h.stop)
		wg.Go(func() {
			for range 100 {
				h.join(roomy, roomy, Session{})
				runtime.Gosched()
			}
		})
		wg.Wait()
		h.Drained(t.Context())
		if n := len(h.reports); n != 101 {
			t.Errorf("%d reports; want 101", n)
		}
	})
}

func TestDrainedLetsSeveralWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		h.Drained(t.Context()) // nobody there
		c, b := h.join(roomy, roomy, Session{})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { h.Drained(t.Context()) })
		}
		h.Drained(short)
		if short.Err() == nil {
			t.Error("Drained returned with a session open")
		}
		c.Close()
		b.Close()
		wg.Wait()
	})
}

func TestEndSpreadsTheEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions, spread = 200, 10 * time.Second
		h := newFixture(t)
		ends := make(chan time.Duration, sessions)
		start := time.Now()
		for range sessions {
			c, b := h.join(roomy, roomy, Session{})
			go func() {
				c.answerClose(`close 1012 "route removed"`, wstest.Close(1012, ""))
				ends <- time.Since(start)
			}()
			go b.answerClose("close 1001", wstest.Close(1001, ""))
		}
		odd := func(v View) bool { return v.ID%2 == 1 }
		if n := h.End(odd, RouteRemoved, spread); n != sessions/2 {
			t.Errorf("End = %d; want %d", n, sessions/2)
		}
		var late int
		for range sessions / 2 {
			switch d := <-ends; {
			case d > spread:
				t.Errorf("a session ended after %v; want at most %v", d, spread)
			case d > spread/2:
				late++
			}
		}
		if late == 0 || late == sessions/2 {
			t.Errorf("%d of %d sessions ended in the second half", late, sessions/2)
		}
		synctest.Wait()
		if n := h.group.Open(); n != sessions/2 {
			t.Errorf("Open() = %d; want %d", n, sessions/2)
		}
		h.End(all, RouteRemoved, 0)
		for range sessions / 2 {
			<-ends
		}
		h.Drained(t.Context())
	})
}

func TestAStalledReaderHoldsTheWriterBack(t *testing.T) {
	for _, stalled := range []Side{Client, Backend} {
		t.Run(stalled.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const buffers = 2*1024 + idleBuffer + busyBuffer
				h := newFixture(t)
				c, b := h.join(narrow, narrow, Session{})
				to, from := c, b
				if stalled == Backend {
					to, from = b, c
				}
				message := wstest.Text(strings.Repeat("x", 300_000))
				go from.send(message, wstest.Close(1000, ""))
				synctest.Wait()
				// The other direction does not care.
				to.send(wstest.Text("still there"))
				from.receive(wstest.Text("still there"))
				var v View
				h.Each(func(x View) bool { v = x; return true })
				if n := max(v.FromClient.Bytes, v.FromBackend.Bytes); n > buffers {
					t.Errorf("the engine took %d bytes; want at most %d", n, buffers)
				}
				to.receive(message)
				to.answerClose("close 1000", wstest.Close(1000, ""))
				from.Close()
				h.Drained(t.Context())
				h.expectReport(Closed, stalled.other(), 1000)
			})
		})
	}
}

func TestCountsAreReadableWhileASessionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		owner := new(int)
		c, b := h.join(roomy, roomy, Session{Owner: owner})
		c.send(wstest.Text("abc"), wstest.Part(ws.OpText, "d"), wstest.Ping(""))
		b.send(binary("0123456789"), wstest.Pong(""), wstest.Pong(""))
		b.sendRaw(encode(Backend, binary("0123456789"))[:7])
		synctest.Wait()
		var seen []View
		h.Each(func(v View) bool { seen = append(seen, v); return true })
		if len(seen) != 1 {
			t.Fatalf("Each yielded %d sessions; want 1", len(seen))
		}
		want := View{
			ID: 1, Group: &h.group, Owner: owner, Opened: seen[0].Opened, Last: seen[0].Last,
			FromClient:  frame.Counts{Messages: 1, Frames: 2, Controls: 1, Bytes: 4},
			FromBackend: frame.Counts{Messages: 1, Frames: 1, Controls: 2, Bytes: 15},
		}
		if seen[0] != want {
			t.Errorf("view = %+v; want %+v", seen[0], want)
		}
		c.reset()
		b.reset()
		h.Drained(t.Context())
		r := h.report()
		want.Cause, want.By, want.Code = r.Cause, r.By, r.Code
		if r.View != want || r.Cause != Lost {
			t.Errorf("report = %+v; want %+v", r, want)
		}
		h.Each(func(View) bool { t.Error("Each yielded a session that is over"); return true })
	})
}

func TestEachStopsWhenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		for range 3 {
			c, b := h.join(roomy, roomy, Session{})
			defer c.reset()
			defer b.reset()
		}
		n := 0
		h.Each(func(View) bool { n++; return n < 2 })
		if n != 2 {
			t.Errorf("Each called %d times; want 2", n)
		}
	})
}

func TestAnIdleSessionHoldsNoLargeBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		var lent []weak.Pointer[[]byte]
		var mu sync.Mutex
		portableOf(h.Engine).buffers.New = func() any {
			b := make([]byte, busyBuffer)
			mu.Lock()
			defer mu.Unlock()
			lent = append(lent, weak.Make(&b))
			return &b
		}
		for range 20 {
			c, b := h.join(roomy, roomy, Session{})
			defer c.reset()
			defer b.reset()
			message := wstest.Text(strings.Repeat("x", 100_000))
			go c.send(message)
			b.receive(message)
			go b.send(message)
			c.receive(message)
		}
		synctest.Wait()
		runtime.GC() // empties the pool,
		runtime.GC() // and this its second chance
		for _, p := range lent {
			if p.Value() != nil {
				t.Fatal("a buffer is held although no session has anything to relay")
			}
		}
		if len(lent) == 0 {
			t.Error("no buffer was borrowed for large messages")
		}
	})
}

func TestRandomEndsLeaveNothingBehind(t *testing.T) {
	ten := encode(Client, binary("0123456789"))
	ways := []func(h *engineFixture, c, b *peer, id uint64){
		func(h *engineFixture, c, b *peer, id uint64) { c.reset() },
		func(h *engineFixture, c, b *peer, id uint64) { b.reset() },
		func(h *engineFixture, c, b *peer, id uint64) { c.closeWrite() },
		func(h *engineFixture, c, b *peer, id uint64) { b.Close() },
		func(h *engineFixture, c, b *peer, id uint64) { c.Write(ten[:9]); c.Close() },
		func(h *engineFixture, c, b *peer, id uint64) { c.Write(bytes.Repeat(ten, 1000)); c.reset() },
		func(h *engineFixture, c, b *peer, id uint64) {
			c.Write(encode(Client, wstest.Close(1000, "")))
			c.Close()
		},
		func(h *engineFixture, c, b *peer, id uint64) { b.Write(encode(Backend, wstest.Close(1000, ""))) },
		func(h *engineFixture, c, b *peer, id uint64) { c.Write([]byte("garbage")) },
		func(h *engineFixture, c, b *peer, id uint64) { b.Write(ten) },
		func(h *engineFixture, c, b *peer, id uint64) {
			h.End(func(v View) bool { return v.ID == id }, Shutdown, time.Duration(id%3)*time.Second)
		},
	}
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		const sessions = 3000
		h.reports = make(chan Report, sessions)
		var peers []*peer
		for i := range sessions {
			c, b := h.join(narrow, narrow, Session{})
			peers = append(peers, c, b)
			id := h.last
			for n, p := range peers[2*i:] {
				switch (i / 7) % 4 {
				case n: // one that does not read
				default:
					go io.Copy(io.Discard, p)
				}
			}
			go ways[i%len(ways)](h, c, b, id)
			go ways[(i/len(ways))%len(ways)](h, c, b, id)
		}
		synctest.Wait()
		<-time.After(10 * time.Second)
		h.End(all, Shutdown, 0) // those whose peers hold each other back
		h.Drained(t.Context())
		for _, p := range peers {
			p.Close()
		}
		for range sessions {
			if r := h.report(); r.Cause == 0 {
				t.Errorf("session %d ended for no cause", r.ID)
			}
		}
		if n := h.group.Open(); n != 0 || len(portableOf(h.Engine).sessions) != 0 {
			t.Errorf("%d sessions open, %d known; want none", n, len(portableOf(h.Engine).sessions))
		}
	}) // which fails if a goroutine is left
}
