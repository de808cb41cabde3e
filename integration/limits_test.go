package integration

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sluice/internal/wstest"
)

// listening is a whole configuration with settings of both its listeners.
func listening(t *testing.T, settings, body string) *gateway {
	t.Helper()
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test", "127.0.0.1")
	g := startFile(t, fmt.Sprintf(`
listeners:
  - { address: "127.0.0.1:0", %[1]s }
  - { address: "localhost:0", tls: true, %[1]s }
tls: { certificates: [{ cert: %[2]q, key: %[3]q }] }
log: { format: json }
state_dir: %[4]q
%[5]s`, settings, cert, key, t.TempDir(), body))
	g.ca = ca.File
	g.http = wstest.Target{Address: g.listener(false)}
	g.https = wstest.Target{Address: g.listener(true), TLS: ca.Client("gateway.test")}
	return g
}

// cut reads to the end of a connection that the gateway must end.
func cut(t *testing.T, p wstest.Peer) string {
	t.Helper()
	b, err := io.ReadAll(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is still open after %v", wstest.Guard)
	}
	return string(b)
}

func TestSlowHeadsAndIdleConnectionsAreCut(t *testing.T) {
	t.Parallel()
	g := listening(t, "timeouts: { header: 1s, idle: 1s }", "routes: [{ path: /*, respond: { body: hello } }]")
	for scheme, target := range g.schemes() {
		for name, sent := range map[string]string{
			"half a request line": "GET / HT", "half a head": "GET / HTTP/1.1\r\nHost: gateway.test\r\nX: ", "nothing": "",
		} {
			t.Run(scheme+"/"+name, func(t *testing.T) {
				t.Parallel()
				p := wstest.Dial(t, target)
				p.WriteString(sent)
				if got := cut(t, p); got != "" && !strings.HasPrefix(got, "HTTP/1.1 4") {
					t.Errorf("got %q, want nothing or a refusal", got)
				}
			})
		}
		t.Run(scheme+"/idle", func(t *testing.T) {
			t.Parallel()
			p := wstest.Dial(t, target)
			p.WriteString("GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
			if r, body := p.Answer("GET "); r.StatusCode != 200 || body != "hello" {
				t.Fatalf("status %d, body %q", r.StatusCode, body)
			}
			if got := cut(t, p); got != "" && !strings.HasPrefix(got, "HTTP/1.1 408 ") {
				t.Errorf("got %q, want nothing", got)
			}
		})
	}
	t.Run("no TLS handshake", func(t *testing.T) {
		t.Parallel()
		cut(t, wstest.Dial(t, wstest.Target{Address: g.https.Address}))
	})
	t.Run("half a TLS handshake", func(t *testing.T) {
		t.Parallel()
		p := wstest.Dial(t, wstest.Target{Address: g.https.Address})
		p.WriteString("\x16\x03\x01\x02\x00\x01\x00")
		cut(t, p)
	})
	t.Run("an idle connection of HTTP/2", func(t *testing.T) {
		t.Parallel()
		s := dial2(t, g.https)
		for {
			if _, err := s.ReadFrame(); err != nil {
				if ended(err) != nil {
					t.Error(err)
				}
				return
			}
		}
	})
}

// Bodies that stand still are cut in both directions, after the ten seconds of credit that
// every body has.
func TestSlowBodiesAreCut(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("x", 64<<20)
	b := wstest.NewBackend(t, serving(func(c *wstest.Conn, _, target string) bool {
		if target != "/down" {
			return answered(c, "GET", target)
		}
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
		return err == nil
	}))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, min_body_rate: 1MiB/s }]", b.Address))
	for scheme, target := range g.schemes() {
		t.Run(scheme+"/up", func(t *testing.T) {
			t.Parallel()
			p := wstest.Dial(t, target)
			p.WriteString("POST /up/" + scheme + " HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000000\r\n\r\nsome")
			if got := cut(t, p); got != "" && !strings.HasPrefix(got, "HTTP/1.1 408 ") {
				t.Errorf("got %.200q, want 408 or nothing", got)
			}
			if r := g.request("/up/" + scheme); r.text("error") == "" {
				t.Errorf("no error in %s", r.text("text"))
			}
		})
		t.Run(scheme+"/down", func(t *testing.T) {
			t.Parallel()
			p := wstest.Dial(t, target)
			p.WriteString("GET /down HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
			p.ReadHead() // and nothing of the body
			r := g.wait("request", func(r record) bool { return r.text("uri") == "/down" && r.text("error") != "" })
			if r.number("bytes_out") >= len(page) {
				t.Errorf("all of it was sent: %s", r.text("text"))
			}
		})
	}
}

func TestBackendThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Hanging)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, timeouts: { response: 1s } }]", b.Address))
	for _, target := range g.schemes() {
		if r, body := wstest.Ask(t, target, get("/")); r.StatusCode != http.StatusGatewayTimeout || strings.Contains(body, b.Address) {
			t.Errorf("status %d, body %q; want 504 without the backend's address", r.StatusCode, body)
		}
	}
	expect(t, g.request("/"), record{"status": 504, "endpoint": b.Address})
}

func TestBodiesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, max_body_size: 1KiB }]", b.Address))
	full, over := strings.Repeat("x", 1024), strings.Repeat("x", 1025)
	in := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
	const te = "Transfer-Encoding: chunked"
	tests := []struct {
		name, send string
		status     int
	}{
		{"declared, just right", post(full, "Content-Length: 1024"), 200},
		{"declared, too large", post(over, "Content-Length: 1025"), 413},
		{"declared, far too large", post("", "Content-Length: 99999999999"), 413},
		{"declared and expecting", post("", "Content-Length: 1025", "Expect: 100-continue"), 413},
		{"chunked, just right", post(in(full), te), 200},
		{"chunked, too large", post(in(over), te), 413},
		{"chunked, far too large", post(strings.Repeat(fmt.Sprintf("400\r\n%s\r\n", full), 100), te), 413},
	}
	for i, tt := range tests {
		for scheme, target := range g.schemes() {
			t.Run(scheme+"/"+tt.name, func(t *testing.T) {
				id := fmt.Sprintf("/%s-%d/", scheme, i)
				p := wstest.Dial(t, target)
				defer p.Close()
				go func() { _, _ = io.WriteString(p.Conn, strings.ReplaceAll(tt.send, "/@/", id)) }()
				r, body := p.Answer("POST ")
				if r.StatusCode != tt.status {
					t.Errorf("status %d, body %q; want %d", r.StatusCode, body, tt.status)
				}
				if got := len(b.below(id)); (got == 1) != (tt.status == 200) {
					t.Errorf("the backend got %d requests", got)
				}
			})
		}
	}
	for _, declared := range []bool{true, false} {
		body := io.Reader(strings.NewReader(over))
		if !declared {
			body = io.MultiReader(body)
		}
		r, err := g.client(t).Post(g.https.URL(fmt.Sprintf("/h2/%t", declared)), "", body)
		if err != nil {
			t.Errorf("HTTP/2, declared %t: %v", declared, err)
			continue
		}
		r.Body.Close()
		if r.StatusCode != http.StatusRequestEntityTooLarge || len(b.below("/h2/")) > 0 {
			t.Errorf("HTTP/2, declared %t: status %d, and the backend got %d", declared, r.StatusCode, len(b.below("/h2/")))
		}
	}
}

func TestHeadsThatAreTooLarge(t *testing.T) {
	t.Parallel()
	g := listening(t, "max_header_bytes: 8KiB", "routes: [{ path: /*, respond: { body: hello } }]")
	tests := []struct {
		name, send string
		status     int
	}{
		{"large but right", get("/"+strings.Repeat("x", 1000), "X: "+strings.Repeat("x", 5000)), 200},
		{"a target beyond the limit of a head", get("/" + strings.Repeat("x", 20_000)), 414},
		{"a target far beyond it", get("/" + strings.Repeat("x", 200_000)), 431},
		{"a long target within it", get("/" + strings.Repeat("x", 8_000)), 200},
		{"a long header", get("/", "X: "+strings.Repeat("x", 20_000)), 431},
		{"many headers", get("/", strings.TrimSuffix(strings.Repeat("X: 1234\r\n", 3000), "\r\n")), 431},
	}
	for _, tt := range tests {
		for scheme, target := range g.schemes() {
			t.Run(scheme+"/"+tt.name, func(t *testing.T) {
				status := tt.status
				if tt.name == "a target far beyond it" && onLoops(target) {
					status = 414 // net/http gives up before it knows
				}
				replies := answers(t, target, tt.send, false)
				if len(replies) != 1 || replies[0].StatusCode != status {
					t.Errorf("%d answers %v, want one with %d", len(replies), replies, status)
				}
			})
		}
	}
	s := dial2(t, g.https)
	if err := s.open(1, true, pseudo("GET", "/", field{"x", strings.Repeat("x", 20_000)})...); err != nil {
		t.Fatal(err)
	}
	ends, err := s.outcomes(1)
	if o := ends[1]; err != nil || o.status != 431 && o.code == http2.ErrCodeNo {
		t.Errorf("HTTP/2: %v, %v; want 431 or a reset", o, err)
	}
}

