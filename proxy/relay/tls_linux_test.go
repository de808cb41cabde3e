//go:build !portable

package relay

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/record"
	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// suite returns what has crypto/tls agree on a suite, of those that it can be
// made to agree on: of TLS 1.3 it takes ChaCha20 if the client prefers that.
func suite(id uint16) func(*tls.Config) {
	return func(c *tls.Config) {
		switch id {
		case tls.TLS_AES_128_GCM_SHA256:
		case tls.TLS_CHACHA20_POLY1305_SHA256:
			c.MinVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		default:
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{id}
		}
	}
}

var suites = []uint16{
	tls.TLS_AES_128_GCM_SHA256, tls.TLS_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
}

// arrangements are the sides of a session that have TLS.
var arrangements = []struct {
	name  string
	sides int
	links func(secure, plain link) (client, backend link)
}{
	{"client", 1, func(secure, plain link) (client, backend link) { return secure, plain }},
	{"backend", 1, func(secure, plain link) (client, backend link) { return plain, secure }},
	{"both", 2, func(secure, plain link) (client, backend link) { return secure, secure }},
}

func TestTLSSessionsRunOnTheLoops(t *testing.T) {
	for _, id := range suites {
		secure := overTLS(t, loopback, suite(id))
		for _, of := range arrangements {
			t.Run(tls.CipherSuiteName(id)+", "+of.name, func(t *testing.T) {
				h := newHall(t)
				client, backend := of.links(secure, loopback)
				c, b := h.join(client, backend, Session{})
				for _, p := range []*peer{c, b} {
					if s, ok := p.Conn.(*tls.Conn); ok && s.ConnectionState().CipherSuite != id {
						t.Fatalf("the %s has %s", p.side, tls.CipherSuiteName(s.ConnectionState().CipherSuite))
					}
				}
				converse(t, c, b)
				c.send(wstest.Close(4000, "asked"))
				b.answer(`close 4000 "asked"`, wstest.Close(4000, "answered"))
				c.expect(`close 4000 "answered"`)
				c.Close()
				h.expect(Closed, Client, 4000)
				h.took(of.sides)
				h.noSecrets()
			})
		}
	}
}

// converse has both sides speak at once.
func converse(t *testing.T, c, b *peer) {
	t.Helper()
	var both sync.WaitGroup
	for _, p := range []*peer{c, b} {
		both.Go(func() { p.Write(conversation(p.side)) })
		both.Go(func() {
			want := conversation(p.side.other())
			got := make([]byte, len(want))
			if n, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the %s got other bytes than were sent, or %d of %d, %v", p.side, n, len(want), err)
			}
		})
	}
	both.Wait()
}

