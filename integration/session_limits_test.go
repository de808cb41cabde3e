package integration

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// overBoth runs a test over ws and over wss, each with a gateway of its own and a
// backend, whose address stands for BACKEND in body.
func overBoth(t *testing.T, behave wstest.Behaviour, body string, test func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend)) {
	t.Helper()
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			b := wstest.NewBackend(t, behave)
			g := start(t, strings.ReplaceAll(body, "BACKEND", b.Address))
			test(t, g, g.schemes()[scheme], b)
		})
	}
}

// try makes a handshake. If the answer is 101 there is a session, else the connection is
// closed.
func try(t *testing.T, target wstest.Target, uri string, lines ...string) (p wstest.Peer, answer *http.Response) {
	t.Helper()
	p = wstest.Dial(t, target)
	p.WriteString(wstest.Handshake(uri, lines...))
	if answer, _ = p.Answer("GET "); answer.StatusCode != http.StatusSwitchingProtocols {
		p.Close()
	}
	return p, answer
}

// open is try where a session is expected.
func open(t *testing.T, target wstest.Target, uri string, lines ...string) wstest.Peer {
	t.Helper()
	p, answer := try(t, target, uri, lines...)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the handshake for %s was answered with %s, want a session", uri, answer.Status)
	}
	return p
}

// refused is try where a refusal is expected: it has Retry-After, and the log names the limit.
func refused(t *testing.T, g *gateway, target wstest.Target, uri string, status int, limit string, lines ...string) {
	t.Helper()
	_, answer := try(t, target, uri, lines...)
	if answer.StatusCode != status {
		t.Fatalf("the handshake for %s was answered with %s, want %d", uri, answer.Status, status)
	}
	after := answer.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(after); err != nil || seconds < 1 || seconds > 3600 {
		t.Errorf("Retry-After = %q, want seconds", after)
	}
	if r := g.request(uri); r.number("status") != status || !strings.Contains(r.text("error"), limit) {
		t.Errorf("want status %d and an error with %q in %s", status, limit, r.text("text"))
	}
}

// played does with each connection what the test says for its path up to the last '/', or
// echoes.
func played(by map[string]wstest.Behaviour) wstest.Behaviour {
	return func(c *wstest.Conn) {
		path := strings.Fields(c.Head.Start)[1]
		behave, ok := by[path[:strings.LastIndexByte(path, '/')]]
		if !ok {
			behave = wstest.Echo
		}
		behave(c)
	}
}

