//go:build linux && !portable

package epoll

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/loop"
	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

var suites = []uint16{
	tls.TLS_AES_128_GCM_SHA256, tls.TLS_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
}

// arrangements are the sides of a session that have TLS.
var arrangements = []struct {
	name  string
	sides int
	links func(secure, plain relaytest.Link) (client, backend relaytest.Link)
}{
	{"client", 1, func(secure, plain relaytest.Link) (client, backend relaytest.Link) { return secure, plain }},
	{"backend", 1, func(secure, plain relaytest.Link) (client, backend relaytest.Link) { return plain, secure }},
	{"both", 2, func(secure, plain relaytest.Link) (client, backend relaytest.Link) { return secure, secure }},
}

func TestTLSSessionsRunOnTheLoops(t *testing.T) {
	for _, id := range suites {
		secure := relaytest.OverTLS(t, relaytest.Loopback, relaytest.Suite(id))
		for _, of := range arrangements {
			t.Run(tls.CipherSuiteName(id)+", "+of.name, func(t *testing.T) {
				h := newFixture(t)
				client, backend := of.links(secure, relaytest.Loopback)
				c, b := h.StartSession(client, backend, core.Session{})
				for _, p := range []*relaytest.Peer{c, b} {
					if s, ok := p.Conn.(*tls.Conn); ok && s.ConnectionState().CipherSuite != id {
						t.Fatalf("the %s has %s", p.Side, tls.CipherSuiteName(s.ConnectionState().CipherSuite))
					}
				}
				relaytest.Converse(t, c, b)
				c.Send(wstest.Close(4000, "asked"))
				b.AnswerClose(`close 4000 "asked"`, wstest.Close(4000, "answered"))
				c.ExpectRest(`close 4000 "answered"`)
				c.Close()
				h.ExpectReport(core.Closed, core.Client, 4000)
				h.expectTakenOver(of.sides)
				h.expectNoSecrets()
			})
		}
	}
}

