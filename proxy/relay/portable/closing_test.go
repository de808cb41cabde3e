package portable

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
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// Time in these tests is that of testing/synctest: it stands still while anything can go on, so
// what is expected of it is exact.

func TestHowASessionEnds(t *testing.T) {
	ten := wstest.Text("0123456789")
	bad := []byte{0x83, 0x80, 0, 0, 0, 0}
	tests := []struct {
		name            string
		play            func(h *engineFixture, c, b *relaytest.Peer)
		client, backend string
		cause           core.Cause
		by              core.Side
		code            ws.StatusCode
		says, ends      time.Duration // until the session is finished, until its connections are closed
	}{
		{
			name: "a Close frame and its answer",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				c.Send(wstest.Close(1000, "bye"))
				b.Receive(wstest.Close(1000, "bye"))
				b.Send(wstest.Close(1000, ""))
				b.Close()
				c.ExpectRest("close 1000")
				c.Close()
			},
			cause: core.Closed, by: core.Client, code: 1000,
		},
		{
			name: "a Close frame never answered",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				c.Send(wstest.Close(3000, ""))
				c.ExpectRest("close 3000")
				b.ExpectRest("close 3000")
				c.Close()
				b.Close()
			},
			cause: core.Closed, by: core.Client, code: 3000, says: core.CloseTimeout, ends: core.CloseTimeout,
		},
		{
			name: "peers that never close their end",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				b.Send(wstest.Close(1001, ""))
				c.Receive(wstest.Close(1001, ""))
				c.Send(wstest.Close(1001, ""))
				b.ExpectRest("close 1001")
				c.ExpectRest("")
			},
			cause: core.Closed, by: core.Backend, code: 1001, ends: core.LingerTime,
		},
		{
			name: "a client that closes, sends on and reads nothing",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				c.Send(wstest.Close(1000, ""))
				b.Receive(wstest.Close(1000, ""))
				b.Send(wstest.Close(1000, ""))
				b.Close()
				for {
					if _, err := c.Write(make([]byte, 1000)); err != nil {
						break
					}
				}
				c.ExpectRest("close 1000")
			},
			cause: core.Closed, by: core.Client, code: 1000,
		},
		{
			name: "the client ends its stream, the backend answers in full",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				c.Send(ten)
				c.CloseWrite()
				b.Receive(ten)
				b.Send(ten)
				b.AnswerClose("close 1001", wstest.Close(1001, ""))
				c.ExpectRest(`text "0123456789", close 1001`)
			},
			cause: core.Lost, by: core.Client, code: 1001,
		},
		{
			name: "the client is lost",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				c.Reset()
				b.AnswerClose("close 1001", wstest.Close(1001, ""))
			},
			cause: core.Lost, by: core.Client, code: 1001,
		},
		{
			name: "the backend is lost",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				b.Reset()
				c.AnswerClose("close 1014", wstest.Close(1014, ""))
			},
			cause: core.Lost, by: core.Backend, code: frame.StatusBadGateway,
		},
		{
			name: "the client is lost inside a frame",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				c.SendRaw(frametest.Encode(core.Client, ten)[:9])
				io.ReadFull(b, make([]byte, 9))
				c.Reset()
				b.ExpectRest("")
				b.Close()
			},
			cause: core.Lost, by: core.Client, code: 1001,
		},
		{
			name: "a violation of the client",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				c.SendRaw(append(frametest.Encode(core.Client, ten), bad...))
				b.AnswerClose(`text "0123456789", close 1001`, wstest.Close(1001, ""))
				c.ExpectRest(`close 1002 "a frame with a reserved opcode"`)
				c.Close()
			},
			cause: core.Violation, by: core.Client, code: 1002,
		},
		{
			name: "a violation of the backend",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				b.SendRaw(append(frametest.Encode(core.Backend, ten), frametest.Encode(core.Client, ten)...))
				c.AnswerClose(`text "0123456789", close 1001`, wstest.Close(1001, ""))
				b.ExpectRest(`close 1002 "a masked frame"`)
			},
			cause: core.Violation, by: core.Backend, code: 1002, ends: core.LingerTime,
		},
		{
			name: "shutdown",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
				b.AnswerClose("close 1001", wstest.Close(1001, ""))
				c.AnswerClose(`close 1001 "shutdown"`, wstest.Close(1001, ""))
			},
			cause: core.Shutdown, by: core.Gateway, code: 1001,
		},
		{
			name: "the route is removed",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				h.End(relaytest.All, core.Ending{Cause: core.RouteRemoved}, 0)
				b.AnswerClose("close 1001", wstest.Close(1001, ""))
				c.AnswerClose(`close 1012 "route removed"`, wstest.Close(1012, ""))
			},
			cause: core.RouteRemoved, by: core.Gateway, code: 1012,
		},
		{
			name: "an end that no side answers",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				h.End(relaytest.All, core.Ending{Cause: core.BackendRemoved}, 0)
				c.ExpectRest(`close 1012 "backend removed"`)
				b.ExpectRest("close 1001")
			},
			cause: core.BackendRemoved, by: core.Gateway, code: 1012, says: core.CloseTimeout, ends: core.CloseTimeout + core.LingerTime,
		},
		{
			name: "an end while the client does not read, then reads on",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				b.Send(wstest.Text(strings.Repeat("x", 2400)))
				synctest.Wait()
				h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
				b.AnswerClose("close 1001", wstest.Close(1001, ""))
				synctest.Wait()
				c.AnswerClose(`text (2400), close 1001 "shutdown"`, wstest.Close(1001, ""))
			},
			cause: core.Shutdown, by: core.Gateway, code: 1001,
		},
		{
			name: "an end while the client does not read, ever",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				b.Send(wstest.Text(strings.Repeat("x", 2400)))
				synctest.Wait()
				h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
				b.AnswerClose("close 1001", wstest.Close(1001, ""))
				h.Drained(context.Background())
				c.ExpectRest("+1024 bytes")
			},
			cause: core.Shutdown, by: core.Gateway, code: 1001, says: core.CloseTimeout, ends: core.CloseTimeout + core.LingerTime,
		},
		{
			name: "an end inside a frame that does not go on",
			play: func(h *engineFixture, c, b *relaytest.Peer) {
				c.SendRaw(frametest.Encode(core.Client, ten)[:9])
				synctest.Wait()
				h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
				c.ExpectRest(`close 1001 "shutdown"`)
				c.Close()
				b.ExpectRest("+9 bytes")
				b.Close()
			},
			// The client is gone, so the frame to the backend stays incomplete, and nothing
			// is waited for any more.
			cause: core.Shutdown, by: core.Gateway, code: 1001, says: core.CloseTimeout, ends: core.CloseTimeout,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newFixture(t)
				c, b := h.StartSession(relaytest.Narrow, relaytest.Narrow, core.Session{})
				start := time.Now()
				tt.play(h, c, b)
				h.Drained(context.Background())
				if took := time.Since(start); took != tt.ends {
					t.Errorf("the sockets were closed after %v; want %v", took, tt.ends)
				}
				r := h.AwaitReport()
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
	secure := relaytest.OverTLS(t, relaytest.MemoryLink(4<<10))
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		c, b := h.StartSession(secure, relaytest.Narrow, core.Session{})
		go b.Write(frametest.Encode(core.Backend, wstest.Text(strings.Repeat("x", 100_000))))
		synctest.Wait()
		start := time.Now()
		h.Stop()
		if took := time.Since(start); took != core.AbortLingerTime {
			t.Errorf("Run returned after %v; want %v", took, core.AbortLingerTime)
		}
		h.ExpectReport(core.Shutdown, core.Gateway, 1001)
		c.Reset()
		b.Close()
	})
}

