package integration

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// A refusal of the backend reaches the client as it is.
func TestRefusalsPassThrough(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		behave  wstest.Behaviour
		status  int
		body    string
		headers map[string]string
	}{
		{
			name:   "401 with a body",
			behave: wstest.Refusing("401 Unauthorized", "who are you?", `WWW-Authenticate: Basic realm="chat"`, "Content-Type: text/plain"),
			status: 401, body: "who are you?",
			headers: map[string]string{"WWW-Authenticate": `Basic realm="chat"`, "Content-Type": "text/plain"},
		},
		{
			name:    "302",
			behave:  wstest.Refusing("302 Found", "", "Location: https://gateway.test/login?next=%2Fws"),
			status:  302,
			headers: map[string]string{"Location": "https://gateway.test/login?next=%2Fws"},
		},
		{name: "404", behave: wstest.Refusing("404 Not Found", "nobody here"), status: 404, body: "nobody here"},
		{
			name:   "429 with Retry-After",
			behave: wstest.Refusing("429 Too Many Requests", "later", "Retry-After: 7", "Set-Cookie: a=1"),
			status: 429, body: "later",
			headers: map[string]string{"Retry-After": "7", "Set-Cookie": "a=1"},
		},
		{
			name:   "a chunked body",
			behave: wstest.Answering("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno \r\n3\r\nway\r\n0\r\n\r\n"),
			status: 403, body: "no way",
		},
		{
			name:   "a body until the end",
			behave: wstest.Answering("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nno way"),
			status: 403, body: "no way",
		},
		{name: "500", behave: wstest.Refusing("500 Internal Server Error", "broken"), status: 500, body: "broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := wstest.NewBackend(t, tt.behave)
			g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
			for _, target := range g.schemes() {
				r, body := wstest.Ask(t, target, wstest.Handshake("/refused"))
				if r.StatusCode != tt.status || body != tt.body {
					t.Errorf("status %d, body %q; want %d, %q", r.StatusCode, body, tt.status, tt.body)
				}
				for name, want := range tt.headers {
					if got := r.Header.Values(name); !slices.Equal(got, []string{want}) {
						t.Errorf("%s = %q, want %q", name, got, want)
					}
				}
			}
			expect(t, g.request("/refused"), record{"status": tt.status})
		})
	}
}

// An answer that is not valid is a 502, never a session.
func TestBadBackends(t *testing.T) {
	t.Parallel()
	const deflate = "Sec-WebSocket-Extensions: permessage-deflate"
	accepting := func(lines ...string) wstest.Behaviour { return wstest.Accepting(wstest.EchoFrames, lines...) }
	tests := []struct {
		name   string
		behave wstest.Behaviour
		offer  []string
		status int
	}{
		{name: "no Accept", behave: accepting("Sec-WebSocket-Accept:"), status: 502},
		{name: "wrong Accept", behave: accepting("Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="), status: 502},
		{name: "two Accepts", behave: accepting("X: y\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="), status: 502},
		{name: "no Upgrade", behave: accepting("Upgrade:"), status: 502},
		{name: "another Upgrade", behave: accepting("Upgrade: h2c"), status: 502},
		{name: "no Connection", behave: accepting("Connection:"), status: 502},
		{name: "a subprotocol nobody offered", behave: accepting("Sec-WebSocket-Protocol: chat"), status: 502},
		{name: "another subprotocol", behave: accepting("Sec-WebSocket-Protocol: chat"), offer: []string{"Sec-WebSocket-Protocol: chat.v2"}, status: 502},
		{name: "two subprotocols", behave: accepting("Sec-WebSocket-Protocol: a, b"), offer: []string{"Sec-WebSocket-Protocol: a, b"}, status: 502},
		{name: "an extension nobody offered", behave: accepting(deflate), status: 502},
		{name: "another extension", behave: accepting("Sec-WebSocket-Extensions: made-up"), offer: []string{deflate}, status: 502},
		{name: "the extension twice", behave: accepting(deflate + ", permessage-deflate"), offer: []string{deflate}, status: 502},
		{name: "an unasked parameter", behave: accepting(deflate + "; client_max_window_bits=10"), offer: []string{deflate}, status: 502},
		{name: "garbage", behave: wstest.Answering("\x16\x03\x01\x02\x00\x01 this is not HTTP\r\n\r\n"), status: 502},
		{name: "a cut answer", behave: wstest.Answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs"), status: 502},
		{name: "nothing", behave: wstest.Answering(""), status: 502},
		{name: "endless headers", behave: wstest.HeadersForEver, status: 502},
		{name: "endless informational answers", behave: wstest.Answering(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100_000)), status: 502},
		{name: "hangs", behave: wstest.Hanging, status: 504},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := wstest.NewBackend(t, tt.behave)
			g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, websocket: { handshake_timeout: 2s } }]", b.Address))
			for _, target := range g.schemes() {
				if r, body := wstest.Ask(t, target, wstest.Handshake("/bad", tt.offer...)); r.StatusCode != tt.status {
					t.Errorf("status %d, want %d; body %q", r.StatusCode, tt.status, body)
				}
			}
			r := g.request("/bad")
			expect(t, r, record{"status": tt.status, "endpoint": b.Address})
			if r.text("error") == "" {
				t.Errorf("no error in %s", r.text("text"))
			}
		})
	}
}

