package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
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
