//go:build !portable

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/admin"
	"sluice/internal/wstest"
)

// idle is a client's connection that waits for a request at a restart: what is sent before it, and after.
type idle struct {
	name          string
	before, after string
	first         bool // before is a whole request
}

func idles(scheme string) []idle {
	get := func(n int) string { return fmt.Sprintf("GET /%s/%d HTTP/1.1\r\nHost: gateway.test\r\n\r\n", scheme, n) }
	return []idle{
		{name: "unused", after: get(1)},
		{name: "after a request", before: get(2), after: get(3), first: true},
		{name: "in a head", before: get(4)[:9], after: get(4)[9:]},
		{name: "after a line of a head", before: get(5)[:len(get(5))-2], after: "\r\n"},
	}
}

// A restart takes idle connections over, with what has come of a head, and the address that a PROXY header has named.
func TestRestartKeepsIdleConnections(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	b := wstest.NewBackend(t, saying("served"))
	g := listening(t, "proxy_protocol: true, timeouts: { header: 10m, idle: 10m }", fmt.Sprintf("trusted_proxies: [127.0.0.1, '::1']\nroutes: [{ path: /*, backend: %q }]", b.Address))
	for _, target := range []*wstest.Target{&g.http, &g.https} {
		target.Preface = "PROXY TCP4 203.0.113.7 10.0.0.1 5555 443\r\n"
	}
	type open struct {
		wstest.Peer
		idle
		scheme string
	}
	var all []open
	if httpEngine() == "go" {
		t.Skip("net/http has the connections, which end with the old process")
	}
	for scheme, target := range g.movable() {
		for _, i := range idles(scheme) {
			p := wstest.Dial(t, target)
			p.WriteString(i.before)
			if i.first {
				if r, body := p.Answer("GET"); r.StatusCode != 200 || body != "served" {
					t.Fatalf("%s before the restart: %s %q", i.name, r.Status, body)
				}
			}
			all = append(all, open{p, i, scheme})
		}
	}
	// The handshakes of TLS are over, and what was sent has been read.
	eventually(t, "all connections are open", func() bool {
		n := 0
		for _, l := range operatedAs[admin.Status](t, g, "status").Listeners {
			n += int(l.Connections.Used)
		}
		return n == len(all)
	})
	for round := range 3 {
		if r := g.restart(t); r.Connections != len(all) {
			t.Errorf("restart %d: %+v; want that %d connections went over", round, r, len(all))
		}
	}
	for _, o := range all {
		o.WriteString(o.after)
		r, body := o.Answer("GET")
		if r.StatusCode != 200 || body != "served" || r.Close {
			t.Errorf("%s, %s, after the restarts: %s %q, closed: %t", o.scheme, o.name, r.Status, body, r.Close)
		}
	}
	for scheme := range g.movable() {
		for _, n := range []int{1, 3, 4, 5} {
			if r := g.request(fmt.Sprintf("/%s/%d", scheme, n)); r.text("client") != "203.0.113.7" {
				t.Errorf("request %d over %s is of %q; want 203.0.113.7", n, scheme, r.text("client"))
			}
		}
	}
}

// The times of a connection go on: one that sends no head is closed when its time is over, whichever process has it.
func TestRestartKeepsDeadlines(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	b := wstest.NewBackend(t, saying("served"))
	const header = 5 * time.Second
	g := listening(t, fmt.Sprintf("timeouts: { header: %[1]v, idle: %[1]v }", header), fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.Address))
	for scheme, target := range g.movable() {
		p, began := wstest.Dial(t, target), time.Now()
		p.WriteString("GET / HT")
		if r := g.restart(t); r.Connections != 1 && httpEngine() == "loops" && time.Since(began) < header {
			t.Errorf("%s: %+v; want that the connection went over", scheme, r)
		}
		p.ExpectCut()
	}
}

// What clients have used of rates, drained endpoints, the level of the log, and counts stay.
func TestRestartKeepsWhatWasLearned(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	b := wstest.NewBackend(t, wstest.Echo)
	g := listening(t, "request_rate: 1/h, request_burst: 3", fmt.Sprintf(
		"backends: { app: { endpoints: [%q, 127.0.0.1:9] } }\nroutes: [{ path: /*, name: chat, backend: app, websocket: { limits: { handshake_rate: 1/h, handshake_burst: 2 } } }]", b.Address))
	g.operate(t, "drain", "app", "127.0.0.1:9")
	g.operate(t, "loglevel", "debug")
	c := wstest.Open(t, g.http, wstest.Handshake("/"))
	c.Send(wstest.Text("hello"))
	c.Expect(wstest.Text("hello"))
	status := func(want int) {
		t.Helper()
		if r, _ := wstest.Ask(t, g.http, wstest.Handshake("/")); r.StatusCode != want {
			t.Errorf("a handshake is answered with %s; want %d", r.Status, want)
		}
	}
	g.restart(t)
	status(http.StatusSwitchingProtocols)
	g.restart(t)
	status(http.StatusTooManyRequests) // handshake_rate, of the route
	if r, _ := wstest.Ask(t, g.http, get("/")); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a request is answered with %s; want 429, because of request_rate", r.Status)
	}
	if s := operatedAs[admin.Status](t, g, "status"); s.LogLevel != "debug" {
		t.Errorf("the level of the log is %s; want debug", s.LogLevel)
	}
	for _, r := range operatedAs[[]admin.Route](t, g, "routes") {
		if r.Sessions != 2 || r.FromClient.Messages != 1 {
			t.Errorf("%+v; want 2 sessions and 1 message since the first process", r)
		}
	}
	if out := g.operate(t, "backends"); !strings.Contains(out, "draining") {
		t.Errorf("no endpoint is draining:\n%s", out)
	}
}
