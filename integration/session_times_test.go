package integration

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// notBefore fails the test if what has happened now came sooner than after. Start is a
// moment before the gateway began to count. A busy machine can only make it later, and
// how much later is not asserted.
func notBefore(t *testing.T, what string, start time.Time, after time.Duration) {
	t.Helper()
	if passed := time.Since(start); passed < after {
		t.Errorf("%s after %v, want %v at least", what, passed, after)
	}
}

// Data in either direction keeps a session open. Pings do not, though they are
// answered until its end.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	overBoth(t, wstest.Echo, fmt.Sprintf("routes: [{ path: /*, backend: BACKEND, websocket: { idle_timeout: %v } }]", timeout), func(t *testing.T, g *gateway, target wstest.Target, _ *wstest.Backend) {
		for _, tt := range []struct {
			name string
			data time.Duration // for which there is some
		}{
			{"never any data", 0},
			{"data for some time", 3 * timeout},
		} {
			t.Run(tt.name, func(t *testing.T) {
				uri := "/" + tt.data.String()
				start := time.Now()
				last := start // the gateway saw no data later than the next echo
				p := open(t, target, uri)
				for {
					f := wstest.Ping("still here")
					if time.Since(start) < tt.data {
						f = wstest.Text("still here")
						last = time.Now()
					}
					p.Send(f)
					got, err := p.Next()
					if err != nil {
						t.Fatal(err)
					}
					if got.Header.OpCode == ws.OpClose {
						break
					}
					if time.Since(last) > wstest.Guard {
						t.Fatalf("the session is still open %v after its last data", wstest.Guard)
					}
				}
				notBefore(t, "the session ended behind its last data", last, timeout)
				p.Send(wstest.Close(1001, ""))
				p.ExpectEnd()
				expect(t, g.ended(uri), record{"ended_by": "gateway", "cause": "idle", "close_code": 1001})
			})
		}
	})
}

// A session ends in the last tenth of its lifetime, however busy it is.
func TestMaxLifetime(t *testing.T) {
	t.Parallel()
	const lifetime = 500 * time.Millisecond
	overBoth(t, wstest.Echo, fmt.Sprintf("routes: [{ path: /*, backend: BACKEND, websocket: { max_lifetime: %v } }]", lifetime), func(t *testing.T, g *gateway, target wstest.Target, _ *wstest.Backend) {
		start := time.Now()
		p := open(t, target, "/")
		for {
			p.Send(wstest.Text("busy"))
			f, err := p.Next()
			if err != nil {
				t.Fatal(err)
			}
			if f.Header.OpCode == ws.OpClose {
				break
			}
			if time.Since(start) > wstest.Guard {
				t.Fatalf("the session is still open after %v", wstest.Guard)
			}
		}
		notBefore(t, "the session ended", start, lifetime*9/10)
		p.Send(wstest.Close(1001, ""))
		p.ExpectEnd()
		expect(t, g.ended("/"), record{"ended_by": "gateway", "cause": "lifetime over", "close_code": 1001})
	})
}

// spoken returns the next frame that is not a ping of the gateway's own, and
// answers those, which have eight bytes.
func spoken(p wstest.Peer) (ws.Frame, error) {
	for {
		f, err := p.Next()
		if err != nil || f.Header.OpCode != ws.OpPing || f.Header.Length != 8 {
			return f, err
		}
		_ = p.Conn.Send(ws.NewPongFrame(f.Payload)) // the gateway may be gone, and its last frames still to be read
	}
}