// However a session ends, a side that can still be reached gets close_notify before the end of
// the stream: the peers accept nothing else as an end.
func TestTLSSessionsEndWithCloseNotify(t *testing.T) {
	bad := []byte{0x83, 0x80, 0, 0, 0, 0}
	tests := []struct {
		name  string
		play  func(h *engineFixture, c, b *relaytest.Peer)
		cause core.Cause
		by    core.Side
		code  ws.StatusCode
	}{
		{"a Close frame of the client", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(1000, "bye"))
			b.AnswerClose(`close 1000 "bye"`, wstest.Close(1000, ""))
			c.ExpectRest("close 1000")
		}, core.Closed, core.Client, 1000},
		{"a Close frame of the backend", func(h *engineFixture, c, b *relaytest.Peer) {
			b.Send(wstest.Close(3000, ""))
			c.Receive(wstest.Close(3000, ""))
			c.Send(wstest.Close(3000, ""))
			c.ExpectRest("")
			b.Receive(wstest.Close(3000, ""))
			b.CloseWrite()
			b.ExpectRest("")
		}, core.Closed, core.Backend, 3000},
		{"a Close frame that is not answered", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(3000, ""))
			b.Receive(wstest.Close(3000, ""))
			h.advanceTime(core.CloseTimeout)
			c.ExpectRest("close 3000")
			b.ExpectRest("")
		}, core.Closed, core.Client, 3000},
		{"a backend that does not close", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(1000, ""))
			b.Receive(wstest.Close(1000, ""))
			b.Send(wstest.Close(1000, ""))
			c.ExpectRest("close 1000")
			h.until(h.LastID, "over", func(_ *loopSessions, k handle) bool { return k.Finished() })
			h.advanceTime(core.LingerTime)
			b.ExpectRest("")
		}, core.Closed, core.Client, 1000},
		{"a backend that waits for close_notify in return", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(1000, ""))
			b.ExpectClose("close 1000")
			b.Send(wstest.Close(1000, ""))
			c.ExpectRest("close 1000")
			notify(b)
			h.until(h.LastID, "heard of the end", func(_ *loopSessions, k handle) bool { return k.sockets[core.Backend].is(readEnded) })
			c.Close()
			b.ExpectRest("")
		}, core.Closed, core.Client, 1000},
		{"a violation", func(h *engineFixture, c, b *relaytest.Peer) {
			c.SendRaw(bad)
			b.AnswerClose("close 1001", wstest.Close(1001, ""))
			c.ExpectRest(`close 1002 "a frame with a reserved opcode"`)
		}, core.Violation, core.Client, 1002},
		{"shutdown", func(h *engineFixture, c, b *relaytest.Peer) {
			h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
			b.AnswerClose("close 1001", wstest.Close(1001, ""))
			c.Send(wstest.Close(1001, ""))
			c.ExpectRest(`close 1001 "shutdown"`)
		}, core.Shutdown, core.Gateway, 1001},
		{"the engine stops", func(h *engineFixture, c, b *relaytest.Peer) {
			go h.Stop()
			c.ExpectRest(`close 1001 "shutdown"`)
			b.ExpectRest("close 1001")
		}, core.Shutdown, core.Gateway, 1001},
		{"the client ends its stream, the backend answers in full", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Text("last"))
			c.CloseWrite()
			b.Receive(wstest.Text("last"))
			b.Send(wstest.Text("answer"))
			b.AnswerClose("close 1001", wstest.Close(1001, ""))
			c.ExpectRest(`text "answer", close 1001`)
		}, core.Lost, core.Client, 1001},
		{"the client is lost", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Reset()
			b.ExpectClose("close 1001")
			b.Send(wstest.Close(1001, ""))
			b.CloseWrite()
			b.ExpectRest("")
		}, core.Lost, core.Client, 1001},
		{"the backend is lost", func(h *engineFixture, c, b *relaytest.Peer) {
			b.Reset()
			c.Receive(wstest.Close(1014, ""))
			c.Send(wstest.Close(1014, ""))
			c.ExpectRest("")
		}, core.Lost, core.Backend, 1014},
		{"the client is lost inside a frame", func(h *engineFixture, c, b *relaytest.Peer) {
			c.SendRaw(frametest.Encode(core.Client, wstest.Text("0123456789"))[:9])
			io.ReadFull(b, make([]byte, 9))
			c.CloseWrite()
			c.ExpectRest("close 1001")
			b.ExpectRest("")
		}, core.Lost, core.Client, 1001},
	}
	for _, tt := range tests {
		for _, over := range []string{"TLS 1.3", "TLS 1.2"} {
			t.Run(tt.name+", "+over, func(t *testing.T) {
				secure := relaytest.ForgedTLS(t, relaytest.Loopback)
				var taps [2]*recordingConn
				if over == "TLS 1.2" { // crypto/tls accepts an end without; the type of the last record tells
					secure = relaytest.OverTLS(t, func(t testing.TB, side core.Side) (gateway, peer net.Conn) {
						g, p := relaytest.Loopback(t, side)
						taps[side] = &recordingConn{Conn: p}
						return g, taps[side]
					}, relaytest.Suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256))
				}
				h := newFixture(t)
				c, b := h.StartSession(secure, secure, core.Session{})
				tt.play(h, c, b)
				for _, p := range taps {
					if p != nil && p.SetDeadline(time.Time{}) == nil && p.last() != relaytest.TypeAlert { // a connection that the test has closed was not read to its end
						t.Errorf("the last record is of type %d; want an alert", p.last())
					}
				}
				c.Close()
				b.Close()
				h.ExpectReport(tt.cause, tt.by, tt.code)
				h.expectTakenOver(2)
			})
		}
	}
}

// notify sends a close_notify and leaves the stream below it open.
func notify(p *relaytest.Peer) {
	if f, ok := p.Conn.(*relaytest.Forger); ok {
		p.SendRecord(f.Seal(relaytest.TypeAlert, 1, 0))
	} else {
		p.Conn.(*tls.Conn).CloseWrite()
	}
}

// recordingConn is a connection that keeps a copy of what is read from it.
type recordingConn struct {
	net.Conn
	got []byte
}

func (p *recordingConn) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.got = append(p.got, b[:n]...)
	return n, err
}

func (p *recordingConn) CloseWrite() error { return wire.CloseWrite(p.Conn) }

func (p *recordingConn) NetConn() net.Conn { return p.Conn }

// last returns the type of the last whole record.
func (p *recordingConn) last() (typ byte) {
	for rest := p.got; len(rest) > 5; {
		n := 5 + int(rest[3])<<8 + int(rest[4])
		if len(rest) < n {
			break
		}
		typ, rest = rest[0], rest[n:]
	}
	return typ
}

