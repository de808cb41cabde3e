package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// clients are a client of each version, by name, with where it connects.
func clients(t *testing.T, g *gateway) map[string]func(method, path string, body io.Reader) (*http.Response, error) {
	ask := func(target wstest.Target) func(string, string, io.Reader) (*http.Response, error) {
		client := g.client(t)
		client.Timeout = 15 * wstest.Guard // a whole exchange may be long
		return func(method, path string, body io.Reader) (*http.Response, error) {
			r, err := http.NewRequestWithContext(t.Context(), method, target.URL(path), body)
			if err != nil {
				return nil, err
			}
			return client.Do(r)
		}
	}
	return map[string]func(string, string, io.Reader) (*http.Response, error){"HTTP/1.1": ask(g.http), "HTTP/2": ask(g.https)}
}

// Every event is at the client before the next one is made.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range 5 {
			fmt.Fprintf(w, "data: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-seen:
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q, compress: true }]", b.URL))
	for name, ask := range clients(t, g) {
		t.Run(name, func(t *testing.T) {
			r, err := ask("GET", "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			events := bufio.NewReader(r.Body)
			for n := range 5 {
				if line, err := events.ReadString('\n'); line != fmt.Sprintf("data: %d\n", n) {
					t.Fatalf("event %d: %q, %v", n, line, err)
				}
				_, _ = events.ReadString('\n')
				seen <- struct{}{}
			}
			if rest, err := io.ReadAll(events); err != nil || len(rest) > 0 {
				t.Errorf("behind the events: %q, %v", rest, err)
			}
		})
	}
}

func TestTrailersAndInformation(t *testing.T) {
	t.Parallel()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		h.Del("Link")
		h.Set("Trailer", "X-Sum")
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %s", n, r.Trailer.Get("X-Client"))
		h.Set("X-Sum", "sum")
		h.Set(http.TrailerPrefix+"X-Late", "late")
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.URL))
	for name, target := range map[string]wstest.Target{"HTTP/1.1": g.http, "HTTP/2": g.https} {
		t.Run(name, func(t *testing.T) {
			var links []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				links = append(links, fmt.Sprint(code, " ", h.Get("Link")))
				return nil
			}})
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL("/"), io.MultiReader(strings.NewReader("hello")))
			if err != nil {
				t.Fatal(err)
			}
			request.Trailer = http.Header{"X-Client": {"trailed"}}
			r, err := g.client(t).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != "5 trailed" {
				t.Errorf("body %q, %v; want 5 trailed", body, err)
			}
			if want := []string{"103 </style.css>; rel=preload"}; !slices.Equal(links, want) {
				t.Errorf("informational answers %q, want %q", links, want)
			}
			if r.Trailer.Get("X-Sum") != "sum" || r.Trailer.Get("X-Late") != "late" || r.Header.Get("Link") != "" {
				t.Errorf("trailers %v, Link %q", r.Trailer, r.Header.Get("Link"))
			}
		})
	}
}

// The client's body waits for the backend's word, which may be no.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for scheme, target := range g.schemes() {
		for _, wanted := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%t", scheme, wanted), func(t *testing.T) {
				p := wstest.Dial(t, target)
				p.WriteString("POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
				backend := b.Next(t)
				defer backend.Close()
				if !wanted {
					backend.WriteString("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
					if p.ReadHead(); !strings.HasPrefix(p.Head.Start, "HTTP/1.1 403 ") {
						t.Errorf("got %q, want 403", p.Head.Start)
					}
					return
				}
				backend.WriteString("HTTP/1.1 100 Continue\r\n\r\n")
				if p.ReadHead(); p.Head.Start != "HTTP/1.1 100 Continue" {
					t.Fatalf("got %q, want 100", p.Head.Start)
				}
				p.WriteString("hello")
				if body, err := readBody(backend, 5); body != "hello" {
					t.Fatalf("the backend got %q, %v", body, err)
				}
				backend.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
				if r, body := p.Answer("POST "); r.StatusCode != 200 || body != "ok" {
					t.Errorf("status %d, body %q; want 200, ok", r.StatusCode, body)
				}
			})
		}
	}
}

func TestAnswersWithoutBodies(t *testing.T) {
	t.Parallel()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.Header().Set("ETag", `"1"`)
			w.WriteHeader(http.StatusNotModified)
		case "/empty":
			w.Header().Set("Content-Length", "0")
		default:
			w.Header().Set("Content-Length", "12345")
			_, _ = io.WriteString(w, strings.Repeat("x", 12345))
		}
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.URL))
	tests := []struct {
		name, method, path string
		status             int
		length             int64
	}{
		{"HEAD", "HEAD", "/", 200, 12345},
		{"204", "GET", "/204", 204, 0},
		{"304", "GET", "/304", 304, -1},
		{"an empty 200", "GET", "/empty", 200, 0},
		{"HEAD of nothing", "HEAD", "/empty", 200, 0},
	}
	for _, tt := range tests {
		for name, ask := range clients(t, g) {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				r, err := ask(tt.method, tt.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Body.Close()
				body, err := io.ReadAll(r.Body)
				if err != nil || r.StatusCode != tt.status || len(body) != 0 || tt.length >= 0 && r.ContentLength != tt.length {
					t.Errorf("status %d, Content-Length %d, body %q, %v; want %d, %d", r.StatusCode, r.ContentLength, body, err, tt.status, tt.length)
				}
			})
		}
	}
}