// The gateway sends pings of its own to both sides, each with another payload. A side
// that answers stays alive. The other side gets neither these pings nor their pongs, but
// all other ones.
func TestOwnPings(t *testing.T) {
	t.Parallel()
	overBoth(t, nil, "routes: [{ path: /*, backend: BACKEND, websocket: { ping_interval: 50ms, pong_timeout: 15s } }]", func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend) {
		client, backend := wstest.Pair(t, target, b, wstest.Handshake("/"))
		payloads := make(map[string]bool)
		const each = 3
		for _, p := range []wstest.Peer{client, backend} {
			for range each {
				f, err := p.Next()
				if err != nil || f.Header.OpCode != ws.OpPing || f.Header.Length != 8 {
					t.Fatalf("got %+v, %v; want a ping with eight bytes", f.Header, err)
				}
				payloads[string(f.Payload)] = true
				p.Send(ws.NewPongFrame(f.Payload))
			}
		}
		if len(payloads) != 2 {
			t.Errorf("%d different payloads, want one for each side", len(payloads))
		}
		for _, pair := range [][2]wstest.Peer{{client, backend}, {backend, client}} {
			for _, want := range []ws.Frame{wstest.Pong("unasked"), wstest.Ping("mine"), wstest.Pong("another"), wstest.Text("data")} {
				pair[0].Send(want)
				got, err := spoken(pair[1])
				if err != nil || got.Header.OpCode != want.Header.OpCode || !bytes.Equal(got.Payload, want.Payload) {
					t.Fatalf("got %+v %q, %v; want %+v %q", got.Header, got.Payload, err, want.Header, want.Payload)
				}
			}
		}
	})
}

// A side that does not answer a ping of the gateway's own ends the session, also if it
// answered an earlier one. Data is an answer too: another ping follows it.
func TestUnansweredPings(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	overBoth(t, nil, fmt.Sprintf("routes: [{ path: /*, backend: BACKEND, websocket: { ping_interval: 50ms, pong_timeout: %v } }]", timeout), func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend) {
		for side := range sides {
			t.Run(side, func(t *testing.T) {
				client, backend := wstest.Pair(t, target, b, wstest.Handshake("/"+side))
				deaf, other := client, backend
				if side == "backend" {
					deaf, other = backend, client
				}
				told := make(chan ws.Frame, 1) // what ends the answers of the other side
				go func() {
					for {
						f, err := spoken(other)
						if err != nil || f.Header.OpCode == ws.OpClose {
							told <- f
							return
						}
					}
				}()
				ping, err := deaf.Next()
				if err != nil || ping.Header.OpCode != ws.OpPing {
					t.Fatalf("got %+v, %v; want a ping", ping.Header, err)
				}
				deaf.Send(wstest.Text("data, and no pong"))
				for pings := 0; ; {
					f, err := deaf.Next()
					if err != nil {
						t.Fatal(err)
					}
					if f.Header.OpCode == ws.OpPing {
						pings++
						continue
					}
					if pings != 1 {
						t.Errorf("%d pings after data was sent, want 1: there is no other one until it is answered", pings)
					}
					if code, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != 1001 {
						t.Fatalf("got %+v %q, want a Close frame with 1001", f.Header, f.Payload)
					}
					break
				}
				if f := <-told; f.Header.OpCode != ws.OpClose {
					t.Errorf("the other side got no Close frame")
				} else if code, _ := ws.ParseCloseFrameData(f.Payload); code != 1001 {
					t.Errorf("the other side was told %d, want 1001", code)
				}
				_ = client.Conn.Send(wstest.Close(1001, "")) // the gateway may be gone
				_ = backend.Conn.Send(wstest.Close(1001, ""))
				expect(t, g.ended("/"+side), record{"ended_by": side, "cause": "ping unanswered"})
			})
		}
	})
}

// A side may answer only the last of several pings (RFC 6455, section 5.5.3): one
// of the gateway's own does not come behind another that waits for its pong.
func TestOwnPingsDoNotOvertakeAnAnswer(t *testing.T) {
	t.Parallel()
	overBoth(t, nil, "routes: [{ path: /*, backend: BACKEND, websocket: { ping_interval: 50ms, pong_timeout: 1m } }]", func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend) {
		for _, side := range []string{"client", "backend"} {
			t.Run(side, func(t *testing.T) {
				client, backend := wstest.Pair(t, target, b, wstest.Handshake("/"+side))
				slow, other := client, backend
				if side == "backend" {
					slow, other = backend, client
				}
				other.Send(wstest.Ping("mine"))
				const silences = 5
				for range silences { // as long as the slow side is silent too
					f, err := other.Next()
					if err != nil || f.Header.OpCode != ws.OpPing {
						t.Fatalf("got %+v, %v; want a ping", f.Header, err)
					}
					other.Send(ws.NewPongFrame(f.Payload))
				}
				other.Send(wstest.Text("still there"))
				for mine := false; !mine; { // the gateway's own may have gone before it came
					f, err := slow.Next()
					if err != nil || f.Header.OpCode != ws.OpPing {
						t.Fatalf("got %+v, %v; want a ping", f.Header, err)
					}
					mine = string(f.Payload) == "mine"
				}
				slow.Expect(wstest.Text("still there"))
				slow.Send(wstest.Pong("mine"))
				if f, err := spoken(other); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "mine" {
					t.Fatalf("got %+v %q, %v; want the pong", f.Header, f.Payload, err)
				}
			})
		}
	})
}