// What a peer with the keys can do to an open session. The other side gets the Close frame of a
// lost connection, and the peer the alert of RFC 8446, if there is one.
func TestHostileTLSPeer(t *testing.T) {
	flood := func(f *relaytest.Forger, record func() []byte) (b []byte) {
		for range 100 {
			b = append(b, record()...)
		}
		return b
	}
	tests := []struct {
		name   string
		send   func(f *relaytest.Forger) []byte
		closes bool   // the stream ends after it
		want   string // how the gateway's stream ends
		detail string
	}{
		{"a forged record", func(f *relaytest.Forger) []byte {
			b := f.Seal(relaytest.TypeData, 1, 2, 3)
			b[len(b)-1] ^= 1
			return b
		}, false, "alert 20", "not authentic"},
		{"a record twice", func(f *relaytest.Forger) []byte {
			b := f.Seal(relaytest.TypeData)
			return append(b, b...)
		}, false, "alert 20", "not authentic"},
		{"a record above the limit", func(f *relaytest.Forger) []byte { return []byte{23, 3, 3, 0xff, 0xff} }, false, "alert 22", "above the limit"},
		{"too much in a record", func(f *relaytest.Forger) []byte { return f.Seal(relaytest.TypeData, make([]byte, 1<<14+1)...) }, false, "alert 22", "too much"},
		{"a record in the clear", func(f *relaytest.Forger) []byte { return []byte{22, 3, 3, 0, 1, 1} }, false, "alert 10", "not encrypted"},
		{"HTTP", func(f *relaytest.Forger) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, false, "alert 10", "not encrypted"},
		{"a ClientHello", func(f *relaytest.Forger) []byte { return f.Seal(relaytest.TypeHandshake, 1, 0, 0, 0) }, false, "alert 10", "behind the handshake"},
		{"empty records", func(f *relaytest.Forger) []byte {
			return flood(f, func() []byte { return f.Seal(relaytest.TypeData) })
		}, false, "alert 10", "without content"},
		{"key updates", func(f *relaytest.Forger) []byte {
			return flood(f, func() []byte { return f.Rekey(1) })
		}, false, "alert 10", "without content"},
		{"a fatal alert", func(f *relaytest.Forger) []byte { return f.Seal(relaytest.TypeAlert, 2, 80) }, false, "an end without close_notify", "the peer sent alert 80"},
		{"an end between records", func(f *relaytest.Forger) []byte { return nil }, true, "EOF", "without a Close frame"},
		{"an end inside a record", func(f *relaytest.Forger) []byte { return f.Seal(relaytest.TypeData, 1, 2, 3)[:10] }, true, "EOF", "unexpected EOF"},
		{"an end inside the head of a record", func(f *relaytest.Forger) []byte { return f.Seal(relaytest.TypeData, 1, 2, 3)[:3] }, true, "EOF", "unexpected EOF"},
	}
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	for _, tt := range tests {
		for _, by := range []core.Side{core.Client, core.Backend} {
			t.Run(tt.name+" by the "+by.String(), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.StartSession(secure, secure, core.Session{})
				peers := [2]*relaytest.Peer{c, b}
				x, y := peers[by], peers[by.Other()]
				x.Send(wstest.Text("good"))
				y.Receive(wstest.Text("good"))
				h.expectTakenOver(2)
				if h.countSecretBytes() == 0 {
					t.Fatal("the secrets of an open session are nowhere to be seen")
				}
				x.SendRecord(x.Forger().Seal(relaytest.TypeData, frametest.Encode(by, wstest.Text("last"))...), tt.send(x.Forger()))
				if tt.closes {
					x.Forger().Conn.(*net.TCPConn).CloseWrite()
				}
				code := relaytest.LostCode(by)
				y.AnswerClose(fmt.Sprintf(`text "last", close %d`, code), wstest.Close(int(code), ""))
				_, err := io.Copy(io.Discard, x)
				if got := fmt.Sprint(cmp.Or(err, io.EOF)); got != tt.want {
					t.Errorf("the stream to the %s ended with %q; want %q", by, got, tt.want)
				}
				x.Close()
				r := h.AwaitReport()
				if r.Cause != core.Lost || r.By != by || r.Code != code || !strings.Contains(r.Detail, tt.detail) {
					t.Errorf("report = %s by the %s, %d (%s); want lost by the %s, %d (...%s...)", r.Cause, r.By, r.Code, r.Detail, by, code, tt.detail)
				}
				h.expectNoSecrets()
			})
		}
	}
}

