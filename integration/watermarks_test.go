package integration

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// fills makes a gateway with one session short of something: fill opens some more connections
// each time. While they are open new sessions are refused, and the one that is open goes on.
func fills(t *testing.T, g *gateway, short string, fill func() []wstest.Peer) {
	t.Helper()
	for scheme, target := range g.schemes() {
		t.Run(scheme, func(t *testing.T) {
			tries := 0
			full := func() bool { // a try of its own, since each is in the log
				tries++
				uri := fmt.Sprintf("/%s/%d", scheme, tries)
				p, answer := try(t, target, uri)
				if answer.StatusCode == http.StatusSwitchingProtocols {
					goodbye(p)
					return false
				}
				r := g.request(uri)
				if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !strings.Contains(r.text("error"), short) {
					t.Fatalf("%s, Retry-After %q; want 503, and that the process is short of %s: %s", answer.Status, answer.Header.Get("Retry-After"), short, r.text("text"))
				}
				return true
			}
			old := open(t, target, "/"+scheme+"/old")
			lives := func() {
				old.Send(wstest.Text("still here"))
				old.Expect(wstest.Text("still here"))
			}
			var fillers []wstest.Peer
			eventually(t, "the gateway is short of "+short, func() bool {
				if full() {
					return true
				}
				fillers = append(fillers, fill()...)
				return false
			})
			lives()
			for _, p := range fillers {
				p.Close()
			}
			eventually(t, "there is room for sessions again", func() bool { return !full() })
			lives()
			goodbye(old)
		})
	}
}

// While nine tenths of the descriptors are in use, open sessions go on and new ones are
// refused.
func TestShortOfDescriptors(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := listening(t, "max_connections: 1000", fmt.Sprintf("routes: [{ path: /ws/*, backend: %[1]s }, { path: /wss/*, backend: %[1]s }]", b.Address))
	const most, enough = 400, 366 // the last 20 are for operators, and a try takes two
	tool(t, "prlimit", "--pid", strconv.Itoa(g.pid), fmt.Sprintf("--nofile=%d", most))
	fills(t, g, "file descriptors", func() (more []wstest.Peer) {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.pid))
		if err != nil {
			t.Fatal(err)
		}
		for range min(enough-len(open), 8) {
			p := wstest.Dial(t, g.http)
			p.WriteString("GET /elsewhere HTTP/1.1\r\nHost: gateway.test\r\n\r\n") // whoever has an answer was accepted, and is counted
			p.Answer("GET")
			more = append(more, p)
		}
		return more
	})
}

// The same for four fifths of the memory, which requests with large heads use up.
func TestShortOfMemory(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "48MiB")
	b := wstest.NewBackend(t, func(c *wstest.Conn) {
		if strings.Contains(c.Head.Start, "/hangs") {
			wstest.Hanging(c)
			return
		}
		wstest.Echo(c)
	})
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	head := get("/hangs", "X-Large: "+strings.Repeat("x", 60_000))
	fills(t, g, "memory", func() (more []wstest.Peer) {
		for range 16 {
			p := wstest.Dial(t, g.http)
			p.WriteString(head)
			more = append(more, p)
		}
		return more
	})
}
