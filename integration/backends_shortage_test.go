package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// saying answers each request on a connection of its own: the gateway needs a
// new one for each.
func saying(text string) wstest.Behaviour { return wstest.Refusing("200 OK", text) }

// Idle clients that use up the descriptors bring no endpoint down. A client that is connected
// gets 503, and is served as soon as there is room. The log has a line for the beginning and
// one for the end.
func TestDescriptorsUsedUp(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("there is no /proc to count descriptors in")
	}
	a, b := wstest.NewBackend(t, saying("served")), wstest.NewBackend(t, saying("served"))
	g := startFile(t, fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", max_connections: 1000 }]
log: { format: json, access: false }
state_dir: %q
backends:
  app:
    endpoints: [%s, %s]
    health: { check: http, interval: 100ms, fall: 1 }
    passive: 1
routes: [{ backend: app }]
`, t.TempDir(), a.Address, b.Address))
	target := wstest.Target{Address: g.listener(false)}
	client := wstest.Dial(t, target)
	status := func() int {
		t.Helper()
		client.WriteString("GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
		r, body := client.Answer("GET")
		if r.StatusCode == 503 && r.Header.Get("Retry-After") == "" || r.StatusCode == 200 && body != "served" {
			t.Errorf("%s with Retry-After %q and %q", r.Status, r.Header.Get("Retry-After"), body)
		}
		return r.StatusCode
	}
	if got := status(); got != 200 {
		t.Fatalf("status %d at first, want 200", got)
	}
	before := len(g.log())
	inUse, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.pid))
	if err != nil {
		t.Fatal(err)
	}
	tool(t, "prlimit", "--pid", strconv.Itoa(g.pid), fmt.Sprintf("--nofile=%d", len(inUse)+10))
	var idle []wstest.Peer
	for range 60 { // beyond the limit they wait to be accepted
		idle = append(idle, wstest.Dial(t, target))
	}
	g.waitFrom(before, "out of file descriptors", nil)
	// The gateway does not count its descriptors for each request.
	eventually(t, "a request is refused", func() bool { return status() == 503 })
	for range 100 {
		if got := status(); got != 503 && got != 200 { // health checks give descriptors back too
			t.Errorf("status %d, want 503 or 200", got)
		}
	}
	for _, p := range idle {
		p.Close()
	}
	eventually(t, "the client is served again", func() bool { return status() == 200 })
	end := g.waitFrom(before, "file descriptors can be had again", nil)
	if end.number("times") == 0 {
		t.Errorf("how often it was met is not in %s", end.text("text"))
	}
	if got := status(); got != 200 {
		t.Errorf("status %d at last, want 200", got)
	}
	var lines []string
	for _, r := range g.log()[before:] {
		lines = append(lines, r.text("text"))
	}
	if len(lines) != 2 {
		t.Errorf("%d lines about it, want 2:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}