// Every way in which a session ends, it says close_notify before the end of the
// stream to whoever can still be told: the peers take nothing else for an end.
func TestTLSSaysGoodbye(t *testing.T) {
	bad := []byte{0x83, 0x80, 0, 0, 0, 0}
	tests := []struct {
		name  string
		play  func(h *hall, c, b *peer)
		cause Cause
		by    Side
		code  ws.StatusCode
	}{
		{"a Close frame of the client", func(h *hall, c, b *peer) {
			c.send(wstest.Close(1000, "bye"))
			b.answer(`close 1000 "bye"`, wstest.Close(1000, ""))
			c.expect("close 1000")
		}, Closed, Client, 1000},
		{"a Close frame of the backend", func(h *hall, c, b *peer) {
			b.send(wstest.Close(3000, ""))
			c.take(wstest.Close(3000, ""))
			c.send(wstest.Close(3000, ""))
			c.expect("")
			b.take(wstest.Close(3000, ""))
			b.closeWrite()
			b.expect("")
		}, Closed, Backend, 3000},
		{"a Close frame that nobody answers", func(h *hall, c, b *peer) {
			c.send(wstest.Close(3000, ""))
			b.take(wstest.Close(3000, ""))
			h.pass(closeTimeout)
			c.expect("close 3000")
			b.expect("")
		}, Closed, Client, 3000},
		{"a backend that does not close", func(h *hall, c, b *peer) {
			c.send(wstest.Close(1000, ""))
			b.take(wstest.Close(1000, ""))
			b.send(wstest.Close(1000, ""))
			c.expect("close 1000")
			h.until(h.last, "over", func(_ *loop, k joint) bool { return k.done })
			h.pass(lingerTime)
			b.expect("")
		}, Closed, Client, 1000},
		{"a backend that waits for close_notify in return", func(h *hall, c, b *peer) {
			c.send(wstest.Close(1000, ""))
			b.hear("close 1000")
			b.send(wstest.Close(1000, ""))
			c.expect("close 1000")
			notify(b)
			h.until(h.last, "heard of the end", func(_ *loop, k joint) bool { return k.sockets[Backend].is(ended) })
			c.Close()
			b.expect("")
		}, Closed, Client, 1000},
		{"a violation", func(h *hall, c, b *peer) {
			c.raw(bad)
			b.answer("close 1001", wstest.Close(1001, ""))
			c.expect(`close 1002 "a frame with a reserved opcode"`)
		}, Violation, Client, 1002},
		{"shutdown", func(h *hall, c, b *peer) {
			h.End(all, Shutdown, 0)
			b.answer("close 1001", wstest.Close(1001, ""))
			c.send(wstest.Close(1001, ""))
			c.expect(`close 1001 "shutdown"`)
		}, Shutdown, Gateway, 1001},
		{"the engine stops", func(h *hall, c, b *peer) {
			go h.stop()
			c.expect(`close 1001 "shutdown"`)
			b.expect("close 1001")
		}, Shutdown, Gateway, 1001},
		{"the client ends its stream, the backend answers in full", func(h *hall, c, b *peer) {
			c.send(wstest.Text("last"))
			c.closeWrite()
			b.take(wstest.Text("last"))
			b.send(wstest.Text("answer"))
			b.answer("close 1001", wstest.Close(1001, ""))
			c.expect(`text "answer", close 1001`)
		}, Lost, Client, 1001},
		{"the client is lost", func(h *hall, c, b *peer) {
			c.reset()
			b.hear("close 1001")
			b.send(wstest.Close(1001, ""))
			b.closeWrite()
			b.expect("")
		}, Lost, Client, 1001},
		{"the backend is lost", func(h *hall, c, b *peer) {
			b.reset()
			c.take(wstest.Close(1014, ""))
			c.send(wstest.Close(1014, ""))
			c.expect("")
		}, Lost, Backend, 1014},
		{"the client is lost inside a frame", func(h *hall, c, b *peer) {
			c.raw(sent(Client, wstest.Text("0123456789"))[:9])
			io.ReadFull(b, make([]byte, 9))
			c.closeWrite()
			c.expect("close 1001")
			b.expect("")
		}, Lost, Client, 1001},
	}
	for _, tt := range tests {
		for _, over := range []string{"TLS 1.3", "TLS 1.2"} {
			t.Run(tt.name+", "+over, func(t *testing.T) {
				secure := forgedTLS(t, loopback)
				var taps [2]*tap
				if over == "TLS 1.2" { // crypto/tls takes a bare end for one; here the type of a record shows
					secure = overTLS(t, func(t testing.TB, side Side) (gateway, peer net.Conn) {
						g, p := loopback(t, side)
						taps[side] = &tap{Conn: p}
						return g, taps[side]
					}, suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256))
				}
				h := newHall(t)
				c, b := h.join(secure, secure, Session{})
				tt.play(h, c, b)
				for _, p := range taps {
					if p != nil && p.SetDeadline(time.Time{}) == nil && p.last() != typeAlert { // unless the test has closed it, unread
						t.Errorf("the last record is of type %d; want an alert", p.last())
					}
				}
				c.Close()
				b.Close()
				h.expect(tt.cause, tt.by, tt.code)
				h.took(2)
			})
		}
	}
}

// notify sends a close_notify and leaves the stream below it open.
func notify(p *peer) {
	if f, ok := p.Conn.(*forger); ok {
		p.record(f.seal(typeAlert, 1, 0))
	} else {
		p.Conn.(*tls.Conn).CloseWrite()
	}
}

// tap is a connection that keeps what was read from it.
type tap struct {
	net.Conn
	got []byte
}

func (p *tap) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.got = append(p.got, b[:n]...)
	return n, err
}

func (p *tap) CloseWrite() error { return wire.CloseWrite(p.Conn) }

func (p *tap) NetConn() net.Conn { return p.Conn }

// last returns the type of the last whole record.
func (p *tap) last() (typ byte) {
	for rest := p.got; len(rest) > 5; {
		n := 5 + int(rest[3])<<8 + int(rest[4])
		if len(rest) < n {
			break
		}
		typ, rest = rest[0], rest[n:]
	}
	return typ
}

