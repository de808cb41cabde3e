package relay

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

func TestEveryBytePassesUnchanged(t *testing.T) {
	t.Parallel()
	for name, link := range relaytest.Links(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t)
			c, b := h.StartSession(link, link, Session{})
			ends := [2]struct {
				*relaytest.Peer
				got []byte
			}{{Peer: c}, {Peer: b}}
			var wg sync.WaitGroup
			for i := range ends {
				e, other := &ends[i], Side(i).Other()
				wg.Go(func() { e.Write(relaytest.Conversation(e.Side)) })
				wg.Go(func() {
					e.got = make([]byte, len(relaytest.Conversation(other)))
					io.ReadFull(e, e.got)
				})
			}
			wg.Wait()
			for _, e := range ends {
				if want := relaytest.Conversation(e.Side.Other()); !bytes.Equal(e.got, want) {
					t.Errorf("the %s got other bytes than the %s sent", e.Side, e.Side.Other())
				}
			}
			c.Send(wstest.Close(4000, "asked"))
			b.AnswerClose(`close 4000 "asked"`, wstest.Close(4000, "answered"))
			c.ExpectRest(`close 4000 "answered"`)
			c.Close()
			h.ExpectReport(Closed, Client, 4000)
		})
	}
}

func TestPeersThatSendByteByByte(t *testing.T) {
	t.Parallel()
	for name, link := range relaytest.Links(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t)
			c, b := h.StartSession(link, link, Session{})
			for _, p := range []*relaytest.Peer{c, b} {
				to := b
				if p == b {
					to = c
				}
				frames := []ws.Frame{
					wstest.Text("héllo"), wstest.Ping("ping"), frametest.Binary(strings.Repeat("x", 300)),
					wstest.Part(ws.OpText, "a"), wstest.Pong("pong"), wstest.Last("b"),
				}
				for _, one := range frametest.Encode(p.Side, frames...) {
					p.SendRaw([]byte{one})
				}
				to.Receive(frames...)
			}
			for _, one := range frametest.Encode(Backend, wstest.Close(1000, "enough")) {
				b.SendRaw([]byte{one})
			}
			c.Receive(wstest.Close(1000, "enough"))
			for _, one := range frametest.Encode(Client, wstest.Close(1000, "")) {
				c.SendRaw([]byte{one})
			}
			b.Receive(wstest.Close(1000, ""))
			b.Close()
			c.ExpectRest("")
			c.Close()
			h.ExpectReport(Closed, Backend, 1000)
		})
	}
}

func TestEarlyBytesGoFirst(t *testing.T) {
	t.Parallel()
	message := wstest.Text(strings.Repeat("early", 20_000))
	whole := frametest.Encode(Client, message, wstest.Ping("p"), wstest.Text("last"))
	for _, cut := range []int{0, 1, 2, 5, 13, 14, 100, 511, 512, 513, 32 << 10, 100_000, len(whole) - 12, len(whole) - 8, len(whole)} {
		for _, side := range []Side{Client, Backend} {
			whole := whole
			var o Session
			if side == Client {
				o.Client.Early = bytes.Clone(whole[:cut])
			} else {
				whole = frametest.Encode(Backend, message, wstest.Ping("p"), wstest.Text("last"))
				cut = min(cut, len(whole))
				o.Backend.Early = bytes.Clone(whole[:cut])
			}
			h := newFixture(t)
			c, b := h.StartSession(relaytest.Roomy, relaytest.Roomy, o)
			from, to := c, b
			if side == Backend {
				from, to = b, c
			}
			from.SendRaw(whole[cut:])
			to.Receive(message, wstest.Ping("p"), wstest.Text("last"))
			from.Reset()
			to.Reset()
			h.AwaitReport()
		}
	}
}

func TestEarlyBytesThatEndTheSession(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name            string
		o               func(o *Session)
		client, backend string
		cause           Cause
		by              Side
		code            ws.StatusCode
	}{
		{
			name: "a Close frame after the request",
			o: func(o *Session) {
				o.Client.Early = frametest.Encode(Client, wstest.Text("hi"), wstest.Close(1000, ""))
			},
			backend: `text "hi", close 1000`, client: `close 1000`, cause: Closed, by: Client, code: 1000,
		},
		{
			name: "a violation after the 101",
			o: func(o *Session) {
				o.Backend.Early = append(frametest.Encode(Backend, wstest.Text("hi")), "HTTP/1.1 400"...)
			},
			client: `text "hi", close 1001`, backend: `close 1002 "a frame with reserved bits set"`,
			cause: Violation, by: Backend, code: 1002,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t)
			var o Session
			tt.o(&o)
			c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, o)
			b.AnswerClose(tt.backend, wstest.Close(1000, ""))
			c.AnswerClose(tt.client, wstest.Close(1000, ""))
			h.ExpectReport(tt.cause, tt.by, tt.code)
		})
	}
}

// A browser whose page is left sends a Close frame and is gone, whatever is sent to it. On
// Linux, bytes in front of a reset can be read.
func TestACloseFrameIsHeardWhileItsSenderIsSwamped(t *testing.T) {
	t.Parallel()
	flood := frametest.Encode(Backend, frametest.Binary(strings.Repeat("x", 10_000)))
	for range 50 {
		h := newFixture(t)
		c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, Session{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if _, err := b.Write(flood); err != nil {
					return
				}
			}
		})
		io.ReadFull(c, make([]byte, 1<<20))
		c.Send(wstest.Close(1001, "left"))
		c.Close() // with unread bytes: a reset
		got, _ := io.ReadAll(io.LimitReader(b, int64(len(frametest.Encode(Client, wstest.Close(1001, "left"))))))
		b.Close()
		wg.Wait()
		if r := frametest.Parse(Client, false, got); r.String() != `close 1001 "left"` {
			t.Fatalf("the backend got %s; want the client's Close frame", &r)
		}
		h.ExpectReport(Closed, Client, 1001)
	}
}

func TestSessionsOnRealSocketsLeaveNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	h := newFixture(t)
	ways := []func(c, b *relaytest.Peer, id uint64){
		func(c, b *relaytest.Peer, id uint64) { c.Reset() },
		func(c, b *relaytest.Peer, id uint64) { b.Reset() },
		func(c, b *relaytest.Peer, id uint64) { c.Close() },
		func(c, b *relaytest.Peer, id uint64) { b.Close() },
		func(c, b *relaytest.Peer, id uint64) { c.Write([]byte{0x82, 0xff}); c.Close() },
		func(c, b *relaytest.Peer, id uint64) { b.Write(frametest.Encode(Client, frametest.Binary("masked"))) },
		func(c, b *relaytest.Peer, id uint64) {
			h.End(func(v View) bool { return v.ID == id }, Ending{Cause: Shutdown}, 0)
		},
	}
	const sessions = 200
	var wg, killers sync.WaitGroup
	for i := range sessions {
		c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, Session{})
		id := h.LastID
		for _, p := range []*relaytest.Peer{c, b} {
			wg.Go(func() {
				p.Write(frametest.Encode(p.Side, frametest.Binary(strings.Repeat("x", i*300))))
				io.Copy(io.Discard, p)
				p.Close()
			})
		}
		killers.Go(func() { ways[i%len(ways)](c, b, id) })
	}
	killers.Wait()
	h.Stop() // which aborts them at some point of their ends
	wg.Wait()
	for end := time.Now().Add(wstest.Guard); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left; there were %d", runtime.NumGoroutine(), before)
		}
	}
	if n := h.Group.Open(); n != 0 {
		t.Errorf("Open() = %d; want 0", n)
	}
}
