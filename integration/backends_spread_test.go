package integration

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// crowd opens n sessions and counts them by endpoint, as the log names it.
func crowd(t *testing.T, g *gateway, n int) (clients []wstest.Peer, at map[string]int) {
	t.Helper()
	before := len(g.log())
	for range n {
		clients = append(clients, wstest.Open(t, g.http, wstest.Handshake("/")))
	}
	at = make(map[string]int)
	for _, r := range next(t, g, before, n, "session opened") {
		at[r.text("endpoint")]++
	}
	return clients, at
}

// next waits for the next n records of a name, beginning with a given one.
func next(t *testing.T, g *gateway, first, n int, name string) (all []record) {
	t.Helper()
	for len(all) < n {
		g.waitFrom(first, name, nil)
		for log := g.log(); first < len(log) && len(all) < n; first++ {
			if log[first].name() == name {
				all = append(all, log[first])
			}
		}
	}
	return all
}

// Sessions are spread evenly, a new endpoint gets new ones until it has its share, and a
// reload forgets no count.
func TestSessionsAreSpread(t *testing.T) {
	t.Parallel()
	all := startEndpoints(t, 4)
	g := start(t, fmt.Sprintf(`
backends: { app: { endpoints: [%s] } }
routes: [{ path: /*, backend: app }]
`, addresses(all[:3])))
	_, at := crowd(t, g, 900)
	for _, e := range all[:3] {
		if at[e.address] != 300 {
			t.Fatalf("900 sessions are spread as %v, want 300 each", at)
		}
	}
	g.reload("configuration reloaded", addresses(all[:3]), addresses(all))
	if _, at = crowd(t, g, 300); at[all[3].address] != 300 {
		t.Errorf("300 more are spread as %v, want all of them at the fourth endpoint", at)
	}
	_, at = crowd(t, g, 400)
	for _, e := range all {
		if at[e.address] != 100 {
			t.Errorf("400 more are spread as %v, want 100 each", at)
		}
	}
}

// An endpoint that is drained gives its sessions away with a Close frame; the
// others keep theirs.
func TestDrainByReload(t *testing.T) {
	t.Parallel()
	all := startEndpoints(t, 2)
	g := start(t, fmt.Sprintf(`
backends:
  app:
    endpoints: [{ address: %q, drain: false }, %q]
    drain_time: 500ms
routes: [{ path: /*, backend: app }]
`, all[0].address, all[1].address))
	clients, at := crowd(t, g, 20)
	if want := map[string]int{all[0].address: 10, all[1].address: 10}; !maps.Equal(at, want) {
		t.Fatalf("sessions are spread as %v, want %v", at, want)
	}
	g.reload("configuration reloaded", "drain: false", "drain: true")
	g.wait("endpoint is drained", func(r record) bool { return r.text("endpoint") == all[0].address })
	_, at = crowd(t, g, 10)
	if at[all[1].address] != 10 {
		t.Errorf("new sessions are spread as %v, want none at the drained endpoint", at)
	}
	for i := range 10 {
		clients[2*i].ExpectClose(1012)
		clients[2*i].Send(wstest.Close(1012, ""))
		clients[2*i+1].Send(wstest.Text("hello"))
		clients[2*i+1].Expect(wstest.Text("hello"))
	}
	for _, r := range next(t, g, 0, 10, "session ended") {
		expect(t, r, record{"cause": "drained", "endpoint": all[0].address})
	}
}

// A client comes back to its endpoint with its cookie: over HTTP and with a
// WebSocket, after a reload and after a restart.
func TestStickySessions(t *testing.T) {
	t.Parallel()
	all := startEndpoints(t, 3)
	body := fmt.Sprintf(`
backends: { app: { endpoints: [%s], sticky: true, balance: random_two } }
routes: [{ path: /*, backend: app }]
`, addresses(all))
	g := start(t, body)
	r, first := wstest.Ask(t, g.http, get("/"))
	cookie, _, _ := strings.Cut(r.Header.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "sluice_app=") {
		t.Fatalf("Set-Cookie = %q", r.Header.Get("Set-Cookie"))
	}
	stays := func(g *gateway) {
		t.Helper()
		before := len(g.log())
		for range 5 {
			if _, body := wstest.Ask(t, g.http, get("/", "Cookie: "+cookie)); body != first {
				t.Errorf("a request went to %s, want %s", body, first)
			}
			wstest.Open(t, g.http, wstest.Handshake("/", "Cookie: "+cookie))
		}
		for _, r := range next(t, g, before, 5, "session opened") {
			expect(t, r, record{"endpoint": first})
		}
	}
	stays(g)
	g.reload("configuration reloaded", "balance: random_two", "balance: round_robin")
	stays(g)
	again := startFile(t, read(t, g.config))
	again.http = wstest.Target{Address: again.listener(false)}
	stays(again)
}