// Bytes that are on their way when a session begins go to the other side, wherever the
// take-over cuts them.
func TestTLSSessionThatBeginsInTheMiddle(t *testing.T) {
	const update = 5 + 5 + 1 + 16 // bytes of a record with a KeyUpdate
	hello := frametest.Encode(core.Client, wstest.Text("hello"), wstest.Ping("p"))
	data := func(f *relaytest.Forger) []byte { return f.Seal(relaytest.TypeData, hello...) }
	parts := func(f *relaytest.Forger) []byte {
		return append(f.Seal(relaytest.TypeData, hello[:3]...), f.Seal(relaytest.TypeData, hello[3:]...)...)
	}
	after := func(first func(f *relaytest.Forger) []byte) func(f *relaytest.Forger) []byte {
		return func(f *relaytest.Forger) []byte { return append(first(f), data(f)...) }
	}
	told := after(func(f *relaytest.Forger) []byte { return f.Rekey(0) })
	asked := after(func(f *relaytest.Forger) []byte { return f.Rekey(1) })
	tests := []struct {
		name    string
		send    func(f *relaytest.Forger) []byte
		before  int // bytes of it that the gateway has before; -1 means all
		answers int // to key updates
	}{
		{"nothing", data, 0, 0},
		{"a byte of a record", data, 1, 0},
		{"the head of a record", data, 5, 0},
		{"half a record", data, 20, 0},
		{"a record but for one byte", data, 5 + len(hello) + 1 + 16 - 1, 0},
		{"a record", data, -1, 0},
		{"a record with half a frame", parts, 5 + 3 + 1 + 16, 0},
		{"a frame in two records", parts, -1, 0},
		{"an empty record", after(func(f *relaytest.Forger) []byte { return f.Seal(relaytest.TypeData) }), 5 + 1 + 16, 0},
		{"half a key update", told, 10, 0},
		{"a key update", told, update, 0},
		{"a key update and half a record", told, update + 10, 0},
		{"a key update and a record", told, -1, 0},
		{"half a key update that asks for one", asked, 10, 1},
		{"a key update that asks for one", asked, update, 1},
		{"a key update that asks for one, and half a record", asked, update + 10, 1},
		{"a key update that asks for one, and a record", asked, -1, 1},
		{"a record and a key update", func(f *relaytest.Forger) []byte { return append(data(f), f.Rekey(1)...) }, -1, 1},
	}
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	for _, tt := range tests {
		for _, interrupted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, interrupted %t", tt.name, interrupted), func(t *testing.T) {
				h := newFixture(t)
				gateway, far := secure(t, core.Client)
				f := far.(*relaytest.Forger)
				c := &relaytest.Peer{Conn: f, T: t, Side: core.Client}
				first, whole := f.Seal(relaytest.TypeData, 'y'), tt.send(f)
				before := tt.before
				if before < 0 {
					before = len(whole)
				}
				c.SendRecord(first, whole[:before])
				early := make([]byte, 1)
				if _, err := io.ReadFull(gateway, early); err != nil {
					t.Fatal(err)
				}
				early = early[:0]
				if interrupted { // as Hijack interrupts the reader of net/http
					gateway.SetReadDeadline(time.Unix(1, 0))
					n, _ := gateway.Read(early[:1])
					early = early[:n]
					gateway.SetReadDeadline(time.Time{})
				}
				_, b := h.StartSession(func(testing.TB, core.Side) (net.Conn, net.Conn) { return gateway, far }, relaytest.Loopback, core.Session{Client: wire.Side{Early: early}})
				c.SendRecord(whole[before:])
				b.Receive(wstest.Text("hello"), wstest.Ping("p"))
				b.Send(wstest.Text("back"))
				c.Receive(wstest.Text("back"))
				if got := len(f.Asked); got != tt.answers {
					t.Errorf("%d key updates; want %d", got, tt.answers)
				}
				c.Send(wstest.Close(1000, ""))
				b.AnswerClose("close 1000", wstest.Close(1000, ""))
				c.ExpectRest("close 1000")
				c.Close()
				h.ExpectReport(core.Closed, core.Client, 1000)
				h.expectTakenOver(1)
				h.expectNoSecrets()
			})
		}
	}
}

