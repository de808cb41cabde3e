package top

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/admin"
)

// Rates are differences of two looks at one process.
func TestRates(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 200, 24)
	expectAll(t, drawn(t, m), "requests/s -", "from clients - msgs/s, -/s", "2 loops -")

	m.now = m.now.Add(2 * time.Second)
	g.status.UptimeSeconds += 2
	g.status.Answered = 7
	g.status.Loops[1].BusySeconds = 1
	g.routes[0].FromClient = admin.Traffic{Messages: 100, Bytes: 4096}
	g.routes[0].FromBackend = admin.Traffic{Messages: 3, Bytes: 10}
	g.sessions[1].FromClient.Bytes += 2048
	g.sessions[1].FromBackend.Messages += 1
	g.sessions = append(g.sessions, admin.Session{Session: "00000000000000d4", Opened: m.now, Last: m.now})
	lookAt(t, m, g)
	screen := drawn(t, m)
	expectAll(t, screen, "requests/s 3.5", "from clients 50 msgs/s, 2.0 KiB/s", "from backends 1.5 msgs/s, 5 B/s", "2 loops 25 % busy, busiest 50 %")
	if got := order(m); got != "b2 a1 c3 d4" {
		t.Errorf("by OUT/S: %s, want the one first that gets something, and unknown rates last", got)
	}
	paces := m.picture.paces.sessions
	if p := paces["00000000000000b2"]; !p.known || p.client.bytes != 1024 || p.backend.messages != 0.5 {
		t.Errorf("pace of b2: %+v", p)
	}
	if p := paces["00000000000000a1"]; !p.known || p.client.bytes != 0 {
		t.Errorf("pace of a1: %+v", p)
	}
	if p := paces["00000000000000d4"]; p.known {
		t.Errorf("a session that was seen once has the pace %+v", p)
	}

	m.now = m.now.Add(time.Second)
	g.status.UptimeSeconds++
	press(t, m, "3")
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), "from clients 0 msgs/s")
	if p := m.picture.paces.sessions["00000000000000b2"]; p.client.bytes != 1024 {
		t.Errorf("while the routes are shown b2 has the pace %+v, want that of before", p)
	}

	m.now = m.now.Add(time.Second)
	g.routes[0].FromClient = admin.Traffic{} // a route that was forgotten and has come back
	g.status.UptimeSeconds++
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), "from clients 0 msgs/s")

	m.now = m.now.Add(time.Second)
	g.status.Started = began.Add(time.Hour) // another process
	g.status.UptimeSeconds = 1
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), "requests/s -", "from clients - msgs/s")
}

// A list is asked for as it is shown, with a bound, and nothing that is not shown.
func TestWhatIsAsked(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 80, 24)
	want := []string{"GET /status", "GET /routes", "GET /sessions?limit=1000&sort=-bytes"}
	if got := g.requests("GET"); !slices.Equal(got, want) {
		t.Errorf("a look asks %q, want %q", got, want)
	}
	press(t, m, "/", `route=feed client=192.0.2.0/24`, "<enter>")
	lookAt(t, m, g)
	press(t, m, "r")
	lookAt(t, m, g)
	want = []string{"GET /sessions?client=192.0.2.0%2F24&limit=1000&route=feed&sort=-bytes", "GET /sessions?client=192.0.2.0%2F24&limit=1000&route=feed&sort=bytes"}
	if got := g.requests("GET /sessions"); !slices.Equal(got, want) {
		t.Errorf("looks ask %q, want %q", got, want)
	}
	press(t, m, "2")
	lookAt(t, m, g)
	press(t, m, "3")
	lookAt(t, m, g)
	want = []string{"GET /status", "GET /routes", "GET /backends", "GET /status", "GET /routes"}
	if got := g.requests("GET"); !slices.Equal(got, want) {
		t.Errorf("looks at the other views ask %q, want %q", got, want)
	}
}

// A rate is by the times of the answers, whatever the gateway took before them.
func TestRatesOfASlowGateway(t *testing.T) {
	m := seen(t, newFakeGateway(), 200, 24)
	before := m.picture.look
	after := before
	after.at, after.statusAt = before.at.Add(time.Second), before.statusAt.Add(time.Second)
	after.routesAt, after.sessionsAt = before.routesAt.Add(4*time.Second), before.sessionsAt.Add(8*time.Second)
	after.status.UptimeSeconds++
	after.routes = slices.Clone(before.routes)
	after.routes[0].FromClient.Bytes += 4000
	after.sessions = slices.Clone(before.sessions)
	after.sessions[0].FromClient.Bytes += 8000
	m.looked(after, m.now.Add(8*time.Second))
	if p := m.picture.paces.routes["chat"]; p.client.bytes != 1000 {
		t.Errorf("the route has %v bytes a second, want 1000", p.client.bytes)
	}
	if p := m.picture.paces.sessions["00000000000000a1"]; p.client.bytes != 1000 {
		t.Errorf("the session has %v bytes a second, want 1000", p.client.bytes)
	}
}
