package integration

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// The gateway's own errors have the form that the client accepts. They name what failed, and
// tell nothing of the backends behind.
func TestErrorPages(t *testing.T) {
	t.Parallel()
	closed := wstest.Reserve(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "502.html"), "<h1>Our page for {{status}}</h1>")
	write(t, filepath.Join(dir, "4xx.html"), "<h1>Our page for any {{status}}</h1>")
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /down, backend: %[1]s }
  - { path: /paged, backend: %[1]s, error_pages: { "502": %[2]q, "4xx": %[3]q } }
  - { path: /sized, backend: %[1]s, max_body_size: 1KiB, error_pages: { "502": %[2]q, "4xx": %[3]q } }
`, closed, filepath.Join(dir, "502.html"), filepath.Join(dir, "4xx.html")))
	tests := []struct {
		name, path, accept string
		lines              []string
		status             int
		kind, body         string // Content-Type, and what is in it
	}{
		{name: "no route, no preference", path: "/none", status: 404, kind: "text/plain", body: "404"},
		{name: "no route, as HTML", path: "/none", accept: "text/html,application/xhtml+xml,*/*;q=0.8", status: 404, kind: "text/html", body: "<h1>"},
		{name: "no route, as JSON", path: "/none", accept: "application/json", status: 404, kind: "application/problem+json", body: `"status":404`},
		{name: "JSON less than HTML", path: "/none", accept: "application/json;q=0.5, text/html", status: 404, kind: "text/html", body: "<h1>"},
		{name: "no backend", path: "/down", status: 502, kind: "text/plain", body: "502"},
		{name: "no backend, as JSON", path: "/down", accept: "application/json", status: 502, kind: "application/problem+json", body: `"status":502`},
		{name: "a page of the route", path: "/paged", accept: "text/html", status: 502, kind: "text/html", body: "<h1>Our page for 502</h1>"},
		{name: "a page of a class", path: "/sized", accept: "text/html", lines: []string{"Content-Length: 5000"}, status: 413, kind: "text/html", body: "<h1>Our page for any 413</h1>"},
		{name: "JSON in spite of a page", path: "/paged", accept: "application/json", status: 502, kind: "application/problem+json", body: `"status":502`},
	}
	for _, tt := range tests {
		for scheme, target := range g.schemes() {
			t.Run(scheme+"/"+tt.name, func(t *testing.T) {
				lines := tt.lines
				if tt.accept != "" {
					lines = append(slices.Clone(lines), "Accept: "+tt.accept)
				}
				r, body := wstest.Ask(t, target, get(tt.path, lines...))
				if kind := r.Header.Get("Content-Type"); r.StatusCode != tt.status || !strings.HasPrefix(kind, tt.kind) || !strings.Contains(body, tt.body) {
					t.Errorf("status %d, Content-Type %q, body %q; want %d, %q, %q in it", r.StatusCode, kind, body, tt.status, tt.kind, tt.body)
				}
				if strings.Contains(body, closed) {
					t.Errorf("the backend's address is in the body %q", body)
				}
				if tt.kind == "application/problem+json" && !json.Valid([]byte(body)) {
					t.Errorf("no JSON: %q", body)
				}
			})
		}
	}
	if r := g.request("/down"); !strings.Contains(r.text("error"), closed) {
		t.Errorf("the cause is not in the log: %s", r.text("text"))
	}
}

func TestCompression(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("compress me, please. ", 5000)
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain")
		body := text
		switch r.URL.Path {
		case "/etag":
			h.Set("ETag", `"v1"`)
			if strings.Contains(r.Header.Get("If-None-Match"), `"v1"`) {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		case "/small":
			body = "small"
		case "/picture":
			h.Set("Content-Type", "image/png")
		case "/already":
			h.Set("Content-Encoding", "br")
		case "/untouchable":
			h.Set("Cache-Control", "no-transform")
		case "/events":
			h.Set("Content-Type", "text/event-stream")
		case "/range":
			h.Set("Content-Range", "bytes 0-10/100000")
			w.WriteHeader(http.StatusPartialContent)
			body = text[:5000]
		}
		if r.URL.Path == "/unknown-length" {
			w.WriteHeader(http.StatusOK)
		} else {
			h.Set("Content-Length", strconv.Itoa(len(body)))
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q, compress: true }]", b.URL))
	tests := []struct {
		name, path, accept string
		encoding           string
		vary               bool
	}{
		{"gzip", "/", "gzip", "gzip", true},
		{"zstd", "/", "gzip, zstd", "zstd", true},
		{"zstd refused", "/", "gzip, zstd;q=0", "gzip", true},
		{"a client that takes nothing", "/", "identity", "", true},
		{"a client that says nothing", "/", "", "", true},
		{"no length", "/unknown-length", "gzip", "gzip", true},
		{"small", "/small", "gzip", "", true},
		{"a picture", "/picture", "gzip", "", false},
		{"compressed already", "/already", "gzip", "br", false},
		{"not to be transformed", "/untouchable", "gzip", "", false},
		{"events", "/events", "gzip", "", false},
		{"a part", "/range", "gzip", "", false},
	}
	for _, tt := range tests {
		for scheme, target := range g.schemes() {
			t.Run(scheme+"/"+tt.name, func(t *testing.T) {
				var r *http.Response
				var body string
				ask := func() (encoded bool) {
					r, body = wstest.Ask(t, target, get(tt.path, "Accept-Encoding: "+tt.accept))
					return r.Header.Get("Content-Encoding") != ""
				}
				if !ask() && tt.path == "/unknown-length" { // a stream, if the machine has paused behind the head
					eventually(t, "an answer without a length is compressed", ask)
				}
				if got := r.Header.Get("Content-Encoding"); got != tt.encoding {
					t.Fatalf("Content-Encoding = %q, want %q", got, tt.encoding)
				}
				if got := strings.Contains(r.Header.Get("Vary"), "Accept-Encoding"); got != tt.vary && tt.vary {
					t.Errorf("Vary = %q", r.Header.Values("Vary"))
				}
				if tt.encoding != "gzip" {
					return
				}
				z, err := gzip.NewReader(strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if plain, err := io.ReadAll(z); err != nil || string(plain) != text {
					t.Errorf("it unpacks to %d bytes, %v; want %d", len(plain), err, len(text))
				}
			})
		}
	}
	t.Run("curl", func(t *testing.T) {
		need(t, "curl", "--version")
		for _, encoding := range []string{"gzip", "zstd"} {
			out := tool(t, "curl", "--silent", "--show-error", "--cacert", g.ca, "--compressed", "--header", "Accept-Encoding: "+encoding, g.https.URL("/"))
			if out != text {
				t.Errorf("%s: curl got %d bytes, want %d", encoding, len(out), len(text))
			}
		}
	})
	t.Run("validators", func(t *testing.T) {
		r, _ := wstest.Ask(t, g.http, get("/etag", "Accept-Encoding: gzip"))
		etag := r.Header.Get("ETag")
		if !strings.HasPrefix(etag, "W/") {
			t.Errorf("ETag = %q, want a weak one", etag)
		}
		if r, _ := wstest.Ask(t, g.http, get("/etag", "Accept-Encoding: gzip", "If-None-Match: "+etag)); r.StatusCode != http.StatusNotModified {
			t.Errorf("If-None-Match: %s: status %d, want 304", etag, r.StatusCode)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		r, _ := wstest.Ask(t, g.http, strings.Replace(get("/", "Accept-Encoding: gzip"), "GET", "HEAD", 1))
		if n := r.Header.Get("Content-Length"); n == strconv.Itoa(len(text)) && r.Header.Get("Content-Encoding") == "gzip" {
			t.Errorf("Content-Length = %s of what would be compressed", n)
		}
	})
}

// One line of a route sets headers that are easy to get wrong.
func TestHeadersOfTheRoute(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: private\r\nAccess-Control-Allow-Origin: *\r\nX-Total: 7\r\n\r\nok"))
	g := start(t, fmt.Sprintf(`
