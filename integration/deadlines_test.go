package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sluice/internal/wstest"
)

// A request whose announced body never comes is answered, and its connection ends, whether a
// backend, a file or the gateway answers it.
func TestAnnouncedBodiesThatNeverCome(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	write(t, files+"/page.txt", "a page")
	b := webBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	early := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly"))
	broken := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\ncut"))
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /respond, respond: { body: hello } }
  - { path: /redirect, redirect: { to: /respond } }
  - { path: /files/*, strip_prefix: /files, files: %q }
  - { path: /only, methods: [PUT], respond: { body: hello } }
  - { path: /zipped, respond: { body: %q }, compress: true }
  - { path: /backend, backend: %s }
  - { path: /early, backend: %s }
  - { path: /broken, backend: %s }
`, files, strings.Repeat("hello ", 1000), b, early.Address, broken.Address))
	head := func(start string, lines ...string) string {
		return start + " HTTP/1.1\r\nHost: gateway.test\r\n" + strings.Join(append(lines, "", ""), "\r\n")
	}
	const one, chunked = "Content-Length: 1", "Transfer-Encoding: chunked"
	tests := []struct {
		name, send string
		status     int // 0: none, or one that is cut
	}{
		{"respond", head("GET /respond", one), 200},
		{"respond, in chunks", head("POST /respond", chunked), 200},
		{"respond, in the middle of a chunk", head("POST /respond", chunked) + "5\r\nhe", 200},
		{"respond, expecting", head("POST /respond", one, "Expect: 100-continue"), 200},
		{"respond, a large one", head("POST /respond", "Content-Length: 100000000") + "some", 200},
		{"redirect", head("GET /redirect", one), 308},
		{"files", head("GET /files/page.txt", one), 200},
		{"a file that is not there", head("GET /files/none", one), 404},
		{"compressed", head("GET /zipped", one, "Accept-Encoding: gzip"), 200},
		{"no route", head("GET /none", one), 404},
		{"method not allowed", head("GET /only", one), 405},
		{"malformed path", head("GET /%zz", one), 400},
		{"malformed path that net/http takes", head("GET /a%00b", one), 400},
		{"OPTIONS *", head("OPTIONS *", one), 200},
		{"handshake", head("GET /backend", one, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
		{"backend", head("GET /backend", one), 408},
		{"backend, in chunks", head("POST /backend", chunked) + "5\r\nhello\r\n", 408},
		{"backend, in trailers", head("POST /backend", chunked) + "5\r\nhello\r\n0\r\nX-A: b\r\n", 408},
		{"backend that answers early", head("POST /early", one), 200},
		{"backend that breaks its answer", head("POST /broken", one), 0},
	}
	var all sync.WaitGroup // at once: some take ten seconds
	for scheme, target := range g.schemes() {
		for _, tt := range tests {
			p := wstest.Dial(t, target)
			p.WriteString(tt.send)
			all.Go(func() {
				got, err := io.ReadAll(p)
				if want := fmt.Sprintf("HTTP/1.1 %d ", tt.status); err != nil || tt.status != 0 && !strings.HasPrefix(string(got), want) {
					t.Errorf("%s: %s: got %.200q, %v; want %s and the end", scheme, tt.name, got, err, want)
				}
			})
		}
	}
	all.Wait()
}

// atOnce runs a slow function for each client, all at once.
func atOnce(t *testing.T, g *gateway, do func(name string, send func(method, path string, body io.Reader) (*http.Response, error))) {
	var all sync.WaitGroup
	for name, send := range clients(t, g) {
		all.Go(func() { do(name, send) })
	}
	all.Wait()
}

// Connections whose body does not come do not keep others out, even when there are as many of
// them as there may be.
func TestAnnouncedBodiesLockNobodyOut(t *testing.T) {
	t.Parallel()
	g := listening(t, "max_connections: 50", "routes: [{ path: /*, respond: { body: hello } }]")
	for range 60 {
		wstest.Dial(t, g.http).WriteString("GET / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1\r\n\r\n")
	}
	if r, body := wstest.Ask(t, g.http, get("/")); r.StatusCode != http.StatusOK || body != "hello" {
		t.Errorf("another client got status %d, body %q", r.StatusCode, body)
	}
}

// A connection serves the next request when the rest of a body comes late, but comes.
func TestRestOfABodyIsDropped(t *testing.T) {
	t.Parallel()
	g := start(t, "routes: [{ path: /*, respond: { body: hello } }]")
	for scheme, target := range g.schemes() {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			p := wstest.Dial(t, target)
			for _, rest := range []string{"body", strings.Repeat("x", 100_000)} {
				p.WriteString(fmt.Sprintf("POST /a HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: %d\r\n\r\n", len(rest)))
				if r, body := p.Answer("POST "); r.StatusCode != http.StatusOK || body != "hello" {
					t.Fatalf("status %d, body %q before the request's body", r.StatusCode, body)
				}
				p.WriteString(rest)
			}
			p.WriteString(get("/b"))
			if r, body := p.Answer("GET "); r.StatusCode != http.StatusOK || body != "hello" {
				t.Errorf("status %d, body %q for the request behind the bodies", r.StatusCode, body)
			}
		})
	}
}

// An error in the body after the answer was sent ends the connection. The rest of the body is
// never taken for a request.
func TestBrokenRestOfABodyIsNoRequest(t *testing.T) {
	t.Parallel()
	g := start(t, "routes: [{ path: /*, respond: { body: hello } }]")
	for scheme, target := range g.schemes() {
		p := wstest.Dial(t, target)
		p.WriteString("POST /a HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n" + get("/smuggled"))
		if got := cut(t, p); strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%s: got %q; want one answer", scheme, got)
		}
	}
}

// While the answer flows the client may be silent for as long as it likes, with its own
// request still open: gRPC and others do that.
func TestOpenRequestsMayBeSilentWhileTheAnswerFlows(t *testing.T) {
	t.Parallel()
	b := http.NewServeMux()
	b.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for range 14 { // longer than the grace
			io.WriteString(w, "tick\n")
			control.Flush()
			<-every.C
		}
		sent, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s\n", sent)
	})
	backend := webBackend(t, b)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", backend))
	atOnce(t, g, func(name string, send func(string, string, io.Reader) (*http.Response, error)) {
		request, client := io.Pipe()
		r, err := send("POST", "/", request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		defer r.Body.Close()
		var got strings.Builder
		if _, err := io.CopyN(&got, r.Body, int64(14*len("tick\n"))); err != nil {
			t.Errorf("%s: %v behind %q", name, err, &got)
			return
		}
		io.WriteString(client, "the end")
		client.Close()
		if rest, err := io.ReadAll(r.Body); string(rest) != "the end\n" || err != nil {
			t.Errorf("%s: read %q, %v behind the ticks", name, rest, err)
		}
	})
}

// A download whose reader pauses goes on, whether a backend or a file serves it.
func TestReadersMayPause(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	files := t.TempDir()
	write(t, files+"/large.bin", strings.Repeat("x", size))
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(files)))
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /files/*, strip_prefix: /files, files: %q }
  - { path: /backend/*, strip_prefix: /backend, backend: %s }
`, files, webBackend(t, mux)))
	atOnce(t, g, func(name string, send func(string, string, io.Reader) (*http.Response, error)) {
		var all []*http.Response
		for _, path := range []string{"/files/large.bin", "/backend/large.bin"} {
			r, err := send("GET", path, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			defer r.Body.Close()
			if _, err := io.CopyN(io.Discard, r.Body, size/4); err != nil {
				t.Errorf("%s: %s: %v", name, path, err)
				return
			}
			all = append(all, r)
		}
		<-time.After(15 * time.Second) // the pause: longer than the grace
		for _, r := range all {
			if n, err := io.Copy(io.Discard, r.Body); n != size-size/4 || err != nil {
				t.Errorf("%s: %s: %d bytes behind the pause, %v; want %d", name, r.Request.URL.Path, n, err, size-size/4)
			}
		}
	})
}

// Bytes that the system holds for a client do not count as taken. A client that takes nothing
// of an answer is cut, also when much was sent before.
func TestReadersThatTakeNothingAreCut(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	write(t, files+"/large.bin", strings.Repeat("x", 64<<20))
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(files)))
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /files/*, strip_prefix: /files, files: %q, min_body_rate: 10MiB/s }
  - { path: /backend/*, strip_prefix: /backend, backend: %s, min_body_rate: 10MiB/s }
`, files, webBackend(t, mux)))
	var all []string
	for _, route := range []string{"/files", "/backend"} {
		for scheme, target := range g.schemes() {
			uri := route + "/large.bin?" + scheme
			wstest.Dial(t, target).WriteString(get(uri))
			all = append(all, uri)
		}
		for name, window := range map[string]uint32{"open": 1 << 30, "shut": 0} {
			uri := route + "/large.bin?" + name
			s := dial2(t, g.https, http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
			if err := s.open(1, true, pseudo("GET", uri)...); err != nil {
				t.Fatal(err)
			}
			all = append(all, uri)
		}
	}
	for _, uri := range all {
		r := g.request(uri) // is through
		if said := r.text("error"); !strings.Contains(said, "min_body_rate") {
			t.Errorf("%s: the record says %q, want the key that has cut it", uri, said)
		}
	}
}

// A fast upload at first does not buy time for ever.
func TestUploadsThatStopAreCut(t *testing.T) {
	t.Parallel()
	b := webBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, min_body_rate: 500KiB/s }]", b))
	atOnce(t, g, func(name string, send func(string, string, io.Reader) (*http.Response, error)) {
		body, client := io.Pipe()
		go io.Copy(client, io.LimitReader(zeros{}, 4<<20)) // and then nothing
		r, err := send("POST", "/", body)
		if err != nil {
			return // cut before the answer was read
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusRequestTimeout {
			t.Errorf("%s: status %d; want 408", name, r.StatusCode)
		}
	})
}

// Many downloads share a slow connection: each waits for the others, and none is
// cut as long as the connection moves.
func TestManyDownloadsOverOneSlowConnection(t *testing.T) {
	t.Parallel()
	const downloads, size = 100, 32 << 10
	files := t.TempDir()
	write(t, files+"/page.bin", strings.Repeat("x", size))
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(files)))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, min_body_rate: 10KiB/s }]", webBackend(t, mux)))
	transport := &http.Transport{
		TLSClientConfig: g.https.TLS.Clone(), ForceAttemptHTTP2: true, DialContext: slowly(t, 150<<10),
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10},
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	var running sync.WaitGroup
	for range downloads {
		running.Go(func() {
			r, err := client.Get(g.https.URL("/page.bin"))
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Body.Close()
			if n, err := io.Copy(io.Discard, r.Body); n != size || err != nil {
				t.Errorf("%d bytes, %v; want %d", n, err, size)
			}
		})
	}
	running.Wait()
}

// webBackend runs an HTTP backend and returns its URL.
func webBackend(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// slowly returns a dial function for a client that reads so many bytes a second, and whose
// system buffers little more for it.
func slowly(t *testing.T, perSecond int) func(ctx context.Context, network, address string) (net.Conn, error) {
	const reads = 20 // a second
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c.(*net.TCPConn).SetReadBuffer(16 << 10)
		every := time.NewTicker(time.Second / reads)
		t.Cleanup(every.Stop)
		return &slowConn{c, every.C, perSecond / reads}, nil
	}
}

type slowConn struct {
	net.Conn
	next <-chan time.Time
	most int
}

func (c *slowConn) Read(p []byte) (int, error) {
	<-c.next
	return c.Conn.Read(p[:min(len(p), c.most)])
}

// Many uploads over one connection may fill all its windows before a backend
// reads: that is no flood.
func TestManyUploadsToABackendThatReadsLate(t *testing.T) {
	t.Parallel()
	const uploads, size = 60, 1 << 20
	var arrived sync.WaitGroup
	arrived.Add(uploads)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", webBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		arrived.Wait()
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}))))
	client := g.client(t)
	client.Timeout = 3 * wstest.Guard
	var running sync.WaitGroup
	for range uploads {
		running.Go(func() {
			r, err := client.Post(g.https.URL("/"), "text/plain", io.LimitReader(zeros{}, size))
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Body.Close()
			if got, err := io.ReadAll(r.Body); string(got) != fmt.Sprint(size, nil) || r.ProtoMajor != 2 {
				t.Errorf("%s: %q, %v; want %d bytes over HTTP/2", r.Proto, got, err, size)
			}
		})
	}
	running.Wait()
}

// Bodies that the handler does not read are no flood either, however many there are, also when
// they come after the end of their stream.
func TestManyBodiesThatAreNotRead(t *testing.T) {
	t.Parallel()
	g := start(t, "routes: [{ path: /*, respond: { body: hello } }]")
	client := g.client(t)
	client.Timeout = 3 * wstest.Guard
	post := func() {
		r, err := client.Post(g.https.URL("/"), "text/plain", io.LimitReader(zeros{}, 192<<10))
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if r.StatusCode != http.StatusOK || r.ProtoMajor != 2 {
			t.Errorf("%s %s", r.Proto, r.Status)
		}
	}
	for range 50 {
		post()
	}
	var running sync.WaitGroup
	for range 20 {
		running.Go(func() {
			for range 20 {
				post()
			}
		})
	}
	running.Wait()
	for _, r := range g.log() {
		if r.name() == "connections closed" {
			t.Errorf("taken for a flood: %s", r.text("text"))
		}
	}
}

// A stream whose body comes too slowly is refused alone: its connection goes on.
func TestSlowBodyOfAStreamEndsNoConnection(t *testing.T) {
	t.Parallel()
	b := webBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b))
	s := dial2(t, g.https)
	if err := s.open(1, false, pseudo("POST", "/")...); err != nil {
		t.Fatal(err)
	}
	if ends, err := s.outcomes(1); err != nil || ends[1].status != http.StatusRequestTimeout {
		t.Fatalf("%v, %v; want 408", ends[1], err)
	}
	if err := s.open(3, true, pseudo("GET", "/")...); err != nil {
		t.Fatal(err)
	}
	if ends, err := s.outcomes(3); err != nil || ends[3].status != http.StatusOK {
		t.Errorf("the next request: %v, %v", ends[3], err)
	}
}

// When a backend breaks off its answer, the client gets what has come of it.
func TestBrokenAnswersAreDeliveredAsFarAsTheyCame(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 200 OK\r\nContent-Length: 500\r\nX-Here: yes\r\n\r\nthe beginning"))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for scheme, target := range g.schemes() {
		p := wstest.Dial(t, target)
		p.WriteString(get("/"))
		if got := cut(t, p); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.HasSuffix(got, "the beginning") {
			t.Errorf("%s: got %q; want the beginning of the answer", scheme, got)
		}
	}
}