// A session counts from its handshake on, and stops counting exactly once, however the
// handshake fails or the session ends. Many times more sessions than the limit come one after
// the other, and then as many fit as before.
func TestSeats(t *testing.T) {
	t.Parallel()
	const seats = 2
	ways := []struct {
		name    string
		path    string // default: below /live
		backend wstest.Behaviour
		status  int // of the handshake, unless the client leaves or a session comes about
		leaves  bool
		client  func(p wstest.Peer) // of a session
		cause   string              // of its end
	}{
		{name: "backend-refuses", backend: wstest.Refusing("403 Forbidden", "no"), status: 403},
		{name: "backend-hangs-up", backend: func(*wstest.Conn) {}, status: 502},
		{name: "backend-answers-nonsense", backend: wstest.Answering("nonsense\r\n\r\n"), status: 502},
		{name: "backend-accepts-wrongly", backend: wstest.Accepting(wstest.EchoFrames, "Sec-WebSocket-Accept: wrong"), status: 502},
		{name: "backend-never-answers", path: "/hasty", backend: wstest.Hanging, status: 504},
		{name: "no-backend", path: "/dead", status: 502},
		{name: "client-leaves", backend: wstest.Hanging, leaves: true},
		{name: "client-closes", client: goodbye, cause: "close"},
		{name: "backend-closes", backend: wstest.Dying("\x88\x02\x03\xe8"), client: ends(1000), cause: "close"},
		{name: "client-hangs-up", client: func(p wstest.Peer) { p.Close() }, cause: "client lost"},
		{name: "client-resets", client: wstest.Peer.Reset, cause: "client lost"},
		{name: "backend-hangs-up-later", backend: wstest.Dying(""), client: ends(1014), cause: "backend lost"},
		{name: "client-violates", client: func(p wstest.Peer) { p.WriteString("\x83\x00"); ends(1002)(p) }, cause: "protocol violation"},
		{name: "backend-violates", backend: wstest.Dying("\x83\x00"), client: ends(1001), cause: "protocol violation"},
		{
			name: "message-too-large", path: "/small", cause: "too large",
			client: func(p wstest.Peer) { p.Send(wstest.Text("12345")); ends(1009)(p) },
		},
		{
			name: "too-fast", path: "/slow", cause: "too fast",
			client: func(p wstest.Peer) {
				p.Send(wstest.Text("1"))
				p.Expect(wstest.Text("1"))
				p.Send(wstest.Text("2"))
				ends(1008)(p)
			},
		},
		{name: "idle", path: "/idle", client: ends(1001), cause: "idle"},
		{name: "lived-long-enough", path: "/short", client: ends(1001), cause: "lifetime over"},
		{name: "ping-unanswered", path: "/pinged", client: func(p wstest.Peer) {
			if f, err := p.Next(); err != nil || f.Header.OpCode != ws.OpPing {
				t.Errorf("got %v, %v; want a ping", f.Header, err)
			}
			ends(1001)(p)
		}, cause: "ping unanswered"},
	}
	behave := make(map[string]wstest.Behaviour)
	for i := range ways {
		w := &ways[i]
		if w.path == "" {
			w.path = "/live"
		}
		if w.path += "/" + w.name; w.backend != nil {
			behave[w.path] = w.backend
		}
	}
	for _, limit := range []struct {
		name, global, route string
		status              int
		says                string
	}{
		{"sessions", "", "sessions: 2", 503, "'sessions'"},
		{"sessions_per_ip", "", "sessions_per_ip: 2", 429, "'sessions_per_ip'"},
		{"max_sessions", "max_sessions: 2", "sessions: 0", 503, "'max_sessions'"},
	} {
		t.Run(limit.name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, played(behave), fmt.Sprintf(`
%[1]s
routes:
  - { path: /live/*, backend: BACKEND, websocket: { limits: { %[2]s } } }
  - { path: /hasty/*, backend: BACKEND, websocket: { handshake_timeout: 20ms, limits: { %[2]s } } }
  - { path: /dead/*, backend: "127.0.0.1:1", websocket: { limits: { %[2]s } } }
  - { path: /small/*, backend: BACKEND, websocket: { limits: { %[2]s, message_size: 4B } } }
  - { path: /slow/*, backend: BACKEND, websocket: { limits: { %[2]s, message_rate: 1/h, on_excess: close } } }
  - { path: /idle/*, backend: BACKEND, websocket: { idle_timeout: 20ms, limits: { %[2]s } } }
  - { path: /short/*, backend: BACKEND, websocket: { max_lifetime: 20ms, limits: { %[2]s } } }
  - { path: /pinged/*, backend: BACKEND, websocket: { ping_interval: 20ms, pong_timeout: 20ms, limits: { %[2]s } } }
  - { path: /removed/*, backend: BACKEND, websocket: { limits: { %[2]s } } }
`, limit.global, limit.route), func(t *testing.T, g *gateway, target wstest.Target, _ *wstest.Backend) {
				count := 0
				next := func(path string) string {
					count++
					return fmt.Sprintf("%s/%d", path, count)
				}
				full := func() { // all seats are taken, the next one is refused, all are given back
					t.Helper()
					sessions := make(map[string]wstest.Peer)
					for range seats {
						uri := next("/live/full")
						sessions[uri] = open(t, target, uri)
					}
					refused(t, g, target, next("/live/beyond"), limit.status, limit.says)
					for uri, p := range sessions {
						goodbye(p)
						g.ended(uri)
					}
				}
				full()
				for _, w := range ways {
					for range seats + 1 {
						uri := next(w.path)
						switch {
						case w.leaves:
							p := wstest.Dial(t, target)
							p.WriteString(wstest.Handshake(uri))
							p.Close()
							g.request(uri)
						case w.status != 0:
							if _, answer := try(t, target, uri); answer.StatusCode != w.status {
								t.Fatalf("%s: the handshake was answered with %s, want %d", w.name, answer.Status, w.status)
							}
							expect(t, g.request(uri), record{"status": w.status})
						default:
							w.client(open(t, target, uri))
							expect(t, g.ended(uri), record{"cause": w.cause})
						}
					}
					full()
				}
				removed := make(map[string]wstest.Peer)
				for range seats {
					uri := next("/removed/by-reload")
					removed[uri] = open(t, target, uri)
				}
				g.reload("configuration reloaded", "/removed/*", "/other/*")
				for uri, p := range removed {
					ends(1012)(p)
					expect(t, g.ended(uri), record{"cause": "route removed"})
				}
				full()
			})
		})
	}
}

// ends expects the Close frame with a code, and the end of the connection.
func ends(code int) func(wstest.Peer) {
	return func(p wstest.Peer) {
		p.ExpectClose(code)
		p.ExpectEnd()
	}
}

