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
// its end: what it still sends does not reset the connection. Over TLS only a part of a record has come
// behind the request.
func TestAnswersToClientsThatGoOnAfterTheirLastRequest(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "a"), []byte("ok"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := start(t, fmt.Sprintf("http: { engine: loops }\nroutes:\n  - { path: /files/*, files: %s, strip_prefix: /files }\n  - { path: /*, backend: %s }", files, b.Address))
	for _, path := range []string{"/", "/files/a"} {
		for scheme, target := range map[string]wstest.Target{"http": g.http, "https": g.https} {
			t.Run(scheme+path, func(t *testing.T) {
				if portable() || target.TLS != nil && tlsRecords() == "go" {
					t.Skip("net/http, which serves HTTP there, has read behind the last request, and closes without a look at it")
				}
				raw, err := net.Dial("tcp", target.Address)
				if err != nil {
					t.Fatal(err)
				}
				defer raw.Close()
				held := &holding{Conn: wstest.Guarded(raw)}
				c := net.Conn(held)
				if target.TLS != nil {
					s := tls.Client(held, target.TLS)
					if err := s.Handshake(); err != nil {
						t.Fatal(err)
					}
					c = s
				}
				held.hold = true
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n", path)
				at := len(held.kept) + 20 // of the next request, or of its record
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: gateway.test\r\nX-More: 1\r\n\r\n")
				if _, err := raw.Write(held.kept[:at]); err != nil {
					t.Fatal(err)
				}
				if answer, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(answer), "\r\n\r\nok") {
					t.Fatalf("the answer is %q, %v", answer, err)
				}
				for _, piece := range [][]byte{held.kept[at : at+1], held.kept[at+1:]} { // a closed socket answers the first with a reset
					if _, err := raw.Write(piece); err != nil {
						t.Fatalf("the connection is gone: %v", err)
					}
				}
			})
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
