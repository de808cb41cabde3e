package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// The copies of all routes together are bounded in bytes, and give back what
// they took.
func TestCopiesAreBounded(t *testing.T) {
	const size, copies, requests = 50_000, 5, 20
	release, came := make(chan struct{}), make(chan struct{}, requests)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		came <- struct{}{}
		<-release
	}))
	t.Cleanup(s.Close)
	g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends: {copies: {endpoints: ["%s"]}}
routes: [{path: /0, backend: "%s", mirror: copies}, {path: /1, backend: "%[2]s", mirror: copies}]
`, s.Listener.Addr(), saying(t, "real")), func(g *Gateway) { g.server.Copies.Most = copies * (64<<10 + size*5/4) })
	for i := range requests {
		path := fmt.Sprintf("/%d", i%2)
		if res, _ := ask(t, address, "POST", path, strings.Repeat("x", size)); res.StatusCode != 200 {
			t.Fatalf("%d, want the real answer", res.StatusCode)
		}
	}
	for range copies - 1 { // buffers may grow to more than the body
		select {
		case <-came:
		case <-time.After(wstest.Guard):
			t.Fatal("a copy does not come")
		}
	}
	if used := g.server.Copies.Used(); used > g.server.Copies.Most {
		t.Errorf("copies take %d bytes of %d", used, g.server.Copies.Most)
	}
	close(release)
	g.stop()
	if n := len(came) + copies - 1; n > copies {
		t.Errorf("there were %d copies, want %d at most", n, copies)
	}
	if used := g.server.Copies.Used(); used != 0 {
		t.Errorf("%d bytes are taken when there is no copy", used)
	}
}