// sessions_per_ip and handshake_rate count by client: the one that a trusted proxy names, else
// the address that connects; IPv6 by its /64.
func TestLimitsOfAnAddress(t *testing.T) {
	t.Parallel()
	for _, limit := range []struct{ name, text, says string }{
		{"sessions_per_ip", "sessions_per_ip: 2", "'sessions_per_ip'"},
		{"handshake_rate", "handshake_rate: 1/h, handshake_burst: 2", "'handshake_rate'"},
	} {
		for _, tt := range []struct {
			name, proxies string
			clients       []string
			in            []bool // of each
		}{
			{"nobody in front", "", []string{"", "", ""}, []bool{true, true, false}},
			{"a stranger says so", "", []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"}, []bool{true, true, false}},
			{
				"a proxy in front", `trusted_proxies: [127.0.0.1, "::1"]`,
				[]string{"203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2", "198.51.100.7, 203.0.113.2", "203.0.113.2"},
				[]bool{true, true, false, true, true, false},
			},
			{
				"IPv6", `trusted_proxies: [127.0.0.1, "::1"]`,
				[]string{"2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::3", "2001:db8:0:2::1"},
				[]bool{true, true, false, true},
			},
		} {
			t.Run(limit.name+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				overBoth(t, wstest.Echo, fmt.Sprintf("%s\nroutes: [{ path: /*, backend: BACKEND, websocket: { limits: { %s } } }]", tt.proxies, limit.text),
					func(t *testing.T, g *gateway, target wstest.Target, _ *wstest.Backend) {
						for i, client := range tt.clients {
							uri := fmt.Sprintf("/%d", i)
							if tt.in[i] {
								open(t, target, uri, "X-Forwarded-For: "+client)
							} else {
								refused(t, g, target, uri, http.StatusTooManyRequests, limit.says, "X-Forwarded-For: "+client)
							}
						}
					})
			})
		}
	}
}

// Handshakes that fail count too, for whatever reason, and a reload that does not change the
// rate forgets none of them.
func TestHandshakeRateCountsFailures(t *testing.T) {
	t.Parallel()
	refusing := played(map[string]wstest.Behaviour{"/no": wstest.Refusing("403 Forbidden", "no")})
	overBoth(t, refusing, "routes: [{ path: /*, backend: BACKEND, websocket: { origins: [same-origin], limits: { handshake_rate: 1/h, handshake_burst: 3 } } }]",
		func(t *testing.T, g *gateway, target wstest.Target, _ *wstest.Backend) {
			for uri, lines := range map[string][]string{"/no/backend": nil, "/no/origin": {"Origin: https://evil.test"}} {
				if _, answer := try(t, target, uri, lines...); answer.StatusCode != http.StatusForbidden {
					t.Errorf("%s: %s, want 403", uri, answer.Status)
				}
			}
			g.reload("configuration reloaded", "same-origin", "https://app.test")
			goodbye(open(t, target, "/in"))
			refused(t, g, target, "/beyond", http.StatusTooManyRequests, "'handshake_rate'")
			g.reload("configuration reloaded", "handshake_burst: 3", "handshake_burst: 1")
			goodbye(open(t, target, "/in-again"))
			refused(t, g, target, "/beyond-again", http.StatusTooManyRequests, "'handshake_rate'")
		})
}

// A lower limit after a reload ends no session. New ones are refused until there are few
// enough.
func TestLoweredSessions(t *testing.T) {
	t.Parallel()
	for _, limit := range []struct {
		name, old, new string
		status         int
	}{
		{"sessions", "sessions: 3", "sessions: 1", 503},
		{"sessions_per_ip", "sessions_per_ip: 3", "sessions_per_ip: 1", 429},
		{"max_sessions", "max_sessions: 3", "max_sessions: 1", 503},
	} {
		t.Run(limit.name, func(t *testing.T) {
			t.Parallel()
			text := "routes: [{ path: /*, backend: BACKEND, websocket: { limits: { " + limit.old + " } } }]"
			if limit.name == "max_sessions" {
				text = limit.old + "\nroutes: [{ path: /*, backend: BACKEND }]"
			}
			overBoth(t, wstest.Echo, text, func(t *testing.T, g *gateway, target wstest.Target, _ *wstest.Backend) {
				one, two := open(t, target, "/one"), open(t, target, "/two")
				g.reload("configuration reloaded", limit.old, limit.new)
				refused(t, g, target, "/over", limit.status, "'"+limit.name+"'")
				goodbye(one)
				g.ended("/one")
				refused(t, g, target, "/still-over", limit.status, "'"+limit.name+"'")
				goodbye(two)
				g.ended("/two")
				goodbye(open(t, target, "/in"))
			})
		})
	}
}

// eventually calls f until it is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for guard := time.After(wstest.Guard); !f(); {
		select {
		case <-again.C:
		case <-guard:
			t.Fatalf("%s: not within %v", what, wstest.Guard)
		}
	}
}