// What a peer that has the keys may do to an established session. The other side
// is told as of any lost connection, the peer by an alert where TLS has one.
func TestHostileTLSPeer(t *testing.T) {
	flood := func(f *forger, record func() []byte) (b []byte) {
		for range 100 {
			b = append(b, record()...)
		}
		return b
	}
	tests := []struct {
		name   string
		send   func(f *forger) []byte
		closes bool   // the stream ends behind it
		want   string // how the gateway's stream ends
		detail string
	}{
		{"a forged record", func(f *forger) []byte {
			b := f.seal(typeData, 1, 2, 3)
			b[len(b)-1] ^= 1
			return b
		}, false, "alert 20", "not authentic"},
		{"a record twice", func(f *forger) []byte {
			b := f.seal(typeData)
			return append(b, b...)
		}, false, "alert 20", "not authentic"},
		{"a record above the limit", func(f *forger) []byte { return []byte{23, 3, 3, 0xff, 0xff} }, false, "alert 22", "above the limit"},
		{"too much in a record", func(f *forger) []byte { return f.seal(typeData, make([]byte, 1<<14+1)...) }, false, "alert 22", "too much"},
		{"a record in the clear", func(f *forger) []byte { return []byte{22, 3, 3, 0, 1, 1} }, false, "alert 10", "not encrypted"},
		{"HTTP", func(f *forger) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, false, "alert 10", "not encrypted"},
		{"a ClientHello", func(f *forger) []byte { return f.seal(typeHandshake, 1, 0, 0, 0) }, false, "alert 10", "behind the handshake"},
		{"empty records", func(f *forger) []byte {
			return flood(f, func() []byte { return f.seal(typeData) })
		}, false, "alert 10", "without content"},
		{"key updates", func(f *forger) []byte {
			return flood(f, func() []byte { return f.rekey(1) })
		}, false, "alert 10", "without content"},
		{"a fatal alert", func(f *forger) []byte { return f.seal(typeAlert, 2, 80) }, false, "an end without close_notify", "the peer sent alert 80"},
		{"an end between records", func(f *forger) []byte { return nil }, true, "EOF", "without a Close frame"},
		{"an end inside a record", func(f *forger) []byte { return f.seal(typeData, 1, 2, 3)[:10] }, true, "EOF", "unexpected EOF"},
		{"an end inside the head of a record", func(f *forger) []byte { return f.seal(typeData, 1, 2, 3)[:3] }, true, "EOF", "unexpected EOF"},
	}
	secure := forgedTLS(t, loopback)
	for _, tt := range tests {
		for _, by := range []Side{Client, Backend} {
			t.Run(tt.name+" by the "+by.String(), func(t *testing.T) {
				h := newHall(t)
				c, b := h.join(secure, secure, Session{})
				peers := [2]*peer{c, b}
				x, y := peers[by], peers[by.other()]
				x.send(wstest.Text("good"))
				y.take(wstest.Text("good"))
				h.took(2)
				if h.secrets() == 0 {
					t.Fatal("the secrets of an open session are nowhere to be seen")
				}
				x.record(x.forger().seal(typeData, sent(by, wstest.Text("last"))...), tt.send(x.forger()))
				if tt.closes {
					x.forger().Conn.(*net.TCPConn).CloseWrite()
				}
				code := lostCode(by)
				y.answer(fmt.Sprintf(`text "last", close %d`, code), wstest.Close(int(code), ""))
				_, err := io.Copy(io.Discard, x)
				if got := fmt.Sprint(cmp.Or(err, io.EOF)); got != tt.want {
					t.Errorf("the stream to the %s ended with %q; want %q", by, got, tt.want)
				}
				x.Close()
				r := h.report()
				if r.Cause != Lost || r.By != by || r.Code != code || !strings.Contains(r.Detail, tt.detail) {
					t.Errorf("report = %s by the %s, %d (%s); want lost by the %s, %d (...%s...)", r.Cause, r.By, r.Code, r.Detail, by, code, tt.detail)
				}
				h.noSecrets()
			})
		}
	}
}

