package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// After the answer, the rest of a body is never taken for a request, however its pieces
// arrive.
func TestRestOfALargeBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	write(t, files+"/page.txt", "a page")
	b := newRecorder(t)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /respond, respond: { body: hello } }
  - { path: /redirect, redirect: { to: /respond } }
  - { path: /files/*, strip_prefix: /files, files: %q }
  - { path: /only, methods: [PUT], respond: { body: hello } }
  - { path: /limited, backend: %s, max_body_size: 1KiB }
  - { path: /smuggled, backend: %s }
`, files, b.Address, b.Address))
	const inner = "POST /smuggled HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 0\r\n\r\n"
	var all sync.WaitGroup
	for _, path := range []string{"/respond", "/redirect", "/files/page.txt", "/only", "/limited", "/none"} {
		for _, length := range []int{300_000, 520_000, 9_000_000} {
			for _, sent := range []int{256<<10 - 100, 256 << 10, 256<<10 + 1, 256<<10 + 4096, 290_000} {
				for scheme, target := range g.schemes() {
					p := wstest.Dial(t, target)
					all.Go(func() {
						fmt.Fprintf(p, "POST %s HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: %d\r\n\r\n%s", path, length, strings.Repeat("x", sent))
						io.WriteString(p, strings.Repeat("x", 100)+inner)
						got, _ := io.ReadAll(p)
						if n := strings.Count(string(got), "HTTP/1.1 "); n != 1 {
							t.Errorf("%s: %s: %d bytes, %d sent: %d answers: %.300q", scheme, path, length, sent, n, got)
						}
					})
				}
			}
		}
	}
	all.Wait()
	if got := b.below("/smuggled"); len(got) != 0 {
		t.Errorf("the backend got %d requests from within bodies", len(got))
	}
}

// A client that leaves in the middle of its request is noticed, although its body
// is not read and the answer is quiet.
func TestClientsThatLeaveWithAnOpenRequestAreNoticed(t *testing.T) {
	t.Parallel()
	quiet := webBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "data: hello\n\n")
		http.NewResponseController(w).Flush()
		select { // whose body is not read either: it does not see its client leave
		case <-r.Context().Done():
		case <-t.Context().Done():
		}
	}))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", quiet))
	for scheme, target := range g.schemes() {
		for name, send := range map[string]string{
			"expecting": "POST /%s HTTP/1.1\r\nHost: gateway.test\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n",
			"sending":   "POST /%s HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 20000000\r\n\r\n" + strings.Repeat("x", 100_000),
		} {
			uri := scheme + "-" + name
			p := wstest.Dial(t, target)
			p.WriteString(fmt.Sprintf(send, uri))
			p.ReadHead()
			p.Close()
			g.request("/" + uri)
		}
	}
}

// The same where the backend takes nothing more of the request, and what the client has sent waits in
// the gateway.
func TestClientsThatLeaveAStuckUploadAreNoticed(t *testing.T) {
	t.Parallel()
	quiet := wstest.NewBackend(t, func(c *wstest.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
		<-t.Context().Done() // it does not read
	})
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", quiet.Address))
	for scheme, target := range g.schemes() {
		for _, how := range []string{"length", "chunks"} {
			uri := fmt.Sprintf("/%s/%s", scheme, how)
			p := wstest.Dial(t, target)
			framing, piece := "Content-Length: 1000000000", strings.Repeat("x", 64<<10)
			if how == "chunks" {
				framing, piece = "Transfer-Encoding: chunked", "10000\r\n"+strings.Repeat("x", 64<<10)+"\r\n"
			}
			p.WriteString(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gateway.test\r\n%s\r\n\r\n", uri, framing))
			p.ReadHead()
			socket := p.Conn.Conn
			if s, ok := socket.(interface{ NetConn() net.Conn }); ok {
				socket = s.NetConn()
			}
			for p.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); ; {
				if _, err := io.WriteString(p.Conn, piece); err != nil {
					break // all buffers on the way are full
				}
			}
			socket.(*net.TCPConn).SetLinger(0)
			socket.Close()
			g.request(uri)
		}
	}
}

// net/http itself answers an expectation that it does not know, and reads the body. That ends
// too.
func TestUnknownExpectationsHoldNoConnection(t *testing.T) {
	t.Parallel()
	g := start(t, "routes: [{ path: /*, respond: { body: hello } }]")
	var all sync.WaitGroup
	for scheme, target := range g.schemes() {
		p := wstest.Dial(t, target)
		p.WriteString("POST / HTTP/1.1\r\nHost: gateway.test\r\nExpect: foo\r\nContent-Length: 5\r\n\r\n")
		all.Go(func() {
			if got, err := io.ReadAll(p); !strings.HasPrefix(string(got), "HTTP/1.1 417 ") || err != nil {
				t.Errorf("%s: got %.100q, %v; want 417 and the end", scheme, got, err)
			}
		})
	}
	all.Wait()
}

// Large heads that are not finished take no memory from others.
func TestUnfinishedHeadsTakeNotAllMemory(t *testing.T) {
	if built("-race") == "true" {
		t.Skip("the race detector takes its own memory, of which the limit knows nothing")
	}
	t.Setenv("GOMEMLIMIT", "64MiB")
	g := start(t, "routes: [{ path: /*, respond: { body: hello } }]")
	head := "GET / HTTP/1.1\r\nHost: gateway.test\r\n"
	for i := 0; len(head) < 240_000; i++ {
		head += fmt.Sprintf("X-Field-%08d: %s\r\n", i, strings.Repeat("x", 30))
	}
	for range 300 {
		io.WriteString(wstest.Dial(t, g.http), head) // it may be cut
	}
	for range 20 {
		if r, _ := wstest.Ask(t, g.http, get("/")); r.StatusCode != http.StatusOK {
			t.Errorf("status %d beside unfinished heads", r.StatusCode)
		}
	}
	if n := peak(t, g.pid); n > 96<<20 {
		t.Errorf("the gateway took %d MiB with a memory limit of 64", n>>20)
	}
}