func TestRequestRates(t *testing.T) {
	t.Parallel()
	g := listening(t, "request_rate: 1/h, request_burst: 3", "trusted_proxies: [127.0.0.1, \"::1\"]\nroutes: [{ path: /*, respond: { body: hello } }]")
	for scheme, target := range g.schemes() {
		for _, client := range []string{"203.0.113.1", "203.0.113.2"} {
			for n := range 6 {
				want := 200
				if n >= 3 {
					want = http.StatusTooManyRequests
				}
				r, body := wstest.Ask(t, target, get("/", "X-Forwarded-For: "+client))
				if r.StatusCode != want {
					t.Errorf("%s: request %d of %s: status %d, body %q; want %d", scheme, n, client, r.StatusCode, body, want)
				}
				if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); want != 200 && (err != nil || seconds <= 0 || seconds > 3600) {
					t.Errorf("%s: Retry-After = %q", scheme, r.Header.Get("Retry-After"))
				}
			}
		}
	}
}

// served reports whether a connection gets an answer at once, and leaves it open.
func served(t *testing.T, target wstest.Target) (p wstest.Peer, ok bool) {
	t.Helper()
	p = wstest.Dial(t, target)
	_, _ = io.WriteString(p.Conn, "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
	b := make([]byte, 12)
	_, err := io.ReadFull(p, b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection was neither served nor refused")
	}
	return p, string(b) == "HTTP/1.1 200"
}

func TestConnectionsPerAddress(t *testing.T) {
	t.Parallel()
	g := listening(t, "connections_per_ip: 2", "routes: [{ path: /*, respond: { body: hello } }]")
	one, first := served(t, g.http)
	_, second := served(t, g.http)
	if !first || !second {
		t.Fatal("the allowed connections were refused")
	}
	for range 3 {
		if _, ok := served(t, g.http); ok {
			t.Error("a connection beyond the limit was served")
		}
	}
	one.Close()
	for guard := time.Now().Add(wstest.Guard); ; { // the gateway sees the end in its own time
		if _, ok := served(t, g.http); ok {
			break
		}
		if time.Now().After(guard) {
			t.Fatal("no connection was let in after one had ended")
		}
	}
}

// A connection beyond the limit waits to be accepted.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	g := listening(t, "max_connections: 2", "routes: [{ path: /*, respond: { body: hello } }]")
	one, first := served(t, g.http)
	if _, second := served(t, g.http); !first || !second {
		t.Fatal("the allowed connections were refused")
	}
	third := make(chan string, 1)
	p := wstest.Dial(t, g.http)
	go func() {
		_, _ = io.WriteString(p.Conn, get("/"))
		b, _ := io.ReadAll(p)
		third <- string(b)
	}()
	one.Close()
	if got := <-third; !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("the third connection got %.100q", got)
	}
}

func TestMaxStreams(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Hanging)
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test")
	g := startFile(t, fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", tls: true, max_streams: 7 }]
tls: { certificates: [{ cert: %q, key: %q }] }
log: { format: json }
state_dir: %q
routes: [{ path: /*, backend: %s }]
`, cert, key, t.TempDir(), b.Address))
	s := dial2(t, wstest.Target{Address: g.listener(true), TLS: ca.Client("gateway.test")})
	for {
		f, err := s.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := f.(*http2.SettingsFrame); ok && !f.IsAck() {
			if n, _ := f.Value(http2.SettingMaxConcurrentStreams); n != 7 {
				t.Errorf("SETTINGS_MAX_CONCURRENT_STREAMS = %d, want 7", n)
			}
			break
		}
	}
	for i := range 8 {
		if err := s.open(uint32(2*i+1), true, pseudo("GET", "/")...); err != nil {
			t.Fatal(err)
		}
	}
	ends, err := s.outcomes(15)
	if o := ends[15]; err != nil || o.code == http2.ErrCodeNo {
		t.Errorf("the eighth stream: %v, %v; want it refused", o, err)
	}
}

// A request that is over a rate has no route yet: its answer is not edited as one of the route, and
// the log names none.
func TestRefusalsByRateHaveNoRoute(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	g := listening(t, "request_rate: 1/h, request_burst: 1", fmt.Sprintf("routes: [{ path: /*, backend: %s, response: { set_headers: { X-Route: one } } }]", b.Address))
	for scheme, target := range g.schemes() {
		wstest.Ask(t, target, get("/"))
		if r, _ := wstest.Ask(t, target, get("/refused-"+scheme)); r.StatusCode != http.StatusTooManyRequests || r.Header.Get("X-Route") != "" {
			t.Errorf("%s: %d with %v; want 429 without X-Route", scheme, r.StatusCode, r.Header)
		}
		if r := g.request("/refused-" + scheme); r["route"] != nil || r["backend"] != nil || r["endpoint"] != nil {
			t.Errorf("%s: the log has %v", scheme, r)
		}
	}
}