// What is on its way when a session begins goes to the other side, wherever the
// hand-over cuts it.
func TestTLSSessionThatBeginsInTheMiddle(t *testing.T) {
	const update = 5 + 5 + 1 + 16 // bytes of a record with a KeyUpdate
	hello := sent(Client, wstest.Text("hello"), wstest.Ping("p"))
	data := func(f *forger) []byte { return f.seal(typeData, hello...) }
	parts := func(f *forger) []byte {
		return append(f.seal(typeData, hello[:3]...), f.seal(typeData, hello[3:]...)...)
	}
	behind := func(first func(f *forger) []byte) func(f *forger) []byte {
		return func(f *forger) []byte { return append(first(f), data(f)...) }
	}
	told := behind(func(f *forger) []byte { return f.rekey(0) })
	asked := behind(func(f *forger) []byte { return f.rekey(1) })
	tests := []struct {
		name    string
		send    func(f *forger) []byte
		before  int // bytes of that which the gateway has before; -1 for all
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
		{"an empty record", behind(func(f *forger) []byte { return f.seal(typeData) }), 5 + 1 + 16, 0},
		{"half a key update", told, 10, 0},
		{"a key update", told, update, 0},
		{"a key update and half a record", told, update + 10, 0},
		{"a key update and a record", told, -1, 0},
		{"half a key update that asks for one", asked, 10, 1},
		{"a key update that asks for one", asked, update, 1},
		{"a key update that asks for one, and half a record", asked, update + 10, 1},
		{"a key update that asks for one, and a record", asked, -1, 1},
		{"a record and a key update", func(f *forger) []byte { return append(data(f), f.rekey(1)...) }, -1, 1},
	}
	secure := forgedTLS(t, loopback)
	for _, tt := range tests {
		for _, interrupted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, interrupted %t", tt.name, interrupted), func(t *testing.T) {
				h := newHall(t)
				gateway, far := secure(t, Client)
				f := far.(*forger)
				c := &peer{Conn: f, t: t, side: Client}
				first, whole := f.seal(typeData, 'y'), tt.send(f)
				before := tt.before
				if before < 0 {
					before = len(whole)
				}
				c.record(first, whole[:before])
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
				_, b := h.join(func(testing.TB, Side) (net.Conn, net.Conn) { return gateway, far }, loopback, Session{Client: wire.Side{Early: early}})
				c.record(whole[before:])
				b.take(wstest.Text("hello"), wstest.Ping("p"))
				b.send(wstest.Text("back"))
				c.take(wstest.Text("back"))
				if got := len(f.asked); got != tt.answers {
					t.Errorf("%d key updates; want %d", got, tt.answers)
				}
				c.send(wstest.Close(1000, ""))
				b.answer("close 1000", wstest.Close(1000, ""))
				c.expect("close 1000")
				c.Close()
				h.expect(Closed, Client, 1000)
				h.took(1)
				h.noSecrets()
			})
		}
	}
}

// However records are cut, and whatever stands between those with data.
func TestTLSRecordsInEveryShape(t *testing.T) {
	message := wstest.Text(strings.Repeat("message", 100))
	whole := sent(Client, message, wstest.Ping("p"), wstest.Text("last"))
	tests := []struct {
		name    string
		send    func(c *peer)
		answers int // key updates of the gateway when its next data comes
	}{
		{"byte by byte", func(c *peer) {
			for _, one := range c.forger().seal(typeData, whole...) {
				c.record([]byte{one})
			}
		}, 0},
		{"a record for each byte", func(c *peer) {
			var all []byte
			for _, one := range whole {
				all = append(all, c.forger().seal(typeData, one)...)
			}
			c.record(all)
		}, 0},
		{"padding", func(c *peer) {
			padded := func(b []byte) []byte { // content, its type, zeros
				return c.forger().seal(0, append(append(bytes.Clone(b), typeData), make([]byte, 1000)...)...)
			}
			c.record(padded(whole[:100]), padded(whole[100:]))
		}, 0},
		{"empty records between", func(c *peer) {
			f := c.forger()
			for i := range 10 {
				c.record(f.seal(typeData), f.seal(typeData, whole[i*70:i*70+70]...), f.seal(typeData))
			}
			c.record(f.seal(typeData, whole[700:]...))
		}, 0},
		{"key updates between", func(c *peer) {
			f := c.forger()
			for i := range 10 {
				c.record(f.rekey(byte(i%2)), f.seal(typeData, whole[i*70:i*70+70]...))
			}
			c.record(f.seal(typeData, whole[700:]...))
		}, 1},
	}
	secure := forgedTLS(t, loopback)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHall(t)
			c, b := h.join(secure, loopback, Session{})
			tt.send(c)
			b.take(message, wstest.Ping("p"), wstest.Text("last"))
			for _, answer := range []string{"back", "and again"} {
				b.send(wstest.Text(answer))
				c.take(wstest.Text(answer))
				if got := c.forger().asked; !bytes.Equal(got, make([]byte, tt.answers)) {
					t.Errorf("key updates that ask for %v; want %d that ask for none", got, tt.answers)
				}
			}
			h.took(1)
		})
	}
}

