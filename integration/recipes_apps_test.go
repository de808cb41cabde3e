//go:build unix

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// A client of Socket.IO polls one endpoint, and its WebSocket opens there too.
func TestRecipeSocketIO(t *testing.T) {
	t.Parallel()
	s := serve(t, "socket-io", map[string]string{"10.0.0.11:3000": application(t).Address, "10.0.0.12:3000": application(t).Address})
	const host, path = "app.example.com", "/socket.io/?EIO=4&transport="
	homes := make(map[string]bool)
	for range 4 { // sessions that are open send the next client elsewhere
		r, _ := s.get(t, host, path+"polling")
		endpoint, cookie := home(t, r, "sluice_app")
		for range 5 {
			if r, _ := s.get(t, host, path+"polling", "Cookie: "+cookie); r.Header.Get("X-Served-By") != endpoint {
				t.Errorf("a poll went to %s, want %s", r.Header.Get("X-Served-By"), endpoint)
			}
		}
		if p := s.echoes(t, host, path+"websocket", "Cookie: "+cookie); p.Head.Get("X-Served-By") != endpoint {
			t.Errorf("the WebSocket went to %s, want %s", p.Head.Get("X-Served-By"), endpoint)
		}
		homes[endpoint] = true
	}
	if len(homes) != 2 {
		t.Errorf("all clients were sent to %v, want both endpoints", homes)
	}
	if status := s.handshake(t, host, path+"websocket", "Origin: https://evil.example"); status != 403 {
		t.Errorf("a page of another host: status %d, want 403", status)
	}
	if r, _ := s.send(t, host, "POST "+path+"polling HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000001\r\n\r\n"); r.StatusCode != 413 {
		t.Errorf("a poll with more than 1 MB: status %d, want 413", r.StatusCode)
	}
	if _, body := s.get(t, host, "/page"); body != "GET /page HTTP/1.1" {
		t.Errorf("another page arrived as %q", body)
	}
}

// noVNC sees no prefix, Jupyter sees its own, and Jupyter is told what it asks about the client.
func TestRecipeNoVNCAndJupyter(t *testing.T) {
	t.Parallel()
	novnc, jupyter := application(t), application(t)
	s := serve(t, "novnc-jupyter", map[string]string{"127.0.0.1:6080": novnc.Address, "127.0.0.1:8888": jupyter.Address})
	const host = "lab.example.com"
	for path, want := range map[string]string{"/novnc/vnc.html": "GET /vnc.html HTTP/1.1", "/jupyter/api": "GET /jupyter/api HTTP/1.1"} {
		if _, body := s.get(t, host, path); body != want {
			t.Errorf("%s arrived as %q, want %q", path, body, want)
		}
	}
	for path, want := range map[string]string{"/novnc": "/novnc/vnc.html", "/jupyter": "/jupyter/"} {
		if r, _ := s.get(t, host, path); r.Header.Get("Location") != want {
			t.Errorf("%s is redirected to %q, want %s", path, r.Header.Get("Location"), want)
		}
	}
	s.echoes(t, host, "/novnc/websockify", "Sec-WebSocket-Protocol: binary")
	s.echoes(t, host, "/jupyter/api/kernels/1/channels")
	if prefix := arrived(t, "/websockify", novnc).Get("X-Forwarded-Prefix"); prefix != "/novnc" {
		t.Errorf("X-Forwarded-Prefix is %q, want /novnc", prefix)
	}
	h := arrived(t, "/jupyter/api/kernels/1/channels", jupyter)
	for name, want := range map[string]string{"Host": host, "X-Forwarded-Proto": "https", "X-Real-IP": "127.0.0.1", "Origin": "https://" + host} {
		if h.Get(name) != want {
			t.Errorf("Jupyter gets %s: %q, want %q", name, h.Get(name), want)
		}
	}
}

// Each development server has its host, hot reload passes, and an API that is down makes a 502.
func TestRecipeDevelopmentServers(t *testing.T) {
	t.Parallel()
	vite, webpack := application(t), application(t)
	s := serve(t, "dev-servers", map[string]string{
		"127.0.0.1:8443": "127.0.0.1:0", "localhost:5173": vite.Address, "localhost:8081": webpack.Address, "127.0.0.1:8000": wstest.Reserve(t),
	})
	if _, err := os.Stat(filepath.Join(filepath.Dir(s.config), ".sluice", "ca", "root.pem")); err != nil {
		t.Errorf("the local CA is not beside the file: %v", err)
	}
	s.roots = poolOf(t, s.rootFile())
	if p := s.echoes(t, "app.localhost", "/?token=x", "Sec-WebSocket-Protocol: vite-hmr"); p.Head.Get("Sec-WebSocket-Protocol") != "vite-hmr" {
		t.Errorf("subprotocol %q, want vite-hmr", p.Head.Get("Sec-WebSocket-Protocol"))
	}
	s.echoes(t, "admin.localhost", "/ws")
	arrived(t, "/?token=x", vite)
	arrived(t, "/ws", webpack)
	if host := arrived(t, "/?token=x", vite).Get("Host"); host != "app.localhost" {
		t.Errorf("Vite gets Host: %s", host)
	}
	for _, host := range []string{"app.localhost", "admin.localhost"} {
		if r, _ := s.get(t, host, "/api/users"); r.StatusCode != 502 {
			t.Errorf("the API of %s is down: status %d, want 502", host, r.StatusCode)
		}
	}
}

