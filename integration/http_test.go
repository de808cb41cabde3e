package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// shown answers with the request line and the headers that it got. It says that it closes the
// connection: a request that comes on it in that moment may not be repeated.
func shown(t *testing.T) *wstest.Backend {
	return wstest.NewBackend(t, func(c *wstest.Conn) {
		body := c.Head.String()
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nServer: shown\r\nConnection: close\r\nX-Powered-By: old age\r\n\r\n%s", len(body), body)
	})
}

func get(path string, lines ...string) string {
	return strings.Join(append([]string{"GET " + path + " HTTP/1.1", "Host: gateway.test", "Connection: close"}, lines...), "\r\n") + "\r\n\r\n"
}

func TestRequestsAreRouted(t *testing.T) {
	t.Parallel()
	b := shown(t)
	g := start(t, fmt.Sprintf(`
backends:
  shown: { endpoints: [%s] }
routes:
  - { path: /*, respond: { status: 404, body: nothing } }
  - { path: /exact, backend: shown }
  - { path: /api/*, backend: shown, strip_prefix: /api }
  - { path: /old/*, backend: shown, rewrite: /new/v2/* }
  - { path: /one, backend: shown, rewrite: /other }
  - { path: /moved/*, redirect: "https://elsewhere.example/here/*" }
  - { path: /gone, redirect: { to: /exact, status: 302 } }
  - { path: /say, respond: { status: 418, body: "short and stout", content_type: text/x-tea } }
  - { path: /methods, methods: [GET], respond: { body: got } }
  - { path: /methods, methods: [PUT], respond: { body: put } }
  - { path: /cond, headers: { X-Beta: "1" }, respond: { body: beta } }
  - { path: /cond, query: { v: "2" }, respond: { body: v2 } }
  - { path: /cond, respond: { body: plain } }
  - { host: other.test, path: /exact, respond: { body: other host } }
  - { host: "*.wild.test", path: /exact, respond: { body: wild host } }
  - path: /headers
    backend: shown
    request: { set_headers: { X-Added: "yes", X-Replaced: new }, remove_headers: [X-Secret] }
    response: { set_headers: { Server: sluice, X-New: "1" }, remove_headers: [X-Powered-By] }
`, b.Address))
	first := func(line string) string { return line + "\n" }
	tests := []struct {
		name, request string
		status        int
		begins        string // of the body
		headers       map[string]string
	}{
		{name: "nothing more specific", request: get("/other"), status: 404, begins: "nothing"},
		{name: "exact", request: get("/exact?a=1&b=%20"), status: 200, begins: first("GET /exact?a=1&b=%20 HTTP/1.1")},
		{name: "exact is not a prefix", request: get("/exact/"), status: 404},
		{name: "strip_prefix", request: get("/api/users/1?x"), status: 200, begins: first("GET /users/1?x HTTP/1.1")},
		{name: "strip_prefix of all", request: get("/api/"), status: 200, begins: first("GET / HTTP/1.1")},
		{name: "escapes stay", request: get("/api/a%2Fb/%E2%82%AC"), status: 200, begins: first("GET /a%2Fb/%E2%82%AC HTTP/1.1")},
		{name: "dots are resolved", request: get("/exact/../api/x/./y"), status: 200, begins: first("GET /x/y HTTP/1.1")},
		{name: "escaped dots are dots", request: get("/api/%2e%2e/exact"), status: 200, begins: first("GET /exact HTTP/1.1")},
		{name: "an escaped slash does not split", request: get("/api%2Fusers"), status: 404},
		{name: "rewrite", request: get("/old/a/b?c"), status: 200, begins: first("GET /new/v2/a/b?c HTTP/1.1")},
		{name: "rewrite of one path", request: get("/one?c"), status: 200, begins: first("GET /other?c HTTP/1.1")},
		{name: "redirect", request: get("/moved/a%20b?c=d"), status: 308, headers: map[string]string{"Location": "https://elsewhere.example/here/a%20b?c=d"}},
		{name: "redirect with a status", request: get("/gone"), status: 302, headers: map[string]string{"Location": "/exact"}},
		{name: "respond", request: get("/say"), status: 418, begins: "short and stout", headers: map[string]string{"Content-Type": "text/x-tea"}},
		{name: "a method", request: get("/methods"), status: 200, begins: "got"},
		{name: "another method", request: strings.Replace(get("/methods", "Content-Length: 0"), "GET", "PUT", 1), status: 200, begins: "put"},
		{name: "a method without a route falls to the next path", request: strings.Replace(get("/methods"), "GET", "DELETE", 1), status: 404, begins: "nothing"},
		{name: "a header", request: get("/cond", "X-Beta: 1"), status: 200, begins: "beta"},
		{name: "a query", request: get("/cond?a=b&v=2"), status: 200, begins: "v2"},
		{name: "no condition", request: get("/cond", "X-Beta: 0"), status: 200, begins: "plain"},
		{name: "a host", request: strings.Replace(get("/exact"), "gateway.test", "Other.Test:8080", 1), status: 200, begins: "other host"},
		{name: "a wildcard host", request: strings.Replace(get("/exact"), "gateway.test", "a.b.wild.test", 1), status: 200, begins: "wild host"},
		{name: "the wildcard is not its own name", request: strings.Replace(get("/exact"), "gateway.test", "wild.test", 1), status: 200, begins: first("GET /exact HTTP/1.1")},
		{name: "response headers", request: get("/headers"), status: 200, headers: map[string]string{"Server": "sluice", "X-New": "1", "X-Powered-By": ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, body := wstest.Ask(t, g.http, tt.request)
			if r.StatusCode != tt.status || !strings.HasPrefix(body, tt.begins) {
				t.Errorf("status %d, body %q; want %d, %q...", r.StatusCode, body, tt.status, tt.begins)
			}
			for name, want := range tt.headers {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
		})
	}

	_, body := wstest.Ask(t, g.https, get("/headers", "X-Secret: s", "X-Replaced: old", "X-Hop: h", "Connection: X-Hop",
		"X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil.example", "X-Kept: k"))
	lines := strings.Split(body, "\n")
	for _, want := range []string{"Host: gateway.test", "X-Added: yes", "X-Replaced: new", "X-Kept: k",
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: gateway.test"} {
		if !slices.Contains(lines, want) {
			t.Errorf("%q did not reach the backend", want)
		}
	}
	for _, never := range []string{"X-Secret", "X-Hop", "Connection: X", "gopher", "evil.example", "X-Replaced: old"} {
		if strings.Contains(body, never) {
			t.Errorf("%q reached the backend", never)
		}
	}
	if t.Failed() {
		t.Logf("at the backend:\n%s", body)
	}
}

func TestRequestsAreLogged(t *testing.T) {
	t.Parallel()
	b := shown(t)
	g := start(t, fmt.Sprintf(`
backends: { shown: { endpoints: [%s] } }
routes: [{ name: main, path: /*, backend: shown }]
`, b.Address))
	_, body := wstest.Ask(t, g.http, get("/page?a=1"))
	r := g.request("/page?a=1")
	expect(t, r, record{
		"route": "main", "backend": "shown", "endpoint": b.Address, "method": "GET",
		"host": "gateway.test", "status": 200, "bytes_out": len(body),
	})
	if !strings.HasPrefix(r.text("client"), "127.0.0.1") {
		t.Errorf("client = %q, want 127.0.0.1", r.text("client"))
	}
}

func TestRedactedQueriesStaySecret(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := startFile(t, fmt.Sprintf(`
listeners: ["127.0.0.1:0"]
log: { format: json, level: debug, redact: [token] }
state_dir: %q
routes:
  - { path: /ws, backend: %s }
  - { path: /page, respond: { body: hello } }
`, t.TempDir(), b.Address))
	plain := wstest.Target{Address: g.listener(false)}
	goodbye(wstest.Open(t, plain, wstest.Handshake("/ws?token=hunter2&a=b&%74oken=hunter3")))
	g.wait("session ended", nil)
	wstest.Ask(t, plain, get("/page?x&token=hunter4"))
	g.wait("request", func(r record) bool { return strings.HasPrefix(r.text("uri"), "/page") })
	for _, r := range g.log() {
		if strings.Contains(r.text("text"), "hunter") {
			t.Errorf("a secret is in the log: %s", r.text("text"))
		}
	}
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Proto", r.Header.Get("X-Forwarded-Proto"))
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(n))
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.URL))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.https.URL("/x"), strings.NewReader(strings.Repeat("body ", 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "gateway.test"
	r, err := g.client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.ProtoMajor != 2 || r.StatusCode != 200 || len(body) != 500_000 {
		t.Errorf("HTTP/%d, status %d, %d bytes, %v; want HTTP/2, 200, 500000", r.ProtoMajor, r.StatusCode, len(body), err)
	}
	if got := r.Header.Get("X-Proto"); got != "https" {
		t.Errorf("X-Forwarded-Proto = %q, want https", got)
	}
	if got := r.Trailer.Get("X-Sum"); got != "500000" {
		t.Errorf("trailer X-Sum = %q, want 500000", got)
	}
}

// Each side gets what the other one has sent so far, without waiting for its end.
func TestBodiesStreamBothWays(t *testing.T) {
	t.Parallel()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := c.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		_ = c.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintf(w, "re: %s\n", lines.Text())
			_ = c.Flush()
		}
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.URL))
	for name, target := range map[string]wstest.Target{"HTTP/1.1": g.http, "HTTP/2": g.https} {
		t.Run(name, func(t *testing.T) {
			in, out := io.Pipe()
			guard := time.AfterFunc(wstest.Guard, func() { out.CloseWithError(os.ErrDeadlineExceeded) })
			defer guard.Stop()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target.URL("/"), in)
			if err != nil {
				t.Fatal(err)
			}
			r, err := g.client(t).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			answers := bufio.NewReader(r.Body)
			for _, line := range []string{"one", "two", "three"} {
				fmt.Fprintln(out, line)
				if got, err := answers.ReadString('\n'); got != "re: "+line+"\n" {
					t.Fatalf("got %q, %v; want the answer to %q", got, err, line)
				}
			}
			out.Close()
			if rest, err := io.ReadAll(answers); err != nil || len(rest) != 0 {
				t.Errorf("behind the last answer: %q, %v", rest, err)
			}
		})
	}
}