// Frames that one read brings share records, and bulk fills them.
func TestTLSRecordsAreFull(t *testing.T) {
	h := newHall(t)
	secure := forgedTLS(t, loopback)
	c, b := h.join(secure, loopback, Session{})
	many := bytes.Repeat(sent(Backend, wstest.Text("tiny")), 100)
	b.raw(many)
	if _, err := io.ReadFull(c, make([]byte, len(many))); err != nil {
		t.Fatal(err)
	}
	if n := c.forger().in.sequence - 1; n > 5 {
		t.Errorf("%d records for what one read brings", n)
	}
	before := c.forger().in.sequence
	large := sent(Backend, binary(strings.Repeat("x", 1<<20)))
	go b.Write(large)
	if _, err := io.ReadFull(c, make([]byte, len(large))); err != nil {
		t.Fatal(err)
	}
	if n := c.forger().in.sequence - before; n < 64 || n > 200 {
		t.Errorf("%d records for 1 MiB; full ones are 64, and each read ends one", n)
	}
}

func TestTLSHalfClose(t *testing.T) {
	secure := forgedTLS(t, loopback)
	h := newHall(t)
	c, b := h.join(secure, secure, Session{})
	c.send(wstest.Text("question"))
	c.record(c.forger().seal(typeAlert, 1, 0), []byte("what follows is nothing"))
	b.take(wstest.Text("question"))
	large := binary(strings.Repeat("x", 1<<20))
	go b.send(large)
	c.take(large)
	b.answer("close 1001", wstest.Close(1001, ""))
	c.expect("close 1001")
	c.Close()
	h.expect(Lost, Client, 1001)
	h.noSecrets()
}

// What a direction holds while its reader stalls is what one read brings, in
// records.
func TestTLSStalledReaderHoldsTheWriterBack(t *testing.T) {
	for name, secure := range map[string]link{"TLS 1.3": overTLS(t, tight), "TLS 1.2": overTLS(t, tight, suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256))} {
		for _, stalled := range []Side{Client, Backend} {
			t.Run(name+", "+stalled.String(), func(t *testing.T) {
				h := newHall(t)
				c, b := h.join(secure, secure, Session{})
				peers := [2]*peer{c, b}
				to, from := peers[stalled], peers[stalled.other()]
				message := binary(strings.Repeat("x", 8<<20))
				done := make(chan struct{})
				go func() {
					defer close(done)
					from.Write(sent(from.side, message, wstest.Close(1000, "")))
				}()
				h.piped(h.last, stalled)
				to.send(wstest.Text("still there")) // the other direction does not care
				from.take(wstest.Text("still there"))
				h.until(h.last, "stalled", func(_ *loop, k joint) bool {
					if !k.busy(stalled) {
						return false
					}
					x := &k.hot[from.side]
					if held := len(k.hot[stalled].out) + len(x.held) + len(x.record); held > record.SealedSize(loopBuffer)+16<<10+5 {
						t.Errorf("%d bytes are held", held)
					}
					return true
				})
				h.quiet()
				to.take(message)
				to.answer("close 1000", wstest.Close(1000, ""))
				<-done
				from.Close()
				h.expect(Closed, stalled.other(), 1000)
				h.took(2)
				h.noSecrets()
			})
		}
	}
}