// LiveView's sockets go anywhere. What follows SignalR's negotiation goes where that went.
func TestRecipePhoenixAndSignalR(t *testing.T) {
	t.Parallel()
	s := serve(t, "phoenix-signalr", map[string]string{
		"10.0.0.21:4000": application(t).Address, "10.0.0.22:4000": application(t).Address,
		"10.0.0.31:5000": application(t).Address, "10.0.0.32:5000": application(t).Address,
	})
	seen := make(map[string]bool)
	for range 2 {
		seen[s.echoes(t, "live.example.com", "/live/websocket?vsn=2.0.0").Head.Get("X-Served-By")] = true
	}
	if len(seen) != 2 {
		t.Errorf("the sockets of LiveView went to %v, want both endpoints", seen)
	}
	if r, _ := s.get(t, "live.example.com", "/live/longpoll?vsn=2.0.0"); r.StatusCode != 200 || r.Header.Get("Set-Cookie") != "" {
		t.Errorf("a poll of LiveView: status %d, Set-Cookie %q", r.StatusCode, r.Header.Get("Set-Cookie"))
	}
	for range 4 {
		r, _ := s.send(t, "chat.example.com", "POST /chat/negotiate?negotiateVersion=1 HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 0\r\n\r\n")
		endpoint, cookie := home(t, r, "sluice_signalr")
		p := s.echoes(t, "chat.example.com", "/chat?id=1&access_token=secret", "Cookie: "+cookie)
		if got := p.Head.Get("X-Served-By"); got != endpoint {
			t.Errorf("the negotiation went to %s, the socket to %s", endpoint, got)
		}
	}
	if uri := s.wait("session opened", func(r record) bool { return r.text("host") == "chat.example.com" }).text("uri"); strings.Contains(uri, "secret") {
		t.Errorf("the log shows the token: %s", uri)
	}
	for _, host := range []string{"live.example.com", "chat.example.com"} {
		if status := s.handshake(t, host, "/live/websocket", "Origin: https://evil.example"); status != 403 {
			t.Errorf("a page of another host at %s: status %d, want 403", host, status)
		}
	}
}

// Queries and subscriptions have one path. Pages of the application may use both, others none.
func TestRecipeGraphQL(t *testing.T) {
	t.Parallel()
	s := serve(t, "graphql-ws", map[string]string{"10.0.0.15:4000": application(t).Address, "10.0.0.16:4000": application(t).Address})
	const host, page, ours = "api.example.com", "Origin: https://app.example.com", "Sec-WebSocket-Protocol: graphql-transport-ws"
	p := echoes(t, s.at(host), host, "/graphql", page, ours)
	if got := p.Head.Get("Sec-WebSocket-Protocol"); got != "graphql-transport-ws" {
		t.Errorf("subprotocol %q", got)
	}
	p.Send(ws.NewTextFrame(make([]byte, 64<<10+1)))
	p.ExpectClose(1009)
	for line, want := range map[string]int{page: 400, ours: 101, ours + "\r\nOrigin: https://evil.example": 403} {
		if status := s.handshake(t, host, "/graphql", line); status != want {
			t.Errorf("a handshake with %q: status %d, want %d", line, status, want)
		}
	}
	r, body := s.send(t, host, "POST /graphql HTTP/1.1\r\nHost: gateway.test\r\n"+page+"\r\nContent-Length: 2\r\n\r\n{}")
	if body != "POST /graphql HTTP/1.1" || r.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" || r.Header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("a query: %q with %v", body, r.Header)
	}
	r, _ = s.send(t, host, "OPTIONS /graphql HTTP/1.1\r\nHost: gateway.test\r\n"+page+"\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,authorization\r\n\r\n")
	if allowed := strings.ToLower(r.Header.Get("Access-Control-Allow-Headers")); !strings.Contains(allowed, "authorization") || !strings.Contains(allowed, "content-type") {
		t.Errorf("a preflight request: status %d, %v", r.StatusCode, r.Header)
	}
}
