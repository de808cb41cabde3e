package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// A request that is not a valid opening handshake never reaches the backend as one.
func TestBadHandshakes(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /ws/*, backend: %[1]s, protocol: websocket }
  - { path: /chosen, backend: %[1]s, websocket: { subprotocols: [chat.v2] } }
`, b.Address))
	get := wstest.Handshake
	replace := func(old, new string) string { return strings.Replace(get("/ws/"), old, new, 1) }
	tests := []struct {
		name, request string
		status        int
	}{
		{"no key", get("/ws/", "Sec-WebSocket-Key:"), 400},
		{"empty key", replace("dGhlIHNhbXBsZSBub25jZQ==", ""), 400},
		{"key of 15 bytes", get("/ws/", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"), 400},
		{"key of 17 bytes", get("/ws/", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), 400},
		{"key that is not base64", get("/ws/", "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="), 400},
		{"two keys", get("/ws/", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 400},
		{"no version", get("/ws/", "Sec-WebSocket-Version:"), 426},
		{"version 8", get("/ws/", "Sec-WebSocket-Version: 8"), 426},
		{"version 14", get("/ws/", "Sec-WebSocket-Version: 14"), 426},
		{"version of letters", get("/ws/", "Sec-WebSocket-Version: thirteen"), 426},
		{"POST", replace("GET", "POST"), 400},
		{"POST with a body", strings.Replace(get("/ws/", "Content-Length: 4"), "GET", "POST", 1) + "body", 400},
		{"PUT", replace("GET", "PUT"), 400},
		{"a body by length", get("/ws/", "Content-Length: 4") + "body", 400},
		{"a chunked body", get("/ws/", "Transfer-Encoding: chunked") + "4\r\nbody\r\n0\r\n\r\n", 400},
		{"no Upgrade", get("/ws/", "Upgrade:"), 426},
		{"no Connection", get("/ws/", "Connection:"), 426},
		{"Connection without upgrade", get("/ws/", "Connection: keep-alive"), 426},
		{"Upgrade: h2c", get("/ws/", "Upgrade: h2c"), 426},
		{"a plain request", "GET /ws/ HTTP/1.1\r\nHost: gateway.test\r\n\r\n", 426},
		{"subprotocol that is not a token", get("/ws/", "Sec-WebSocket-Protocol: a b"), 400},
		{"extension that does not parse", get("/ws/", `Sec-WebSocket-Extensions: permessage-deflate; x="`), 400},
		{"no subprotocol where one is needed", get("/chosen"), 400},
		{"other subprotocols than the one needed", get("/chosen", "Sec-WebSocket-Protocol: chat.v1, chat"), 400},
		{"no route", get("/none"), 404},
	}
	for scheme, target := range g.schemes() {
		for _, tt := range tests {
			t.Run(scheme+" "+tt.name, func(t *testing.T) {
				r, body := wstest.Ask(t, target, tt.request)
				if r.StatusCode != tt.status {
					t.Errorf("status %d, want %d; body %q", r.StatusCode, tt.status, body)
				}
				if got := r.Header.Get("Sec-WebSocket-Version"); tt.status == 426 && strings.HasPrefix(tt.name, "version") && got != "13" {
					t.Errorf("Sec-WebSocket-Version = %q, want 13", got)
				}
				if tt.status == 426 && !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
					t.Errorf("Upgrade = %q, want websocket (RFC 9110, section 15.5.22)", r.Header.Get("Upgrade"))
				}
			})
		}
	}
	// HTTP/1.0 has no upgrades; without one this is a plain request.
	r, body := wstest.Ask(t, g.http, strings.Replace(get("/ws/"), "HTTP/1.1", "HTTP/1.0", 1))
	if r.StatusCode != 400 && r.StatusCode != 426 {
		t.Errorf("handshake over HTTP/1.0: status %d, want 400 or 426; body %q", r.StatusCode, body)
	}
	for _, h := range b.Seen() {
		t.Errorf("this reached the backend:\n%s", h)
	}
}

func TestGoodHandshakes(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	tests := []struct{ name, request string }{
		{"as browsers send it", wstest.Handshake("/", "Connection: keep-alive, Upgrade", "Origin: https://gateway.test")},
		{"tokens in any case", wstest.Handshake("/", "Connection: UPGRADE", "Upgrade: WebSocket")},
		{"tokens in lists", wstest.Handshake("/", "Connection: x,, upgrade ,y", "Upgrade: h2c, websocket")},
		{"Connection in two lines", wstest.Handshake("/", "Connection: keep-alive", "Connection: Upgrade")},
		{"header names in lower case", strings.ToLower(wstest.Handshake("/", "Sec-WebSocket-Key:", "Host:"))},
		{"a body of length 0", wstest.Handshake("/", "Content-Length: 0")},
		{"an absolute request target", strings.Replace(wstest.Handshake("/"), "GET /", "GET http://gateway.test/", 1)},
	}
	tests[4].request = strings.Replace(tests[4].request, "get / http/1.1\r\n",
		"GET / HTTP/1.1\r\nhost: gateway.test\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 1)
	for scheme, target := range g.schemes() {
		for _, tt := range tests {
			t.Run(scheme+" "+tt.name, func(t *testing.T) {
				p := wstest.Open(t, target, tt.request)
				p.Send(wstest.Text("hello"))
				p.Expect(wstest.Text("hello"))
				goodbye(p)
			})
		}
	}
}

// What the backend gets is one canonical handshake, in the spelling of RFC 6455,
// which some servers look for.
func TestHandshakeAtTheBackend(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /ws/*, backend: %[1]s }
  - { path: /strip/*, backend: %[1]s, strip_prefix: /strip, websocket: { compression: strip } }
  - { path: /set, backend: %[1]s, request: { set_headers: { X-Secret: hunter2 }, remove_headers: [Cookie] } }
  - { path: /chosen, backend: %[1]s, websocket: { subprotocols: [chat.v2, chat.v3] } }
`, b.Address))
	tests := []struct {
		name, request string
		accept        []string
		start         string            // request line at the backend
		has           map[string]string // headers at the backend, exact values
		lacks         []string
	}{
		{
			name:    "spelling",
			request: wstest.Handshake("/ws/a%2Fb?q=1&q=%20", "sec-websocket-protocol: chat", "origin: https://gateway.test", "cookie: a=1; b=2", "authorization: Basic Zm9v"),
			accept:  []string{"Sec-WebSocket-Protocol: chat"},
			start:   "GET /ws/a%2Fb?q=1&q=%20 HTTP/1.1",
			has: map[string]string{
				"Host": "gateway.test", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
				"Sec-WebSocket-Protocol": "chat", "Origin": "https://gateway.test", "Cookie": "a=1; b=2", "Authorization": "Basic Zm9v",
				"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "gateway.test",
			},
		},
		{
			name:    "hop by hop headers stay behind",
			request: wstest.Handshake("/ws/", "Connection: Upgrade, X-Hop", "X-Hop: secret", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers", "Upgrade: h2c, websocket"),
			start:   "GET /ws/ HTTP/1.1",
			has:     map[string]string{"Upgrade": "websocket", "Connection": "Upgrade"},
			lacks:   []string{"X-Hop", "Keep-Alive", "Proxy-Connection", "TE", "Content-Length", "Transfer-Encoding"},
		},
		{
			name:    "compression passes",
			request: wstest.Handshake("/ws/", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame, made-up"),
			accept:  []string{"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"},
			start:   "GET /ws/ HTTP/1.1",
			has:     map[string]string{"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"},
		},
		{
			name:    "compression is stripped, the prefix too",
			request: wstest.Handshake("/strip/ws?x", "Sec-WebSocket-Extensions: permessage-deflate"),
			start:   "GET /ws?x HTTP/1.1",
			lacks:   []string{"Sec-WebSocket-Extensions"},
		},
		{
			name:    "headers of the route",
			request: wstest.Handshake("/set", "Cookie: a=1", "X-Secret: guess"),
			start:   "GET /set HTTP/1.1",
			has:     map[string]string{"X-Secret": "hunter2"},
			lacks:   []string{"Cookie"},
		},
		{
			name:    "only the subprotocols of the route",
			request: wstest.Handshake("/chosen", "Sec-WebSocket-Protocol: chat.v1, chat.v3", "Sec-WebSocket-Protocol: chat.v2"),
			accept:  []string{"Sec-WebSocket-Protocol: chat.v2"},
			start:   "GET /chosen HTTP/1.1",
			has:     map[string]string{"Sec-WebSocket-Protocol": "chat.v3, chat.v2"},
		},
	}
	for scheme, target := range g.schemes() {
		for _, tt := range tests {
			t.Run(scheme+" "+tt.name, func(t *testing.T) {
				client, backend := wstest.Pair(t, target, b, tt.request, tt.accept...)
				if backend.Head.Start != tt.start {
					t.Errorf("request line %q, want %q", backend.Head.Start, tt.start)
				}
				for name, want := range tt.has {
					if got := backend.Head.Values(name); !slices.Equal(got, []string{want}) || !backend.Head.Spelled(name) {
						t.Errorf("%s = %q, want %q in exactly this spelling", name, got, want)
					}
				}
				if got, want := backend.Head.Get("X-Forwarded-Proto"), map[string]string{"ws": "http", "wss": "https"}[scheme]; got != want {
					t.Errorf("X-Forwarded-Proto = %q, want %q", got, want)
				}
				if !backend.Head.Spelled("Sec-WebSocket-Key") {
					t.Error("no Sec-WebSocket-Key in exactly this spelling")
				}
				for _, name := range tt.lacks {
					if got := backend.Head.Values(name); got != nil {
						t.Errorf("%s = %q, want none", name, got)
					}
				}
				for _, line := range tt.accept {
					name, value, _ := strings.Cut(line, ": ")
					if got := client.Head.Values(name); !slices.Equal(got, []string{value}) || !client.Head.Spelled(name) {
						t.Errorf("the client got %s = %q, want %q", name, got, value)
					}
				}
				if t.Failed() {
					t.Logf("at the backend:\n%s", backend.Head)
				}
			})
		}
	}
}

// Only websocket is passed on as an upgrade: any other token is not an upgrade at all.
func TestOtherUpgradesAreStripped(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Refusing("200 OK", "plain"))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for _, token := range []string{"h2c", "TLS/1.0", "websocket2", "spdy, h2c"} {
		t.Run(token, func(t *testing.T) {
			r, body := wstest.Ask(t, g.http, "GET / HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "+token+"\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
			if r.StatusCode != 200 || body != "plain" {
				t.Errorf("status %d, body %q; want 200 plain", r.StatusCode, body)
			}
		})
	}
	for _, h := range b.Seen() {
		if h.Values("Upgrade") != nil || h.Values("HTTP2-Settings") != nil || strings.Contains(strings.ToLower(h.Get("Connection")), "upgrade") {
			t.Errorf("an upgrade reached the backend:\n%s", h)
		}
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /any, backend: %[1]s }
  - { path: /same, backend: %[1]s, websocket: { origins: [same-origin] } }
  - { path: /list, backend: %[1]s, websocket: { origins: ["https://app.example.com", "https://*.example.org"] } }
  - { path: /null, backend: %[1]s, websocket: { origins: ["null"] } }
  - { path: /file, backend: %[1]s, websocket: { origins: ["file://"] } }
`, b.Address))
	tests := []struct {
		path, origin string
		status       int
	}{
		{"/any", "https://evil.example", 101},
		{"/any", "", 101},
		{"/same", "https://gateway.test", 101},
		{"/same", "HTTPS://Gateway.Test", 101},
		{"/same", "https://gateway.test:443", 101},
		{"/same", "http://gateway.test", 403},
		{"/same", "https://gateway.test:444", 403},
		{"/same", "https://evil.example", 403},
		{"/same", "https://gateway.test.evil.example", 403},
		{"/same", "null", 403},
		{"/same", "", 101},
		{"/list", "https://app.example.com", 101},
		{"/list", "https://a.b.example.org", 101},
		{"/list", "https://example.org", 403},
		{"/list", "https://evilexample.org", 403},
		{"/list", "http://app.example.com", 403},
		{"/list", "https://gateway.test", 403},
		{"/null", "null", 101},
		{"/null", "https://gateway.test", 403},
		{"/file", "file://", 101},
		{"/file", "file:///", 403},
		{"/file", "null", 403},
		{"/null", "file://", 403},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %q", tt.path, tt.origin), func(t *testing.T) {
			request := wstest.Handshake(tt.path)
			if tt.origin != "" {
				request = wstest.Handshake(tt.path, "Origin: "+tt.origin)
			}
			if r, body := wstest.Ask(t, g.https, request); r.StatusCode != tt.status {
				t.Errorf("status %d, want %d; body %q", r.StatusCode, tt.status, body)
			}
		})
	}
}

// When a client leaves while the backend has not answered, the connection to the backend ends
// too, and nothing of what the client sent is kept for another one.
func TestClientLeavesDuringTheHandshake(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, websocket: { handshake_timeout: 10m } }]", b.Address))
	for scheme, target := range g.schemes() {
		for name, early := range map[string][]ws.Frame{"in silence": nil, "with frames behind its request": {wstest.Text("secret")}} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				client := wstest.Dial(t, target)
				client.WriteString(wstest.Handshake("/slow") + string(client.Encode(early...)))
				backend := b.Next(t)
				client.Close()
				backend.ExpectCut()

				next, backend := wstest.Pair(t, target, b, wstest.Handshake("/next"))
				next.Send(wstest.Text("mine"))
				backend.Expect(wstest.Text("mine"))
			})
		}
	}
}

func TestPlainRequestBesideWebSockets(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /both, protocol: websocket, backend: %s }
  - { path: /both, protocol: http, respond: { status: 200, body: page } }
`, b.Address))
	if r, body := wstest.Ask(t, g.http, "GET /both HTTP/1.1\r\nHost: gateway.test\r\n\r\n"); r.StatusCode != http.StatusOK || body != "page" {
		t.Errorf("plain request: status %d, body %q; want 200 page", r.StatusCode, body)
	}
	p := wstest.Open(t, g.http, wstest.Handshake("/both"))
	goodbye(p)
}