// Records cut in every way, with all kinds of records between those with data.
func TestTLSRecordsInEveryShape(t *testing.T) {
	message := wstest.Text(strings.Repeat("message", 100))
	whole := frametest.Encode(core.Client, message, wstest.Ping("p"), wstest.Text("last"))
	tests := []struct {
		name    string
		send    func(c *relaytest.Peer)
		answers int // key updates of the gateway when its next data comes
	}{
		{"byte by byte", func(c *relaytest.Peer) {
			for _, one := range c.Forger().Seal(relaytest.TypeData, whole...) {
				c.SendRecord([]byte{one})
			}
		}, 0},
		{"a record for each byte", func(c *relaytest.Peer) {
			var all []byte
			for _, one := range whole {
				all = append(all, c.Forger().Seal(relaytest.TypeData, one)...)
			}
			c.SendRecord(all)
		}, 0},
		{"padding", func(c *relaytest.Peer) {
			padded := func(b []byte) []byte { // content, its type, zeros
				return c.Forger().Seal(0, append(append(bytes.Clone(b), relaytest.TypeData), make([]byte, 1000)...)...)
			}
			c.SendRecord(padded(whole[:100]), padded(whole[100:]))
		}, 0},
		{"empty records between", func(c *relaytest.Peer) {
			f := c.Forger()
			for i := range 10 {
				c.SendRecord(f.Seal(relaytest.TypeData), f.Seal(relaytest.TypeData, whole[i*70:i*70+70]...), f.Seal(relaytest.TypeData))
			}
			c.SendRecord(f.Seal(relaytest.TypeData, whole[700:]...))
		}, 0},
		{"key updates between", func(c *relaytest.Peer) {
			f := c.Forger()
			for i := range 10 {
				c.SendRecord(f.Rekey(byte(i%2)), f.Seal(relaytest.TypeData, whole[i*70:i*70+70]...))
			}
			c.SendRecord(f.Seal(relaytest.TypeData, whole[700:]...))
		}, 1},
	}
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFixture(t)
			c, b := h.StartSession(secure, relaytest.Loopback, core.Session{})
			tt.send(c)
			b.Receive(message, wstest.Ping("p"), wstest.Text("last"))
			for _, answer := range []string{"back", "and again"} {
				b.Send(wstest.Text(answer))
				c.Receive(wstest.Text(answer))
				if got := c.Forger().Asked; !bytes.Equal(got, make([]byte, tt.answers)) {
					t.Errorf("key updates that ask for %v; want %d that ask for none", got, tt.answers)
				}
			}
			h.expectTakenOver(1)
		})
	}
}

// Frames that come in one read share records, and large messages fill them.
func TestTLSRecordsAreFull(t *testing.T) {
	h := newFixture(t)
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	c, b := h.StartSession(secure, relaytest.Loopback, core.Session{})
	many := bytes.Repeat(frametest.Encode(core.Backend, wstest.Text("tiny")), 100)
	b.SendRaw(many)
	if _, err := io.ReadFull(c, make([]byte, len(many))); err != nil {
		t.Fatal(err)
	}
	if n := c.Forger().RecordsRead() - 1; n > 5 {
		t.Errorf("%d records for what one read brings", n)
	}
	before := c.Forger().RecordsRead()
	large := frametest.Encode(core.Backend, frametest.Binary(strings.Repeat("x", 1<<20)))
	go b.Write(large)
	if _, err := io.ReadFull(c, make([]byte, len(large))); err != nil {
		t.Fatal(err)
	}
	if n := c.Forger().RecordsRead() - before; n < 64 || n > 200 {
		t.Errorf("%d records for 1 MiB; full ones are 64, and each read ends one", n)
	}
}

func TestTLSHalfClose(t *testing.T) {
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	h := newFixture(t)
	c, b := h.StartSession(secure, secure, core.Session{})
	c.Send(wstest.Text("question"))
	c.SendRecord(c.Forger().Seal(relaytest.TypeAlert, 1, 0), []byte("what follows is nothing"))
	b.Receive(wstest.Text("question"))
	large := frametest.Binary(strings.Repeat("x", 1<<20))
	go b.Send(large)
	c.Receive(large)
	b.AnswerClose("close 1001", wstest.Close(1001, ""))
	c.ExpectRest("close 1001")
	c.Close()
	h.ExpectReport(core.Lost, core.Client, 1001)
	h.expectNoSecrets()
}

// While its reader stalls a direction holds what one read brings, in records.
func TestTLSStalledReaderHoldsTheWriterBack(t *testing.T) {
	for name, secure := range map[string]relaytest.Link{"TLS 1.3": relaytest.OverTLS(t, relaytest.Tight), "TLS 1.2": relaytest.OverTLS(t, relaytest.Tight, relaytest.Suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256))} {
		for _, stalled := range []core.Side{core.Client, core.Backend} {
			t.Run(name+", "+stalled.String(), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.StartSession(secure, secure, core.Session{})
				peers := [2]*relaytest.Peer{c, b}
				to, from := peers[stalled], peers[stalled.Other()]
				message := frametest.Binary(strings.Repeat("x", 8<<20))
				done := make(chan struct{})
				go func() {
					defer close(done)
					from.Write(frametest.Encode(from.Side, message, wstest.Close(1000, "")))
				}()
				h.awaitPiped(h.LastID, stalled)
				to.Send(wstest.Text("still there")) // the other direction goes on
				from.Receive(wstest.Text("still there"))
				h.until(h.LastID, "stalled", func(_ *loopSessions, k handle) bool {
					if !k.writePending(stalled) {
						return false
					}
					x := &k.pending[from.Side]
					if held := len(k.pending[stalled].out) + len(x.held) + len(x.partialRecord); held > (loop.BufferSize+4*29+27)+16<<10+5 {
						t.Errorf("%d bytes are held", held)
					}
					return true
				})
				h.expectQuiet()
				to.Receive(message)
				to.AnswerClose("close 1000", wstest.Close(1000, ""))
				<-done
				from.Close()
				h.ExpectReport(core.Closed, stalled.Other(), 1000)
				h.expectTakenOver(2)
				h.expectNoSecrets()
			})
		}
	}
}