// An answer that is cut does not look whole to the client.
func TestCutAnswerStaysCut(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for _, target := range g.schemes() {
		r, err := g.client(t).Get(target.URL("/"))
		if err != nil {
			continue // cut before its headers came: cut all the same
		}
		if body, err := io.ReadAll(r.Body); err == nil {
			t.Errorf("HTTP/%d: got %q as a whole body", r.ProtoMajor, body)
		}
		r.Body.Close()
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	write(t, outside, "secret")
	write(t, filepath.Join(root, "index.html"), "<h1>home")
	write(t, filepath.Join(root, "page.txt"), "0123456789")
	write(t, filepath.Join(root, ".hidden"), "secret")
	if err := errors.Join(
		os.Mkdir(filepath.Join(root, "dir"), 0o700),
		os.Mkdir(filepath.Join(root, ".git"), 0o700),
		os.Symlink(outside, filepath.Join(root, "link")),
	); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, ".git", "config"), "secret")
	g := start(t, fmt.Sprintf("routes: [{ path: /static/*, strip_prefix: /static, files: %q }]", root))
	tests := []struct {
		name, request string
		status        int
		body          string
	}{
		{"a file", get("/static/page.txt"), 200, "0123456789"},
		{"the index", get("/static/"), 200, "<h1>home"},
		{"a range", get("/static/page.txt", "Range: bytes=2-4"), 206, "234"},
		{"a dot file", get("/static/.hidden"), 404, ""},
		{"below a dot directory", get("/static/.git/config"), 404, ""},
		{"an escaped dot file", get("/static/%2ehidden"), 404, ""},
		{"a link that leads out", get("/static/link"), 404, ""},
		{"no such file", get("/static/none"), 404, ""},
		{"a directory without an index", get("/static/dir/"), 404, ""},
		{"above the root", get("/static/../../../../etc/passwd"), 404, ""},
		{"above the root, escaped", get("/static/%2e%2e%2f%2e%2e%2fetc/passwd"), 404, ""},
		{"above the root, backslashes", get(`/static/..%5c..%5csecret`), 404, ""},
		{"a POST", strings.Replace(get("/static/page.txt", "Content-Length: 0"), "GET", "POST", 1), 405, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, body := wstest.Ask(t, g.http, tt.request)
			if r.StatusCode != tt.status || tt.body != "" && body != tt.body || strings.Contains(body, "secret") {
				t.Errorf("status %d, body %q; want %d, %q", r.StatusCode, body, tt.status, tt.body)
			}
		})
	}
	r, _ := wstest.Ask(t, g.http, get("/static/page.txt"))
	etag := r.Header.Get("ETag")
	if r, _ := wstest.Ask(t, g.http, get("/static/page.txt", "If-None-Match: "+etag)); etag == "" || r.StatusCode != 304 {
		t.Errorf("If-None-Match with the ETag %q: status %d, want 304", etag, r.StatusCode)
	}
	if r, _ := wstest.Ask(t, g.http, get("/static/dir")); r.Header.Get("Location") != "/static/dir/" {
		t.Errorf("a directory without a slash: status %d, Location %q; want /static/dir/", r.StatusCode, r.Header.Get("Location"))
	}
}