// A side that has stopped reading is not alive, although its ping waits behind the
// data that it does not take. Without pings stall_timeout ends the session, and a reload
// changes that for open sessions. The other side gets a Close frame.
func TestASideThatStoppedReading(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, rules, reloaded, cause string }{
		{name: "pings", rules: "ping_interval: 500ms, pong_timeout: 2s, stall_timeout: off", cause: "ping unanswered"},
		{name: "no pings", rules: "stall_timeout: 1s", cause: "stalled"},
		{name: "no pings, by a reload", rules: "stall_timeout: off", reloaded: "stall_timeout: 1s", cause: "stalled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, nil, "routes: [{ path: /*, backend: BACKEND, websocket: { "+tt.rules+" } }]", func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend) {
				var told []func()
				for side := range sides {
					told = append(told, stopsReading(t, target, b, side))
				}
				if tt.reloaded != "" {
					g.reload("configuration reloaded", tt.rules, tt.reloaded)
				}
				for _, wait := range told {
					wait()
				}
				for side := range sides {
					expect(t, g.ended("/"+side), record{"ended_by": side, "cause": tt.cause, "close_code": 1001})
				}
			})
		})
	}
}

// stopsReading opens a session in which one side reads nothing, while the other one
// sends until its connection ends. Told waits for that end, and checks the Close frame
// before it: 1001.
func stopsReading(t *testing.T, target wstest.Target, b *wstest.Backend, side string) (told func()) {
	t.Helper()
	client, backend := wstest.Pair(t, target, b, wstest.Handshake("/"+side))
	flood := backend
	if side == "backend" {
		flood = client
	}
	if err := flood.Conn.Conn.SetDeadline(time.Now().Add(2 * wstest.Guard)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for piece, err := flood.Encode(wstest.Text(string(make([]byte, 256<<10)))), error(nil); err == nil; {
			_, err = flood.Conn.Conn.Write(piece)
		}
	}()
	return func() {
		t.Helper()
		for {
			f, err := spoken(flood)
			if err != nil {
				t.Fatalf("got %v, want a Close frame", err)
			}
			if f.Header.OpCode == ws.OpClose {
				if code, _ := ws.ParseCloseFrameData(f.Payload); code != 1001 {
					t.Errorf("got a Close frame with %d, want 1001", code)
				}
				break
			}
		}
		<-done
	}
}

// When a reload is done, its limits hold for sessions that are open, and old ones no
// longer do.
func TestReloadChangesTheLimitsOfOpenSessions(t *testing.T) {
	t.Parallel()
	long := wstest.Text(string(bytes.Repeat([]byte("x"), 2000)))
	pass := func(from, to wstest.Peer, f ws.Frame) {
		from.Send(f)
		to.Expect(f)
	}
	for _, tt := range []struct {
		name, before, after string
		waits               bool                              // what is sent before the reload must arrive behind it
		then                func(client, backend wstest.Peer) // until the Close frames
		code                int                               // of the one to the client; 0: the session goes on
		cause               string
	}{
		{name: "message_size", after: "limits: { message_size: 1KiB }", then: func(c, b wstest.Peer) { c.Send(long) }, code: 1009, cause: "too large"},
		{name: "frame_size of the backend", after: "limits: { backend: { frame_size: 1KiB } }", then: func(c, b wstest.Peer) { b.Send(long) }, code: 1001, cause: "too large"},
		{
			name: "message_rate", after: "limits: { message_rate: 1/h, on_excess: close }", code: 1008, cause: "too fast",
			then: func(c, b wstest.Peer) { pass(c, b, wstest.Text("")); c.Send(wstest.Text("")) },
		},
		{name: "idle_timeout", after: "idle_timeout: 10ms", code: 1001, cause: "idle"},
		{name: "max_lifetime", after: "max_lifetime: 10ms", code: 1001, cause: "lifetime over"},
		{name: "ping_interval", after: "ping_interval: 10ms, pong_timeout: 1m", then: func(c, b wstest.Peer) {
			for _, p := range []wstest.Peer{c, b} {
				if f, err := p.Next(); err != nil || f.Header.OpCode != ws.OpPing {
					t.Errorf("got %+v, %v; want a ping", f.Header, err)
				}
			}
			c.Reset()
		}},
		{name: "no message_size", before: "limits: { message_size: 3KiB }", after: "buffer_size: 4KiB", then: func(c, b wstest.Peer) {
			pass(c, b, wstest.Part(ws.OpText, string(long.Payload)))
			pass(c, b, wstest.Last(string(long.Payload)))
		}},
		{name: "another message_rate, for a message that waits", before: "limits: { message_rate: 1/h }", after: "limits: { message_rate: 1000/s }", waits: true},
		{name: "no message_rate, for a message that waits", before: "limits: { message_rate: 1/h }", after: "idle_timeout: off", waits: true},
		{name: "another byte_rate, for bytes that wait", before: "limits: { byte_rate: 1B/h }", after: "limits: { byte_rate: 1MiB/s }", waits: true},
		{name: "no idle_timeout", before: "idle_timeout: 10m", after: "idle_timeout: off", then: func(c, b wstest.Peer) { pass(b, c, long) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := cmp.Or(tt.before, "idle_timeout: off")
			overBoth(t, nil, "routes: [{ path: /*, backend: BACKEND, websocket: { "+before+" } }]", func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend) {
				uri := "/" + target.Address
				client, backend := wstest.Pair(t, target, b, wstest.Handshake(uri))
				pass(client, backend, wstest.Text("before"))
				if tt.waits {
					client.Send(wstest.Text("waits"))
				}
				g.reload("configuration reloaded", before, tt.after)
				if tt.waits {
					backend.Expect(wstest.Text("waits"))
				}
				if tt.then != nil {
					tt.then(client, backend)
				}
				if tt.code == 0 {
					return
				}
				other := 1001
				if tt.name == "frame_size of the backend" {
					other = 1009
				}
				client.ExpectClose(tt.code)
				backend.ExpectClose(other)
				client.ExpectEnd()
				backend.ExpectEnd()
				expect(t, g.ended(uri), record{"cause": tt.cause})
			})
		})
	}
}

// A side that reads slowly but steadily is alive, however much waits for it.
func TestASideThatReadsSlowlyIsAlive(t *testing.T) {
	t.Parallel()
	const pong, message = 3 * time.Second, 64 << 20
	flooding := func(c *wstest.Conn) {
		if c.Accept() != nil {
			return
		}
		ws.WriteHeader(c, ws.Header{Fin: true, OpCode: ws.OpBinary, Length: message})
		c.Write(make([]byte, message))
		io.Copy(io.Discard, c)
	}
	b := wstest.NewBackend(t, flooding)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, websocket: { ping_interval: 1s, pong_timeout: %s, stall_timeout: %[2]s } }]", b.Address, pong))
	var all sync.WaitGroup
	for scheme, target := range g.schemes() {
		uri := "/" + scheme
		p := wstest.Open(t, target, wstest.Handshake(uri))
		all.Go(func() {
			every := time.NewTicker(100 * time.Millisecond)
			defer every.Stop()
			for end := time.Now().Add(4 * pong); time.Now().Before(end); <-every.C {
				if _, err := io.CopyN(io.Discard, p, 20<<10); err != nil { // 200 KB a second: the buffers of the systems hold more
					t.Errorf("%s: %v", scheme, err)
					return
				}
			}
			p.Close()
		})
	}
	all.Wait()
	for scheme := range g.schemes() {
		if r := g.ended("/" + scheme); r.text("cause") != "client lost" {
			t.Errorf("%s: the session ended by %q", scheme, r.text("cause"))
		}
	}
}