via: true
routes:
  - { path: /plain, backend: %[1]s }
  - { path: /cached, backend: %[1]s, cache_control: "public, max-age=60" }
  - { path: /secure, backend: %[1]s, security: true }
  - { path: /custom, backend: %[1]s, security: { hsts: 30d, nosniff: false, frame_options: deny } }
  - { path: /cors, backend: %[1]s, cors: { origins: ["https://app.example.com"], methods: [GET, PUT], headers: [Content-Type], expose: [X-Total], credentials: true, max_age: 1h } }
  - { path: /any, backend: %[1]s, cors: "*" }
`, b.Address))
	const app, evil = "Origin: https://app.example.com", "Origin: https://evil.test"
	preflight := func(path, origin, method string) string {
		return strings.Replace(get(path, origin, "Access-Control-Request-Method: "+method), "GET", "OPTIONS", 1)
	}
	tests := []struct {
		name, send, scheme string
		status             int
		want               map[string]string // "" is absent
	}{
		{"nothing", get("/plain"), "wss", 200, map[string]string{"Cache-Control": "private", "Strict-Transport-Security": "", "X-Frame-Options": ""}},
		{"cache_control", get("/cached"), "ws", 200, map[string]string{"Cache-Control": "public, max-age=60"}},
		{"security over TLS", get("/secure"), "wss", 200, map[string]string{"Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN"}},
		{"security over plain TCP", get("/secure"), "ws", 200, map[string]string{"Strict-Transport-Security": "", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN"}},
		{"security in detail", get("/custom"), "wss", 200, map[string]string{"Strict-Transport-Security": "max-age=2592000", "X-Content-Type-Options": "", "X-Frame-Options": "DENY"}},
		{"an origin", get("/cors", app), "wss", 200, map[string]string{"Access-Control-Allow-Origin": "https://app.example.com", "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "X-Total", "Vary": "Origin"}},
		{"another origin", get("/cors", evil), "wss", 200, map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "", "Vary": "Origin"}},
		{"no origin", get("/cors"), "wss", 200, map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{"a preflight", preflight("/cors", app, "PUT"), "wss", 204, map[string]string{"Access-Control-Allow-Origin": "https://app.example.com", "Access-Control-Allow-Credentials": "true", "Access-Control-Max-Age": "3600"}},
		{"a preflight of another origin", preflight("/cors", evil, "PUT"), "wss", 204, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"any origin", get("/any", evil), "ws", 200, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := wstest.Ask(t, g.schemes()[tt.scheme], tt.send)
			if r.StatusCode != tt.status {
				t.Errorf("status %d, want %d", r.StatusCode, tt.status)
			}
			for name, want := range tt.want {
				if got := strings.Join(r.Header.Values(name), ", "); !strings.EqualFold(got, want) && !(name == "Vary" && strings.Contains(got, want)) {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if _, err := http.ParseTime(r.Header.Get("Date")); err != nil {
				t.Errorf("Date: %v", err)
			}
			if tt.status == 200 && !strings.HasPrefix(r.Header.Get("Via"), "1.1 ") {
				t.Errorf("Via = %q", r.Header.Get("Via"))
			}
		})
	}
	for _, h := range b.Seen() {
		if !strings.HasPrefix(h.Get("Via"), "1.1 ") {
			t.Errorf("Via = %q at the backend", h.Get("Via"))
		}
		if strings.HasPrefix(h.Start, "OPTIONS") {
			t.Error("a preflight reached the backend")
		}
	}
}

// Via is off unless asked for; each request has an id of its own, the same at
// the backend and in the log.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	ids := make(map[string]bool)
	for n := range 5 {
		path := fmt.Sprintf("/%d", n)
		r, _ := wstest.Ask(t, g.http, get(path))
		q := b.below(path)[0]
		id := q.Get("X-Request-Id")
		if id == "" || ids[id] || g.request(path).text("id") != id {
			t.Errorf("X-Request-Id = %q, in the log %q", id, g.request(path).text("id"))
		}
		ids[id] = true
		if q.Get("Via") != "" || r.Header.Get("Via") != "" {
			t.Errorf("Via = %q at the backend, %q at the client", q.Get("Via"), r.Header.Get("Via"))
		}
	}
}
