package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// A backend that hangs in the middle of an answer is given up. The client can tell that the
// answer is not whole, and the log says which side hung and how long. With idle: off the
// gateway waits for ever.
func TestBackendsThatHangInAnAnswer(t *testing.T) {
	t.Parallel()
	for scheme, options := range map[string]string{"http": "", "https": "http2: true, tls: { insecure: true }", "h2c": ""} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "some")
				http.NewResponseController(w).Flush()
				select {
				case <-release:
					io.WriteString(w, " more")
				case <-r.Context().Done():
				}
			}))
			s.EnableHTTP2 = true
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetHTTP1(scheme != "h2c")
			s.Config.Protocols.SetHTTP2(true)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			if scheme == "https" {
				s.StartTLS()
			} else {
				s.Start()
			}
			t.Cleanup(s.Close)
			g := start(t, fmt.Sprintf(`
backends: { app: { endpoints: ["%s://%s"], %s } }
routes:
  - { path: /hangs, backend: app, timeouts: { idle: 300ms } }
  - { path: /pauses, backend: app, timeouts: { idle: off } }
`, scheme, s.Listener.Addr(), options))
			patient := wstest.Dial(t, g.http)
			patient.WriteString(get("/pauses"))
			for name, url := range map[string]string{"HTTP/1.1": "http://" + g.http.Address, "HTTP/2": "https://" + g.https.Address} {
				r, err := g.client(t).Get(url + "/hangs?" + name)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if string(body) != "some" || err == nil {
					t.Errorf("over %s the client got %q, %v; want a part of the answer that is cut", name, body, err)
				}
				said := g.request("/hangs?" + name).text("error")
				if !strings.HasPrefix(said, "backend: reading the answer: ") || !strings.Contains(said, "300ms") {
					t.Errorf("over %s the error is %q; want the backend's, and for how long it was silent", name, said)
				}
			}
			close(release)
			if r, body := patient.Answer("GET"); r.StatusCode != 200 || body != "some more" {
				t.Errorf("the answer with a pause is %s, %q", r.Status, body)
			}
		})
	}
}

// A backend that reads a request slowly but steadily has not failed to answer: most of the
// request may be in the buffers of the systems for long.
func TestBackendsThatReadSlowly(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	b := wstest.NewBackend(t, func(c *wstest.Conn) {
		left, _ := strconv.Atoi(c.Head.Get("Content-Length"))
		every := time.NewTicker(50 * time.Millisecond)
		defer every.Stop()
		for ; left > 0; <-every.C {
			n, err := io.CopyN(io.Discard, c, int64(min(left, 100<<10))) // 2 MiB a second
			if left -= int(n); err != nil {
				return
			}
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	stuck := wstest.NewBackend(t, wstest.Hanging)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /steady, backend: %s, timeouts: { response: 1s } }
  - { path: /stuck, backend: %s, timeouts: { response: 1s } }
`, b.Address, stuck.Address))
	for name, send := range clients(t, g) {
		for path, status := range map[string]int{"/steady": 200, "/stuck": 504} {
			r, err := send("POST", path, bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Errorf("%s%s: %v", name, path, err)
				continue
			}
			if r.Body.Close(); r.StatusCode != status {
				t.Errorf("%s%s: status %d, want %d", name, path, r.StatusCode, status)
			}
		}
	}
}