func TestAnEngineThatStopsDoesNotLinger(t *testing.T) {
	tests := []struct {
		name  string
		play  func(h *engineFixture, c, b *relaytest.Peer)
		cause core.Cause
		by    core.Side
		code  ws.StatusCode
	}{
		{"an open session", func(*engineFixture, *relaytest.Peer, *relaytest.Peer) {}, core.Shutdown, core.Gateway, 1001},
		{"a session that waits for an answer", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(3000, ""))
			b.Receive(wstest.Close(3000, ""))
		}, core.Closed, core.Client, 3000},
		{"a session that lingers", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(1000, ""))
			b.Receive(wstest.Close(1000, ""))
			b.Send(wstest.Close(1000, ""))
		}, core.Closed, core.Client, 1000},
		{"a session that was cut before", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(1000, ""))
			synctest.Wait()
			h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
			<-time.After(core.CloseTimeout)
		}, core.Closed, core.Client, 1000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFixture(t)
				c, b := h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{})
				tt.play(h, c, b)
				synctest.Wait()
				start := time.Now()
				h.Stop()
				if took := time.Since(start); took != core.AbortLingerTime {
					t.Errorf("Run returned after %v; want %v", took, core.AbortLingerTime)
				}
				h.ExpectReport(tt.cause, tt.by, tt.code)
			})
		})
	}
}

func TestASessionJoinedToAStoppedEngineIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		h.Stop()
		c, b := h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{})
		c.ExpectRest(`close 1001 "shutdown"`)
		b.ExpectRest("close 1001")
		h.ExpectReport(core.Shutdown, core.Gateway, 1001)
		h.Drained(t.Context())
		if n := h.Group.Open(); n != 0 {
			t.Errorf("Open() = %d; want 0", n)
		}
	})
}

func TestJoinWhileRunReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{})
		var wg sync.WaitGroup
		wg.Go(h.Stop)
		wg.Go(func() {
			for range 100 {
				h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{})
				runtime.Gosched()
			}
		})
		wg.Wait()
		h.Drained(t.Context())
		if n := len(h.Reports); n != 101 {
			t.Errorf("%d reports; want 101", n)
		}
	})
}

func TestDrainedLetsSeveralWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		h.Drained(t.Context()) // there is no session
		c, b := h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{})
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
			c, b := h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{})
			go func() {
				c.AnswerClose(`close 1012 "route removed"`, wstest.Close(1012, ""))
				ends <- time.Since(start)
			}()
			go b.AnswerClose("close 1001", wstest.Close(1001, ""))
		}
		odd := func(v core.View) bool { return v.ID%2 == 1 }
		if n := h.End(odd, core.Ending{Cause: core.RouteRemoved}, spread); n != sessions/2 {
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
		if n := h.Group.Open(); n != sessions/2 {
			t.Errorf("Open() = %d; want %d", n, sessions/2)
		}
		h.End(relaytest.All, core.Ending{Cause: core.RouteRemoved}, 0)
		for range sessions / 2 {
			<-ends
		}
		h.Drained(t.Context())
	})
}

func TestAStalledReaderHoldsTheWriterBack(t *testing.T) {
	for _, stalled := range []core.Side{core.Client, core.Backend} {
		t.Run(stalled.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const buffers = 2*1024 + idleBuffer + busyBuffer
				h := newFixture(t)
				c, b := h.StartSession(relaytest.Narrow, relaytest.Narrow, core.Session{})
				to, from := c, b
				if stalled == core.Backend {
					to, from = b, c
				}
				message := wstest.Text(strings.Repeat("x", 300_000))
				go from.Send(message, wstest.Close(1000, ""))
				synctest.Wait()
				// The other direction goes on.
				to.Send(wstest.Text("still there"))
				from.Receive(wstest.Text("still there"))
				var v core.View
				h.Each(func(x core.View) bool { v = x; return true })
				if n := max(v.FromClient.Bytes, v.FromBackend.Bytes); n > buffers {
					t.Errorf("the engine took %d bytes; want at most %d", n, buffers)
				}
				to.Receive(message)
				to.AnswerClose("close 1000", wstest.Close(1000, ""))
				from.Close()
				h.Drained(t.Context())
				h.ExpectReport(core.Closed, stalled.Other(), 1000)
			})
		})
	}
}

func TestCountsAreReadableWhileASessionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		owner := new(int)
		c, b := h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{Owner: owner})
		c.Send(wstest.Text("abc"), wstest.Part(ws.OpText, "d"), wstest.Ping(""))
		b.Send(frametest.Binary("0123456789"), wstest.Pong(""), wstest.Pong(""))
		b.SendRaw(frametest.Encode(core.Backend, frametest.Binary("0123456789"))[:7])
		synctest.Wait()
		var seen []core.View
		h.Each(func(v core.View) bool { seen = append(seen, v); return true })
		if len(seen) != 1 {
			t.Fatalf("Each yielded %d sessions; want 1", len(seen))
		}
		want := core.View{
			ID: 1, Group: &h.Group, Owner: owner, Opened: seen[0].Opened, Last: seen[0].Last,
			FromClient:  frame.Counts{Messages: 1, Frames: 2, Controls: 1, Bytes: 4},
			FromBackend: frame.Counts{Messages: 1, Frames: 1, Controls: 2, Bytes: 15},
		}
		if seen[0] != want {
			t.Errorf("view = %+v; want %+v", seen[0], want)
		}
		c.Reset()
		b.Reset()
		h.Drained(t.Context())
		r := h.AwaitReport()
		want.Cause, want.By, want.Code = r.Cause, r.By, r.Code
		if r.View != want || r.Cause != core.Lost {
			t.Errorf("report = %+v; want %+v", r, want)
		}
		h.Each(func(core.View) bool { t.Error("Each yielded a session that is over"); return true })
	})
}

func TestEachStopsWhenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		for range 3 {
			c, b := h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{})
			defer c.Reset()
			defer b.Reset()
		}
		n := 0
		h.Each(func(core.View) bool { n++; return n < 2 })
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
		h.engine.buffers.New = func() any {
			b := make([]byte, busyBuffer)
			mu.Lock()
			defer mu.Unlock()
			lent = append(lent, weak.Make(&b))
			return &b
		}
		for range 20 {
			c, b := h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{})
			defer c.Reset()
			defer b.Reset()
			message := wstest.Text(strings.Repeat("x", 100_000))
			go c.Send(message)
			b.Receive(message)
			go b.Send(message)
			c.Receive(message)
		}
		synctest.Wait()
		runtime.GC() // empties the pool
		runtime.GC() // and what the pool keeps of it for a second time
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
	ten := frametest.Encode(core.Client, frametest.Binary("0123456789"))
	ways := []func(h *engineFixture, c, b *relaytest.Peer, id uint64){
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) { c.Reset() },
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) { b.Reset() },
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) { c.CloseWrite() },
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) { b.Close() },
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) { c.Write(ten[:9]); c.Close() },
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) { c.Write(bytes.Repeat(ten, 1000)); c.Reset() },
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) {
			c.Write(frametest.Encode(core.Client, wstest.Close(1000, "")))
			c.Close()
		},
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) {
			b.Write(frametest.Encode(core.Backend, wstest.Close(1000, "")))
		},
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) { c.Write([]byte("garbage")) },
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) { b.Write(ten) },
		func(h *engineFixture, c, b *relaytest.Peer, id uint64) {
			h.End(func(v core.View) bool { return v.ID == id }, core.Ending{Cause: core.Shutdown}, time.Duration(id%3)*time.Second)
		},
	}
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t)
		const sessions = 3000
		h.Reports = make(chan core.Report, sessions)
		var peers []*relaytest.Peer
		for i := range sessions {
			c, b := h.StartSession(relaytest.Narrow, relaytest.Narrow, core.Session{})
			peers = append(peers, c, b)
			id := h.LastID
			for n, p := range peers[2*i:] {
				switch (i / 7) % 4 {
				case n: // a peer that does not read
				default:
					go io.Copy(io.Discard, p)
				}
			}
			go ways[i%len(ways)](h, c, b, id)
			go ways[(i/len(ways))%len(ways)](h, c, b, id)
		}
		synctest.Wait()
		<-time.After(10 * time.Second)
		h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0) // for those whose peers block each other
		h.Drained(t.Context())
		for _, p := range peers {
			p.Close()
		}
		for range sessions {
			if r := h.AwaitReport(); r.Cause == 0 {
				t.Errorf("session %d ended for no cause", r.ID)
			}
		}
		if n := h.Group.Open(); n != 0 || len(h.engine.sessions) != 0 {
			t.Errorf("%d sessions open, %d known; want none", n, len(h.engine.sessions))
		}
	}) // which fails if a goroutine is left
}