// What one record brings may be held for its time: its frames go on one by one.
func TestTLSFramesOfOneRecordAreHeldToARate(t *testing.T) {
	secure := forgedTLS(t, loopback)
	tests := []struct {
		name  string
		rules Traffic
		close bool
	}{
		{"delayed", Traffic{MessageRate: 500, MessageBurst: 2}, false},
		{"bytes, delayed", Traffic{ByteRate: 10_000, ByteBurst: 50}, false},
		{"closed", Traffic{MessageRate: 0.001, MessageBurst: 2, Close: true}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHall(t)
			h.group.Set(Rules{Client: tt.rules})
			c, b := h.join(secure, secure, Session{})
			var frames []ws.Frame
			for i := range 20 {
				frames = append(frames, wstest.Text(fmt.Sprint("message ", i)))
			}
			c.record(c.forger().seal(typeData, sent(Client, frames...)...), c.forger().seal(typeData, sent(Client, wstest.Text("next"))...))
			if tt.close {
				b.answer(`text "message 0", text "message 1", close 1001`, wstest.Close(1001, ""))
				c.send(wstest.Close(1008, ""))
				c.expect(`close 1008 "messages over the rate limit"`)
				h.expect(TooFast, Client, 1008)
				return
			}
			b.take(append(frames, wstest.Text("next"))...)
			h.took(2)
		})
	}
}

// The end of a stream stands behind what is held for its time, also where one
// read brings both.
func TestTLSEndsBehindWhatIsHeldToARate(t *testing.T) {
	h := newHall(t)
	h.group.Set(Rules{Client: Traffic{MessageRate: 500, MessageBurst: 2}})
	c, b := h.join(forgedTLS(t, loopback), loopback, Session{})
	var frames []ws.Frame
	for i := range 20 {
		frames = append(frames, wstest.Text(fmt.Sprint("message ", i)))
	}
	frames = append(frames, wstest.Close(1000, "all"))
	c.record(c.forger().seal(typeData, sent(Client, frames...)...), c.forger().seal(typeAlert, 1, 0))
	b.take(frames...)
	b.send(wstest.Close(1000, ""))
	b.Close()
	c.expect("close 1000")
	h.expect(Closed, Client, 1000)
}

// Who is over a limit and gone with the same read is no reason to tell the other
// side nothing: none of the frame went there.
func TestTLSEndsInsideAFrameOverALimit(t *testing.T) {
	h := newHall(t)
	h.group.Set(Rules{Backend: Traffic{Frame: 5}})
	c, b := h.join(loopback, forgedTLS(t, loopback), Session{})
	b.record(b.forger().seal(typeData, sent(Backend, wstest.Text("0123456789"))[:6]...), b.forger().seal(typeAlert, 1, 0))
	c.answer("close 1001", wstest.Close(1001, ""))
	b.hear(`close 1009 "a frame over the size limit"`)
	b.Close()
	h.expect(TooLarge, Backend, 1009)
}

func TestTLSPingsOfTheGateway(t *testing.T) {
	h := newHall(t)
	h.group.Set(Rules{Ping: time.Hour, Pong: time.Hour})
	secure := forgedTLS(t, loopback)
	c, b := h.join(secure, secure, Session{})
	first := sent(Backend, wstest.Part(ws.OpText, "be"))
	b.raw(first)
	io.ReadFull(c, make([]byte, len(first)))
	h.pass(time.Hour)
	for _, p := range []*peer{c, b} {
		p.send(wstest.Pong(p.pinged()))
	}
	b.send(wstest.Last("hind"))
	c.take(wstest.Last("hind"))
	h.until(h.last, "heard of both", func(_ *loop, k joint) bool { return !k.ends[Client].asked && !k.ends[Backend].asked })
	h.pass(2 * time.Hour)
	for _, p := range []*peer{c, b} {
		p.pinged()
	}
	h.pass(3 * time.Hour)
	b.answer("close 1001", wstest.Close(1001, ""))
	c.send(wstest.Close(1001, ""))
	c.expect(`close 1001 "ping unanswered"`)
	h.expect(Unanswered, Client, 1001)
}

// A side that begins a record has as long to end it as one that takes nothing: what
// came of it is kept for so long.
func TestTLSRecordsThatNeverEnd(t *testing.T) {
	secure := forgedTLS(t, loopback)
	for _, by := range []Side{Client, Backend} {
		t.Run(by.String(), func(t *testing.T) {
			const stall = time.Hour
			h := newHall(t)
			h.group.Set(Rules{Stall: stall})
			c, b := h.join(secure, secure, Session{})
			x, y := [2]*peer{c, b}[by], [2]*peer{c, b}[by.other()]
			begun := func(n int) (since int64) {
				t.Helper()
				h.until(h.last, "begun", func(_ *loop, k joint) bool {
					if k.hot == nil || len(k.hot[by].record) != n {
						return false
					}
					since = k.begun()[by]
					return true
				})
				return since
			}

			one := x.forger().seal(typeData, sent(by, wstest.Text("one"))...)
			two := x.forger().seal(typeData, sent(by, wstest.Text("two"))...)
			x.record(one[:7])
			first := begun(7)
			x.record(one[7:], two[:8])
			y.take(wstest.Text("one"))
			second := begun(8)
			x.record(two[8:9])
			if third := begun(9); first == 0 || second <= first || third != second {
				t.Errorf("the records began at %d and %d, and with a byte more at %d", first, second, third)
			}
			h.pass(stall - time.Minute)
			h.until(h.last, "open", func(_ *loop, k joint) bool { return !k.closing() })
			h.pass(stall + time.Minute)
			switch by {
			case Client:
				y.hear("close 1001")
			default:
				y.hear(`close 1001 "stalled"`)
			}
			x.Close()
			y.Close()
			h.expect(Stalled, by, 1001)
			h.noSecrets()
		})
	}
}