// The frames of one record are held to a rate one by one.
func TestTLSFramesOfOneRecordAreHeldToARate(t *testing.T) {
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	tests := []struct {
		name  string
		rules core.Traffic
		close bool
	}{
		{"delayed", core.Traffic{MessageRate: 500, MessageBurst: 2}, false},
		{"bytes, delayed", core.Traffic{ByteRate: 10_000, ByteBurst: 50}, false},
		{"closed", core.Traffic{MessageRate: 0.001, MessageBurst: 2, EndOverRate: true}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFixture(t)
			h.Group.Set(core.Rules{Client: tt.rules})
			c, b := h.StartSession(secure, secure, core.Session{})
			var frames []ws.Frame
			for i := range 20 {
				frames = append(frames, wstest.Text(fmt.Sprint("message ", i)))
			}
			c.SendRecord(c.Forger().Seal(relaytest.TypeData, frametest.Encode(core.Client, frames...)...), c.Forger().Seal(relaytest.TypeData, frametest.Encode(core.Client, wstest.Text("next"))...))
			if tt.close {
				b.AnswerClose(`text "message 0", text "message 1", close 1001`, wstest.Close(1001, ""))
				c.Send(wstest.Close(1008, ""))
				c.ExpectRest(`close 1008 "messages over the rate limit"`)
				h.ExpectReport(core.TooFast, core.Client, 1008)
				return
			}
			b.Receive(append(frames, wstest.Text("next"))...)
			h.expectTakenOver(2)
		})
	}
}

// The end of a stream counts after the bytes that are held for their time, also if one read
// brings both.
func TestTLSEndsBehindWhatIsHeldToARate(t *testing.T) {
	h := newFixture(t)
	h.Group.Set(core.Rules{Client: core.Traffic{MessageRate: 500, MessageBurst: 2}})
	c, b := h.StartSession(relaytest.ForgedTLS(t, relaytest.Loopback), relaytest.Loopback, core.Session{})
	var frames []ws.Frame
	for i := range 20 {
		frames = append(frames, wstest.Text(fmt.Sprint("message ", i)))
	}
	frames = append(frames, wstest.Close(1000, "all"))
	c.SendRecord(c.Forger().Seal(relaytest.TypeData, frametest.Encode(core.Client, frames...)...), c.Forger().Seal(relaytest.TypeAlert, 1, 0))
	b.Receive(frames...)
	b.Send(wstest.Close(1000, ""))
	b.Close()
	c.ExpectRest("close 1000")
	h.ExpectReport(core.Closed, core.Client, 1000)
}

// If a side goes over a limit and ends its stream in the same read, the other side still gets its
// Close frame: no byte of the frame over the limit went there.
func TestTLSEndsInsideAFrameOverALimit(t *testing.T) {
	h := newFixture(t)
	h.Group.Set(core.Rules{Backend: core.Traffic{Frame: 5}})
	c, b := h.StartSession(relaytest.Loopback, relaytest.ForgedTLS(t, relaytest.Loopback), core.Session{})
	b.SendRecord(b.Forger().Seal(relaytest.TypeData, frametest.Encode(core.Backend, wstest.Text("0123456789"))[:6]...), b.Forger().Seal(relaytest.TypeAlert, 1, 0))
	c.AnswerClose("close 1001", wstest.Close(1001, ""))
	b.ExpectClose(`close 1009 "a frame over the size limit"`)
	b.Close()
	h.ExpectReport(core.TooLarge, core.Backend, 1009)
}