// Who leaves is missed on the other side at once.
func TestCancellation(t *testing.T) {
	t.Parallel()
	type event struct{ path, what string }
	events := make(chan event, 100)
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "streaming") {
			_, _ = io.WriteString(w, "begun\n")
			_ = http.NewResponseController(w).Flush()
		}
		events <- event{r.URL.Path, "asked"}
		<-r.Context().Done()
		events <- event{r.URL.Path, "cancelled"}
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.URL))
	next := func(t *testing.T, want event) {
		t.Helper()
		select {
		case got := <-events:
			if got != want {
				t.Errorf("the backend saw %v, want %v", got, want)
			}
		case <-time.After(wstest.Guard):
			t.Fatalf("the backend did not see %v", want)
		}
	}
	for name, target := range map[string]wstest.Target{"1": g.http, "2": g.https} {
		for _, kind := range []string{"waiting", "streaming"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				path := "/" + name + "/" + kind
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				request, err := http.NewRequestWithContext(ctx, "GET", target.URL(path), nil)
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					if r, err := g.client(t).Do(request); err == nil {
						defer r.Body.Close()
						_, _ = io.Copy(io.Discard, r.Body)
					}
				}()
				next(t, event{path, "asked"})
				cancel()
				next(t, event{path, "cancelled"})
				<-done
			})
		}
	}
}

// Requests one after another share a connection to the backend.
func TestBackendConnectionsAreKept(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	conns := make(map[string]map[string]bool)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		kind := strings.Split(r.URL.Path, "/")[1]
		if conns[kind] == nil {
			conns[kind] = make(map[string]bool)
		}
		conns[kind][r.RemoteAddr+fmt.Sprint(r.Context().Value(connKey{}))] = true
		_, _ = fmt.Fprint(w, r.Proto)
	})
	counting := func() func(context.Context, net.Conn) context.Context {
		n := 0
		return func(ctx context.Context, _ net.Conn) context.Context {
			n++
			return context.WithValue(ctx, connKey{}, n)
		}
	}
	plain := httptest.NewUnstartedServer(handler)
	plain.Config.ConnContext = counting()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	plain.Config.Protocols = &protocols
	plain.Start()
	t.Cleanup(plain.Close)
	ca := wstest.NewCA(t)
	secure := httptest.NewUnstartedServer(handler)
	secure.Config.ConnContext = counting()
	secure.TLS = ca.Server(t, "127.0.0.1")
	secure.StartTLS()
	t.Cleanup(secure.Close)
	path := filepath.Join(t.TempDir(), "backend.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	unix := &http.Server{Handler: handler, ConnContext: counting()}
	go func() { _ = unix.Serve(l) }()
	t.Cleanup(func() { unix.Close() })
	address := plain.Listener.Addr().String()
	g := start(t, fmt.Sprintf(`
backends:
  secure: { endpoints: [%q], tls: { ca: %q } }
routes:
  - { path: /http/*, backend: %s }
  - { path: /h2c/*, backend: "h2c://%[3]s" }
  - { path: /https/*, backend: secure }
  - { path: /unix/*, backend: "unix:%[4]s" }
`, secure.URL, ca.File, address, path))
	for kind, proto := range map[string]string{"http": "HTTP/1.1", "h2c": "HTTP/2.0", "https": "HTTP/1.1", "unix": "HTTP/1.1"} {
		for _, ask := range clients(t, g) {
			for n := range 5 {
				r, err := ask("POST", fmt.Sprintf("/%s/%d", kind, n), strings.NewReader("body"))
				if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || r.StatusCode != 200 || string(body) != proto {
					t.Errorf("%s: status %d, body %q, %v; want 200, %s", kind, r.StatusCode, body, err, proto)
				}
			}
		}
		mu.Lock()
		most := 1
		if httpEngine() == "loops" && kind != "h2c" {
			most = 2 // clients of HTTP/2 have connections of their own
		}
		if n := len(conns[kind]); n == 0 || n > most {
			t.Errorf("%s: %d connections for ten requests: %v", kind, n, slices.Collect(maps.Keys(conns[kind])))
		}
		mu.Unlock()
	}
}

type connKey struct{}

// A body is never held: one of 256 MiB passes each way through much less.
func TestLargeBodiesAreStreamed(t *testing.T) {
	t.Parallel()
	const size = 256 << 20
	allowed := generous(24 << 20)
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, _ := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprint(w, n)
			return
		}
		_, _ = io.CopyN(w, zeros{}, size)
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.URL))
	for name, ask := range clients(t, g) {
		t.Run(name, func(t *testing.T) {
			before := peak(t, g.pid)
			r, err := ask("POST", "/", io.LimitReader(zeros{}, size))
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != fmt.Sprint(size) {
				t.Errorf("up: the backend got %s bytes, %v", body, err)
			}
			r.Body.Close()
			if r, err = ask("GET", "/", nil); err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != size {
				t.Errorf("down: %d bytes, %v", n, err)
			}
			r.Body.Close()
			if grown := peak(t, g.pid) - before; grown > allowed {
				t.Errorf("the gateway grew by %d MiB, want at most %d", grown>>20, allowed>>20)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