// A side that is not read, because it is over a rate, cannot end the record that it has
// begun. It has its time from when it is read again.
func TestTLSRecordsBegunByASideOverARate(t *testing.T) {
	for _, by := range []Side{Client, Backend} {
		t.Run(by.String(), func(t *testing.T) {
			rules := Rules{Stall: time.Minute, Client: Traffic{MessageRate: 1.0 / 3600, MessageBurst: 1}}
			if by == Backend {
				rules.Client, rules.Backend = Traffic{}, rules.Client
			}
			s := newStage(t, forgedTLS(t, loopback), rules)
			x, y := s.peer(by), s.peer(by.other())
			seal := func(text string) []byte { return x.forger().seal(typeData, sent(by, wstest.Text(text))...) }
			first, second, third := seal("one"), seal("two"), seal("three")
			x.record(first, second, third[:7])
			y.take(wstest.Text("one"))
			s.pass(time.Hour)
			y.take(wstest.Text("two"))
			s.calm()
			s.pass(time.Minute) // it is read now, and does not go on
			switch by {
			case Client:
				y.hear("close 1001")
			default:
				y.hear(`close 1001 "stalled"`)
			}
			x.Close()
			y.Close()
			s.hall.expect(Stalled, by, 1001)
		})
	}
}

// The same for a side that is not read because the other one takes nothing, judged
// at the moment at which that one has taken everything.
func TestTLSRecordsBegunForASlowReader(t *testing.T) {
	for _, by := range []Side{Client, Backend} {
		t.Run(by.String(), func(t *testing.T) {
			h := newHall(t)
			h.group.Set(Rules{Stall: time.Minute})
			secure := overTLS(t, tight)
			c, b := h.join(secure, secure, Session{})
			x, y := [2]*peer{c, b}[by], [2]*peer{c, b}[by.other()]
			whole := sent(by, binary(noise(bulk)))
			go x.Write(whole)
			taken := make(chan error)
			h.until(h.last, "full, with a record begun", func(l *loop, k joint) bool {
				if !k.busy(by.other()) || len(k.hot[by].record) == 0 {
					return false
				}
				go func() {
					_, err := io.CopyN(io.Discard, y, int64(len(whole)))
					taken <- err
				}()
				l.now += int64(time.Hour)
				for k.busy(by.other()) {
					l.flush(k, by.other())
				}
				if k.tick(l.now, k.stuck(), k.begun()); k.closing() {
					t.Error("a side that was not read has stalled")
				}
				l.settle(k)
				return true
			})
			if err := <-taken; err != nil {
				t.Error(err)
			}
		})
	}
}