func TestTLSPingsOfTheGateway(t *testing.T) {
	h := newFixture(t)
	h.Group.Set(core.Rules{Ping: time.Hour, Pong: time.Hour})
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	c, b := h.StartSession(secure, secure, core.Session{})
	first := frametest.Encode(core.Backend, wstest.Part(ws.OpText, "be"))
	b.SendRaw(first)
	io.ReadFull(c, make([]byte, len(first)))
	h.advanceTime(time.Hour)
	for _, p := range []*relaytest.Peer{c, b} {
		p.Send(wstest.Pong(p.ReadPing()))
	}
	b.Send(wstest.Last("hind"))
	c.Receive(wstest.Last("hind"))
	c.Send(wstest.Text("after the pong"))
	b.Receive(wstest.Text("after the pong"))
	h.advanceTime(2 * time.Hour)
	for _, p := range []*relaytest.Peer{c, b} {
		p.ReadPing()
	}
	h.advanceTime(3 * time.Hour)
	b.AnswerClose("close 1001", wstest.Close(1001, ""))
	c.Send(wstest.Close(1001, ""))
	c.ExpectRest(`close 1001 "ping unanswered"`)
	h.ExpectReport(core.Unanswered, core.Client, 1001)
}

// A side that has begun a TLS record must end it within Stall: its beginning takes memory.
func TestTLSRecordsThatNeverEnd(t *testing.T) {
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	for _, by := range []core.Side{core.Client, core.Backend} {
		t.Run(by.String(), func(t *testing.T) {
			const stall = time.Hour
			h := newFixture(t)
			h.Group.Set(core.Rules{Stall: stall})
			c, b := h.StartSession(secure, secure, core.Session{})
			x, y := [2]*relaytest.Peer{c, b}[by], [2]*relaytest.Peer{c, b}[by.Other()]
			begun := func(n int) (since int64) {
				t.Helper()
				h.until(h.LastID, "begun", func(_ *loopSessions, k handle) bool {
					if k.pending == nil || len(k.pending[by].partialRecord) != n {
						return false
					}
					since = k.partialSince()[by]
					return true
				})
				return since
			}

			one := x.Forger().Seal(relaytest.TypeData, frametest.Encode(by, wstest.Text("one"))...)
			two := x.Forger().Seal(relaytest.TypeData, frametest.Encode(by, wstest.Text("two"))...)
			x.SendRecord(one[:7])
			first := begun(7)
			x.SendRecord(one[7:], two[:8])
			y.Receive(wstest.Text("one"))
			second := begun(8)
			x.SendRecord(two[8:9])
			if third := begun(9); first == 0 || second <= first || third != second {
				t.Errorf("the records began at %d and %d, and with a byte more at %d", first, second, third)
			}
			h.advanceTime(stall - time.Minute)
			h.until(h.LastID, "open", func(_ *loopSessions, k handle) bool { return !k.Closing() })
			h.advanceTime(stall + time.Minute)
			switch by {
			case core.Client:
				y.ExpectClose("close 1001")
			default:
				y.ExpectClose(`close 1001 "stalled"`)
			}
			x.Close()
			y.Close()
			h.ExpectReport(core.Stalled, by, 1001)
			h.expectNoSecrets()
		})
	}
}

// A side that is not read, because it is over a rate, cannot end the record that it has begun.
// It has its time from when it is read again.
func TestTLSRecordsBegunByASideOverARate(t *testing.T) {
	for _, by := range []core.Side{core.Client, core.Backend} {
		t.Run(by.String(), func(t *testing.T) {
			rules := core.Rules{Stall: time.Minute, Client: core.Traffic{MessageRate: 1.0 / 3600, MessageBurst: 1}}
			if by == core.Backend {
				rules.Client, rules.Backend = core.Traffic{}, rules.Client
			}
			s := newTimedSession(t, relaytest.ForgedTLS(t, relaytest.Loopback), rules)
			x, y := [2]*relaytest.Peer{s.C, s.B}[by], [2]*relaytest.Peer{s.C, s.B}[by.Other()]
			seal := func(text string) []byte {
				return x.Forger().Seal(relaytest.TypeData, frametest.Encode(by, wstest.Text(text))...)
			}
			first, second, third := seal("one"), seal("two"), seal("three")
			x.SendRecord(first, second, third[:7])
			y.Receive(wstest.Text("one"))
			s.AdvanceTime(time.Hour)
			y.Receive(wstest.Text("two"))
			s.Settle()
			s.AdvanceTime(time.Minute) // it is read now, and does not go on
			switch by {
			case core.Client:
				y.ExpectClose("close 1001")
			default:
				y.ExpectClose(`close 1001 "stalled"`)
			}
			x.Close()
			y.Close()
			s.h.ExpectReport(core.Stalled, by, 1001)
		})
	}
}

