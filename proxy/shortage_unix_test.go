//go:build unix

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// A gateway that gets no descriptor says so to whom it concerns, blames no
// endpoint and asks no other one.
func TestOutOfDescriptors(t *testing.T) {
	for _, access := range []bool{true, false} {
		g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s", "%s", "%s"], passive: 1, retry: {try_timeout: 10s}}}
routes: [{backend: app}]
log: {access: %v}
`, saying(t, "a"), saying(t, "b"), echo(t), access))
		requests := []string{
			"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
			wstest.Handshake("/"),
		}
		var clients []net.Conn
		for range len(requests) * 3 {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			clients = append(clients, c)
		}
		accepted(t, g, len(clients))
		undo := wstest.NoDescriptors(t)
		for i, c := range clients {
			c.SetDeadline(time.Now().Add(wstest.Guard))
			fmt.Fprint(c, requests[i%len(requests)])
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "The gateway is out of file descriptors.") {
				t.Errorf("%.10q: %d with Retry-After %q and %q, want 503, some, and what there is no more of", requests[i%len(requests)], res.StatusCode, res.Header.Get("Retry-After"), body)
			}
		}
		undo()
		for _, s := range g.endpoints() {
			if s.State != "up" {
				t.Errorf("%+v, want it up", s)
			}
		}
		g.stop() // a record may come behind its answer
		g.mu.Lock()
		log := g.log.String()
		g.mu.Unlock()
		if n := strings.Count(log, `"out of file descriptors: `); n != 1 {
			t.Errorf("the shortage is said %d times in\n%s", n, log)
		}
		if n, lines := strings.Count(log, "LimitNOFILE"), strings.Count(log, "\n"); access && n != len(clients)+1 || !access && lines != 1 {
			t.Errorf("%d lines, in %d of which the limit is named; want one, and one for each request only if these have records:\n%s", lines, n, log)
		}
		if strings.Contains(log, `"level":"warn"`) {
			t.Errorf("warnings in\n%s", log)
		}
	}
}

// accepted waits until a gateway has so many connections of clients.
func accepted(t *testing.T, g *running, n int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(wstest.Guard)
	for _, l := range g.listeners.All() {
		for l.Connections() < int64(n) {
			select {
			case <-tick.C:
			case <-timeout:
				t.Fatalf("%d connections are accepted, want %d", l.Connections(), n)
			}
		}
	}
}
