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
)

// links are the kinds of connection that sessions are made of.
func links(t testing.TB) map[string]link {
	return map[string]link{
		"loopback":          loopback,
		"TLS over loopback": overTLS(t, loopback),
		"memory":            memoryLink(1000),
	}
}

// conversation is what a side says in one go, with everything a gateway might
// trip over.
func conversation(side Side) []byte {
	var b bytes.Buffer
	for _, n := range []int{0, 1, 125, 126, 127, 511, 512, 513, 65535, 65536, 1 << 20} {
		b.Write(encode(side, binary(strings.Repeat("x", n))))
	}
	b.Write(encode(side,
		wstest.Part(ws.OpText, "frag"), wstest.Ping(strings.Repeat("p", 125)),
		ws.NewFrame(ws.OpContinuation, false, nil), wstest.Pong(""), wstest.Last("mented"),
		wstest.Text("no text \xff"), wstest.Part(ws.OpBinary, ""), wstest.Last(""),
	))
	b.Write(bytes.Repeat(encode(side, wstest.Text("tiny")), 10_000))
	return b.Bytes()
}

func TestEveryBytePassesUnchanged(t *testing.T) {
	t.Parallel()
	for name, link := range links(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t)
			c, b := h.join(link, link, Session{})
			ends := [2]struct {
				*peer
				got []byte
			}{{peer: c}, {peer: b}}
			var wg sync.WaitGroup
			for i := range ends {
				e, other := &ends[i], Side(i).other()
				wg.Go(func() { e.Write(conversation(e.side)) })
				wg.Go(func() {
					e.got = make([]byte, len(conversation(other)))
					io.ReadFull(e, e.got)
				})
			}
			wg.Wait()
			for _, e := range ends {
				if want := conversation(e.side.other()); !bytes.Equal(e.got, want) {
					t.Errorf("the %s got other bytes than the %s sent", e.side, e.side.other())
				}
			}
			c.send(wstest.Close(4000, "asked"))
			b.answerClose(`close 4000 "asked"`, wstest.Close(4000, "answered"))
			c.expectRest(`close 4000 "answered"`)
			c.Close()
			h.expectReport(Closed, Client, 4000)
		})
	}
}

func TestPeersThatSendByteByByte(t *testing.T) {
	t.Parallel()
	for name, link := range links(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t)
			c, b := h.join(link, link, Session{})
			for _, p := range []*peer{c, b} {
				to := b
				if p == b {
					to = c
				}
				frames := []ws.Frame{
					wstest.Text("héllo"), wstest.Ping("ping"), binary(strings.Repeat("x", 300)),
					wstest.Part(ws.OpText, "a"), wstest.Pong("pong"), wstest.Last("b"),
				}
				for _, one := range encode(p.side, frames...) {
					p.sendRaw([]byte{one})
				}
				to.receive(frames...)
			}
			for _, one := range encode(Backend, wstest.Close(1000, "enough")) {
				b.sendRaw([]byte{one})
			}
			c.receive(wstest.Close(1000, "enough"))
			for _, one := range encode(Client, wstest.Close(1000, "")) {
				c.sendRaw([]byte{one})
			}
			b.receive(wstest.Close(1000, ""))
			b.Close()
			c.expectRest("")
			c.Close()
			h.expectReport(Closed, Backend, 1000)
		})
	}
}