// The same for a side that is not read because the other one takes nothing, at the moment at
// which that side takes everything.
func TestTLSRecordsBegunForASlowReader(t *testing.T) {
	for _, by := range []core.Side{core.Client, core.Backend} {
		t.Run(by.String(), func(t *testing.T) {
			h := newFixture(t)
			h.Group.Set(core.Rules{Stall: time.Minute})
			secure := relaytest.OverTLS(t, relaytest.Tight)
			c, b := h.StartSession(secure, secure, core.Session{})
			x, y := [2]*relaytest.Peer{c, b}[by], [2]*relaytest.Peer{c, b}[by.Other()]
			whole := frametest.Encode(by, wstest.Text(strings.Repeat("x", relaytest.Bulk)))
			go x.Write(whole)
			received := make(chan error)
			h.until(h.LastID, "full, with a record begun", func(l *loopSessions, k handle) bool {
				if !k.writePending(by.Other()) || len(k.pending[by].partialRecord) == 0 {
					return false
				}
				go func() {
					_, err := io.CopyN(io.Discard, y, int64(len(whole)))
					received <- err
				}()
				later := l.Now() + int64(time.Hour)
				for k.writePending(by.Other()) {
					l.flush(k, by.Other())
				}
				if k.Tick(later, k.blockedSince(), k.partialSince()); k.Closing() {
					t.Error("a side that was not read has stalled")
				}
				l.advance(k)
				return true
			})
			if err := <-received; err != nil {
				t.Error(err)
			}
		})
	}
}

// A loop allocates nothing for a message over TLS: not for one session, and not for as many as
// the cipher cache has room for. The peers have sealed their messages before, and open nothing.
func TestRelayingTLSAllocatesNothing(t *testing.T) {
	notMoving(t, "a session that moves allocates")
	if relaytest.PoolDropsItems() {
		t.Skip("the race detector allocates")
	}
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	for _, tt := range []struct{ size, sessions, rounds int }{{128, 1, 5000}, {128, 100, 100}, {16 << 10, 1, 500}, {1 << 20, 1, 20}} {
		t.Run(fmt.Sprintf("%d bytes, %d sessions", tt.size, tt.sessions), func(t *testing.T) {
			const warmUp, measured = 5, 3
			h := newFixture(t)
			var ways []*sealedDirection
			for range tt.sessions {
				c, b := h.StartSession(secure, secure, core.Session{})
				for _, ends := range [][2]*relaytest.Peer{{c, b}, {b, c}} {
					message := frametest.Encode(ends[0].Side, frametest.Binary(strings.Repeat("x", tt.size)))
					w := &sealedDirection{from: ends[0].Forger().Conn, to: ends[1].Forger().Conn, size: len(message)}
					for range measured*tt.rounds + warmUp {
						var sealed []byte
						for part := range slices.Chunk(message, 1<<14) {
							sealed = append(sealed, ends[0].Forger().Seal(relaytest.TypeData, part...)...)
						}
						w.sealed = append(w.sealed, sealed)
					}
					ways = append(ways, w)
				}
			}
			wake, woken := make(chan *sealedDirection), make(chan error)
			go func() {
				for w := range wake {
					woken <- w.send()
				}
			}()
			defer close(wake)
			in := make([]byte, 1<<15)
			play := func(rounds int) {
				for i := range rounds * len(ways) {
					w := ways[i%len(ways)]
					wake <- w
					if err := cmp.Or(w.receive(in), <-woken); err != nil {
						t.Fatal(err)
					}
				}
			}
			play(warmUp)
			messages := tt.rounds * len(ways)
			most := uint64(50) // the runtime allocates for itself sometimes
			if tt.size > loop.BufferSize {
				most += uint64(messages) // sometimes the beginning of a record waits for the rest
			}
			n := relaytest.Mallocs(func() { play(tt.rounds) })
			for range measured - 1 { // the runtime does not do so each time
				n = min(n, relaytest.Mallocs(func() { play(tt.rounds) }))
			}
			if n > most {
				t.Errorf("%d messages of %d bytes: %d allocations; want at most %d", messages, tt.size, n, most)
			}
			h.expectTakenOver(2 * tt.sessions)
		})
	}
}

// sealedDirection is one direction of a session, from socket to socket.
type sealedDirection struct {
	from, to net.Conn
	size     int      // of a message
	sealed   [][]byte // messages to be sent
}

func (w *sealedDirection) send() error {
	_, err := w.from.Write(w.sealed[0])
	w.sealed = w.sealed[1:]
	return err
}

// receive reads the records of a message.
func (w *sealedDirection) receive(in []byte) error {
	const more = 1 + 16 // content type and tag
	for left := w.size; left > 0; {
		if _, err := io.ReadFull(w.to, in[:5]); err != nil {
			return err
		}
		n := int(in[3])<<8 | int(in[4])
		if _, err := io.ReadFull(w.to, in[:n]); err != nil {
			return err
		}
		left -= n - more
	}
	return nil
}
