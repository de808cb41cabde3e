package integration

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// When a backend answers before it has read the whole request, and closes, the client gets its
// answer.
func TestAnswersToRequestsThatWereNotReadToTheirEnd(t *testing.T) {
	t.Parallel()
	refusing := func(c *wstest.Conn) {
		io.CopyN(io.Discard, c, 64<<10)
		fmt.Fprint(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big")
	}
	b := wstest.NewBackend(t, refusing)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	const uploads = 50
	body := bytes.Repeat([]byte("x"), 8<<20)
	for name, send := range clients(t, g) {
		t.Run(name, func(t *testing.T) {
			heard := 0
			for range uploads {
				r, err := send("POST", "/", bytes.NewReader(body))
				if err != nil {
					t.Logf("no answer: %v", err)
					continue
				}
				text, _ := io.ReadAll(r.Body)
				r.Body.Close()
				if r.StatusCode == http.StatusRequestEntityTooLarge && string(text) == "too big" {
					heard++
				} else {
					t.Logf("status %d, body %q", r.StatusCode, strings.TrimSpace(string(text)))
				}
			}
			if heard != uploads {
				t.Errorf("%d of %d answers came", heard, uploads)
			}
		})
	}
}

// A client that says that a request is its last one, and goes on all the same, can read the answer to
// its end: what it still sends does not reset the connection.
func TestAnswersToClientsThatGoOnAfterTheirLastRequest(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "a"), []byte("ok"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := start(t, fmt.Sprintf("http: { engine: loops }\nroutes:\n  - { path: /files/*, files: %s, strip_prefix: /files }\n  - { path: /*, backend: %s }", files, b.Address))
	for _, path := range []string{"/", "/files/a"} {
		t.Run(path, func(t *testing.T) {
			c, err := net.Dial("tcp", g.http.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c = wstest.Guarded(c)
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n", path)
			if answer, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(answer), "\r\n\r\nok") {
				t.Fatalf("the answer is %q, %v", answer, err)
			}
			for range 2 { // a closed socket answers the first with a reset
				if _, err := io.WriteString(c, "Host: gateway.test\r\n"); err != nil {
					t.Fatalf("the connection is gone: %v", err)
				}
			}
		})
	}
}

// The same over TLS, where only a part of a record has come behind the request.
func TestAnswersToTLSClientsThatGoOnAfterTheirLastRequest(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	g := start(t, fmt.Sprintf("http: { engine: loops }\nroutes: [{ path: /*, backend: %s }]", b.Address))
	raw, err := net.Dial("tcp", g.https.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	held := &holding{Conn: wstest.Guarded(raw)}
	c := tls.Client(held, g.https.TLS)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	held.hold = true
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n")
	whole := len(held.kept)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
	if _, err := raw.Write(held.kept[:whole+20]); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(answer), "\r\n\r\nok") {
		t.Fatalf("the answer is %q, %v", answer, err)
	}
	for _, piece := range [][]byte{held.kept[whole+20 : whole+21], held.kept[whole+21:]} { // a closed socket answers the first with a reset
		if _, err := raw.Write(piece); err != nil {
			t.Fatalf("the connection is gone: %v", err)
		}
	}
}

// holding is a connection that keeps what is written while hold is set.
type holding struct {
	net.Conn
	hold bool
	kept []byte
}

func (h *holding) Write(p []byte) (int, error) {
	if h.hold {
		h.kept = append(h.kept, p...)
		return len(p), nil
	}
	return h.Conn.Write(p)
}