// A loop allocates nothing for a message over TLS: not for one session, and not
// for as many as are warm. The peers have sealed what they send before, and open
// nothing.
func TestRelayingTLSAllocatesNothing(t *testing.T) {
	if poolForgets() {
		t.Skip("the race detector allocates")
	}
	secure := forgedTLS(t, loopback)
	for _, tt := range []struct{ size, sessions, rounds int }{{128, 1, 5000}, {128, 100, 100}, {16 << 10, 1, 500}, {1 << 20, 1, 20}} {
		t.Run(fmt.Sprintf("%d bytes, %d sessions", tt.size, tt.sessions), func(t *testing.T) {
			const warmUp, measured = 5, 3
			h := newHall(t)
			var ways []*way
			for range tt.sessions {
				c, b := h.join(secure, secure, Session{})
				for _, ends := range [][2]*peer{{c, b}, {b, c}} {
					message := sent(ends[0].side, binary(strings.Repeat("x", tt.size)))
					w := &way{from: ends[0].forger().Conn, to: ends[1].forger().Conn, size: len(message)}
					for range measured*tt.rounds + warmUp {
						var sealed []byte
						for part := range slices.Chunk(message, 1<<14) {
							sealed = append(sealed, ends[0].forger().seal(typeData, part...)...)
						}
						w.sealed = append(w.sealed, sealed)
					}
					ways = append(ways, w)
				}
			}
			wake, woken := make(chan *way), make(chan error)
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
			most := uint64(50) // the runtime allocates for itself now and then
			if tt.size > loopBuffer {
				most += uint64(messages) // the beginning of a record waits for more now and then
			}
			n := mallocs(func() { play(tt.rounds) })
			for range measured - 1 { // the runtime does not do so each time
				n = min(n, mallocs(func() { play(tt.rounds) }))
			}
			if n > most {
				t.Errorf("%d messages of %d bytes: %d allocations; want at most %d", messages, tt.size, n, most)
			}
			h.took(2 * tt.sessions)
		})
	}
}

// way is one direction of a session, from socket to socket.
type way struct {
	from, to net.Conn
	size     int      // of a message
	sealed   [][]byte // messages to be sent
}

func (w *way) send() error {
	_, err := w.from.Write(w.sealed[0])
	w.sealed = w.sealed[1:]
	return err
}

// receive reads the records of a message.
func (w *way) receive(in []byte) error {
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

// pinged reads a ping, and returns its payload.
func (p *peer) pinged() string {
	p.t.Helper()
	h, err := ws.ReadHeader(p)
	if err != nil || h.OpCode != ws.OpPing || h.Masked != (p.side == Backend) {
		p.t.Fatalf("the %s got %+v, %v; want a ping", p.side, h, err)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(p, payload); err != nil {
		p.t.Fatal(err)
	}
	if h.Masked {
		ws.Cipher(payload, h.Mask, 0)
	}
	return string(payload)
}

func TestATLSSessionJoinedToAStoppedEngineIsTold(t *testing.T) {
	secure := forgedTLS(t, loopback)
	h := newHall(t)
	h.stop()
	c, b := h.join(secure, secure, Session{})
	c.expect(`close 1001 "shutdown"`)
	b.expect("close 1001")
	h.expect(Shutdown, Gateway, 1001)
}

// Keys that are not those of the connection leave the session where it was.
func TestTLSThatCannotBeTakenOverStays(t *testing.T) {
	below := overTLS(t, loopback)
	forgets := func(t testing.TB, side Side) (gateway, peer net.Conn) {
		gateway, peer = below(t, side)
		wire.Of(gateway).Forget()
		return gateway, peer
	}
	old := overTLS(t, loopback, suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA))
	stream := func(t testing.TB, _ Side) (gateway, peer net.Conn) { return net.Pipe() }
	for _, tt := range []struct {
		client, backend link
		why             string // "" where nobody wanted it otherwise
	}{
		{forgets, loopback, ""},
		{forgets, forgets, ""},
		{below, forgets, "began without"},
		{old, loopback, "cipher suite TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"},
		{loopback, old, "cipher suite"},
		{below, stream, "a stream"},
	} {
		var held []*wire.Conn
		keeping := func(kind link) link {
			return func(t testing.TB, side Side) (gateway, peer net.Conn) {
				gateway, peer = kind(t, side)
				if c := wire.Of(gateway); c != nil {
					held = append(held, c)
				}
				return gateway, peer
			}
		}
		h := newHall(t)
		c, b := h.join(keeping(tt.client), keeping(tt.backend), Session{})
		converse(t, c, b)
		why := h.reasons()
		if taken := h.taken.Load(); taken != 0 || len(why) > 1 || !strings.Contains(strings.Join(why, ""), tt.why) || (len(why) == 0) != (tt.why == "") {
			t.Errorf("%d connections taken over, the session stayed for %q; want none and %q", taken, why, tt.why)
		}
		if slices.ContainsFunc(held, (*wire.Conn).Remembers) {
			t.Errorf("a connection of a session that stayed for %q still remembers", why)
		}
		c.send(wstest.Close(1000, ""))
		b.answer("close 1000", wstest.Close(1000, ""))
		c.expect("close 1000")
		c.Close()
		h.expect(Closed, Client, 1000)
		h.noSecrets()
	}
}