// A 200 is not a WebSocket, but it is an answer.
func TestBackendThatAnswers200(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Refusing("200 OK", "<p>hello"))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	r, body := wstest.Ask(t, g.https, wstest.Handshake("/"))
	if ok := r.StatusCode == 200 && body == "<p>hello"; !ok && r.StatusCode != 502 {
		t.Errorf("status %d, body %q; want the backend's 200 or 502", r.StatusCode, body)
	}
}

// A 101 to a plain request breaks the protocol.
func TestUnasked101(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x03bad"))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	if r, body := wstest.Ask(t, g.http, "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n"); r.StatusCode != 502 {
		t.Errorf("status %d, want 502; body %q", r.StatusCode, body)
	}
}

func TestOddButGoodBackends(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		behave wstest.Behaviour
	}{
		{"103 before 101", wstest.Informing},
		{"101 byte by byte", wstest.Slowly},
		{"tokens in another case and in lists", wstest.Accepting(wstest.EchoFrames, "Upgrade: WebSocket", "Connection: keep-alive, upgrade")},
		{"extra headers", wstest.Accepting(wstest.EchoFrames, "Server: old/0.1", "Set-Cookie: a=1", "X-Long: "+strings.Repeat("x", 20_000))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := wstest.NewBackend(t, tt.behave)
			g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
			for _, target := range g.schemes() {
				p := wstest.Open(t, target, wstest.Handshake("/"))
				p.Send(wstest.Text("hello"))
				p.Expect(wstest.Text("hello"))
				goodbye(p)
			}
		})
	}
}

func TestUnreachableBackends(t *testing.T) {
	t.Parallel()
	closed := wstest.Reserve(t)
	alive := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf(`
backends:
  half: { endpoints: [%[1]s, %[2]s] }
routes:
  - { path: /closed, backend: %[1]s }
  - { path: /socket, backend: "unix:%[3]s" }
  - { path: /half, backend: half }
`, closed, alive.Address, filepath.Join(t.TempDir(), "none.sock")))
	for _, path := range []string{"/closed", "/socket"} {
		if r, body := wstest.Ask(t, g.http, wstest.Handshake(path)); r.StatusCode != 502 {
			t.Errorf("handshake for %s: status %d, want 502; body %q", path, r.StatusCode, body)
		}
		if r, body := wstest.Ask(t, g.http, "GET "+path+" HTTP/1.1\r\nHost: gateway.test\r\n\r\n"); r.StatusCode != 502 {
			t.Errorf("GET %s: status %d, want 502; body %q", path, r.StatusCode, body)
		}
	}
	// If an endpoint cannot be reached, another one is tried.
	for range 4 {
		p := wstest.Open(t, g.http, wstest.Handshake("/half"))
		goodbye(p)
	}
}

func TestTLSBackends(t *testing.T) {
	t.Parallel()
	ca := wstest.NewCA(t)
	b := wstest.NewTLSBackend(t, wstest.Echo, ca.Server(t, "backend.test", "127.0.0.1"))
	g := start(t, fmt.Sprintf(`
backends:
  trusted: { endpoints: ["wss://%[1]s"], tls: { ca: %[2]q } }
  named: { endpoints: ["https://%[1]s"], tls: { ca: %[2]q, server_name: backend.test } }
  misnamed: { endpoints: ["wss://%[1]s"], tls: { ca: %[2]q, server_name: other.test } }
  unknown: { endpoints: ["wss://%[1]s"] }
routes:
  - { path: /trusted, backend: trusted }
  - { path: /named, backend: named }
  - { path: /misnamed, backend: misnamed }
  - { path: /unknown, backend: unknown }
`, b.Address, ca.File))
	for _, path := range []string{"/trusted", "/named"} {
		p := wstest.Open(t, g.https, wstest.Handshake(path))
		p.Send(wstest.Text("hello"), ws.NewBinaryFrame(make([]byte, 100_000)))
		p.Expect(wstest.Text("hello"), ws.NewBinaryFrame(make([]byte, 100_000)))
		goodbye(p)
	}
	for _, path := range []string{"/misnamed", "/unknown"} {
		if r, body := wstest.Ask(t, g.https, wstest.Handshake(path)); r.StatusCode != 502 {
			t.Errorf("handshake for %s: status %d, want 502; body %q", path, r.StatusCode, body)
		}
	}
}
