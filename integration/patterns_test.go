package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"sluice/internal/wstest"
)

// askedBackend is a backend that answers with what it was asked, as far as the gateway says it.
func askedBackend(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s prefix=%s client=%s room=%s", r.URL.EscapedPath(), r.Header.Get("X-Forwarded-Prefix"), r.Header.Get("X-Real-IP"), r.Header.Get("X-Room"))
	})
	return webBackend(t, mux)
}

// Hosts and paths in lists, segments and suffixes decide as explain says, for requests and for
// handshakes, and what a segment was goes where the route says.
func TestPatternsOfRoutes(t *testing.T) {
	t.Parallel()
	b := askedBackend(t)
	echo := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf(`
routes:
  - { name: app, host: [a.test, "*.a.test"], path: [/app/*, /old/*], backend: %[1]s }
  - { name: stripped, host: a.test, path: /base/*, strip_prefix: /base, backend: %[1]s }
  - { name: room, path: "/rooms/{id}/info", rewrite: "/r/{path.id}", request: { set_headers: { X-Room: "{path.id}" } }, backend: %[1]s }
  - { name: lobby, path: /rooms/lobby/info, respond: { body: lobby } }
  - { name: socket, path: "/rooms/{id}/ws", backend: %[2]s }
  - { name: php, path: "/*.php", respond: 403 }
  - { name: rest, path: /*, respond: { status: 404, body: rest } }
`, b, echo.Address))
	for _, tt := range []struct{ host, path, route, body string }{
		{"a.test", "/app/x", "app", "/app/x prefix= client=127.0.0.1 room="},
		{"b.a.test", "/old/", "app", "/old/ prefix= client=127.0.0.1 room="},
		{"b.test", "/app/x", "rest", "rest"},
		{"a.test", "/base/x/y", "stripped", "/x/y prefix=/base client=127.0.0.1 room="},
		{"b.test", "/rooms/7/info", "room", "/r/7 prefix= client=127.0.0.1 room=7"},
		{"b.test", "/rooms/a%2Fb/info", "room", "/r/a%2Fb prefix= client=127.0.0.1 room=a%2Fb"},
		{"b.test", "/rooms/a%0d%0aX-Room:8%3fq/info", "room", "/r/a%0D%0AX-Room:8%3Fq prefix= client=127.0.0.1 room=a%0D%0AX-Room:8%3Fq"},
		{"b.test", "/rooms/%2e%2e/info", "rest", "rest"},
		{"b.test", "/rooms/lobby/info", "lobby", "lobby"},
		{"b.test", "/rooms//info", "rest", "rest"},
		{"b.test", "/rooms/7/8/info", "rest", "rest"},
		{"b.test", "/x/y.php", "php", ""},
		{"b.test", "/x/y.php/z", "rest", "rest"},
	} {
		r, body := wstest.Ask(t, g.http, "GET "+tt.path+" HTTP/1.1\r\nHost: "+tt.host+"\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Prefix: /evil\r\n\r\n")
		if tt.body != "" && body != tt.body {
			t.Errorf("%s%s: status %d, %q; want %q", tt.host, tt.path, r.StatusCode, body, tt.body)
		}
		out, _ := sluice(t, "explain", "--config", g.config, "http://"+tt.host+tt.path)
		if !strings.Contains(out, "  route "+tt.route+" (") {
			t.Errorf("explain %s%s says\n%s\nwant route %s", tt.host, tt.path, out, tt.route)
		}
	}
	p := wstest.Open(t, g.http, wstest.Handshake("/rooms/7/ws"))
	p.Send(wstest.Text("hello"))
	p.Expect(wstest.Text("hello"))
}

// A directory is listed where the route says so, and its links lead to its files.
func TestBrowse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "sub", "a b.txt"), "text")
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /shown/*, strip_prefix: /shown, files: { root: %[1]q, browse: true } }
  - { path: /hidden/*, strip_prefix: /hidden, files: %[1]q }
`, root))
	for path, want := range map[string]string{
		"/shown/":              `<a href="./sub/">sub/</a>`,
		"/shown/sub/":          `<a href="./a%20b.txt">a b.txt</a>`,
		"/shown/sub/a%20b.txt": "text",
		"/hidden/":             "404",
		"/hidden/sub/":         "404",
	} {
		r, body := wstest.Ask(t, g.http, get(path))
		if !strings.Contains(body, want) && fmt.Sprint(r.StatusCode) != want {
			t.Errorf("%s: status %d, want %q in\n%s", path, r.StatusCode, want, body)
		}
	}
}

// A backend that speaks HTTP/2 alone is named as that, whatever was asked of it.
func TestBackendsThatSpeakHTTP2Alone(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // what a gRPC server does with a request of HTTP/1.1
				defer c.Close()
				f := http2.NewFramer(c, c)
				_ = f.WriteSettings()
				_ = f.WriteGoAway(0, http2.ErrCodeProtocol, nil)
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", l.Addr()))
	for _, request := range []string{get("/"), wstest.Handshake("/"), "POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1\r\n\r\nx"} {
		before := len(g.log())
		if r, _ := wstest.Ask(t, g.http, request); r.StatusCode != 502 {
			t.Errorf("status %d, want 502", r.StatusCode)
		}
		g.waitFrom(before, "request", func(r record) bool {
			if !strings.Contains(r.text("text"), "it speaks HTTP/2 alone: write h2c://") {
				t.Errorf("the log does not say what to write: %s", r.text("text"))
			}
			return true
		})
	}
}