func TestEarlyBytesGoFirst(t *testing.T) {
	t.Parallel()
	message := wstest.Text(strings.Repeat("early", 20_000))
	whole := encode(Client, message, wstest.Ping("p"), wstest.Text("last"))
	for _, cut := range []int{0, 1, 2, 5, 13, 14, 100, 511, 512, 513, 32 << 10, 100_000, len(whole) - 12, len(whole) - 8, len(whole)} {
		for _, side := range []Side{Client, Backend} {
			whole := whole
			var o Session
			if side == Client {
				o.Client.Early = bytes.Clone(whole[:cut])
			} else {
				whole = encode(Backend, message, wstest.Ping("p"), wstest.Text("last"))
				cut = min(cut, len(whole))
				o.Backend.Early = bytes.Clone(whole[:cut])
			}
			h := newFixture(t)
			c, b := h.join(roomy, roomy, o)
			from, to := c, b
			if side == Backend {
				from, to = b, c
			}
			from.sendRaw(whole[cut:])
			to.receive(message, wstest.Ping("p"), wstest.Text("last"))
			from.reset()
			to.reset()
			h.report()
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
			name: "a Close frame behind the request",
			o: func(o *Session) {
				o.Client.Early = encode(Client, wstest.Text("hi"), wstest.Close(1000, ""))
			},
			backend: `text "hi", close 1000`, client: `close 1000`, cause: Closed, by: Client, code: 1000,
		},
		{
			name: "a violation behind the 101",
			o: func(o *Session) {
				o.Backend.Early = append(encode(Backend, wstest.Text("hi")), "HTTP/1.1 400"...)
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
			c, b := h.join(loopback, loopback, o)
			b.answerClose(tt.backend, wstest.Close(1000, ""))
			c.answerClose(tt.client, wstest.Close(1000, ""))
			h.expectReport(tt.cause, tt.by, tt.code)
		})
	}
}

// A browser whose page is left closes and is gone, whatever it is being sent.
// What stands before a reset can be read on Linux.
func TestACloseFrameIsHeardWhileItsSenderIsSwamped(t *testing.T) {
	t.Parallel()
	flood := encode(Backend, binary(strings.Repeat("x", 10_000)))
	for range 50 {
		h := newFixture(t)
		c, b := h.join(loopback, loopback, Session{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if _, err := b.Write(flood); err != nil {
					return
				}
			}
		})
		io.ReadFull(c, make([]byte, 1<<20))
		c.send(wstest.Close(1001, "left"))
		c.Close() // with unread bytes: a reset
		got, _ := io.ReadAll(io.LimitReader(b, int64(len(encode(Client, wstest.Close(1001, "left"))))))
		b.Close()
		wg.Wait()
		if r := parseStream(Client, false, got); r.String() != `close 1001 "left"` {
			t.Fatalf("the backend got %s; want the client's Close frame", &r)
		}
		h.expectReport(Closed, Client, 1001)
	}
}

func TestSessionsOnRealSocketsLeaveNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	h := newFixture(t)
	ways := []func(c, b *peer, id uint64){
		func(c, b *peer, id uint64) { c.reset() },
		func(c, b *peer, id uint64) { b.reset() },
		func(c, b *peer, id uint64) { c.Close() },
		func(c, b *peer, id uint64) { b.Close() },
		func(c, b *peer, id uint64) { c.Write([]byte{0x82, 0xff}); c.Close() },
		func(c, b *peer, id uint64) { b.Write(encode(Client, binary("masked"))) },
		func(c, b *peer, id uint64) { h.End(func(v View) bool { return v.ID == id }, Shutdown, 0) },
	}
	const sessions = 200
	var wg, killers sync.WaitGroup
	for i := range sessions {
		c, b := h.join(loopback, loopback, Session{})
		id := h.last
		for _, p := range []*peer{c, b} {
			wg.Go(func() {
				p.Write(encode(p.side, binary(strings.Repeat("x", i*300))))
				io.Copy(io.Discard, p)
				p.Close()
			})
		}
		killers.Go(func() { ways[i%len(ways)](c, b, id) })
	}
	killers.Wait()
	h.stop() // which cuts them at some point of their ends
	wg.Wait()
	for end := time.Now().Add(wstest.Guard); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left; there were %d", runtime.NumGoroutine(), before)
		}
	}
	if n := h.group.Open(); n != 0 {
		t.Errorf("Open() = %d; want 0", n)
	}
}
