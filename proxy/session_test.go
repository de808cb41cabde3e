package proxy

import (
	"net"
	"net/netip"
	"testing"

	"sluice/internal/limit"
	"sluice/proxy/backend"
)

// A handshake that panics between the endpoint's answer and the session gives
// everything back.
func TestHandshakeThatPanicsGivesEverythingBack(t *testing.T) {
	pool := backend.New("app", backend.Settings{Endpoints: []backend.Endpoint{{Name: "e", Network: "tcp", Address: "127.0.0.1:1", MaxSessions: 1}}}, nil)
	t.Cleanup(pool.Close)
	g := new(Gateway)
	x := &exchange{g: g, s: new(snapshot), svc: &service{admission: admission{seats: newSeats(), sessions: 1, sessionsPerIP: 1}}}
	x.origin.Client = netip.MustParseAddr("192.0.2.1")
	near, far := net.Pipe()
	panics := func(joins bool) {
		defer func() { recover() }()
		place, refusal := x.admitSession()
		if refusal != nil {
			t.Fatalf("no seat: %s", refusal.Detail)
		}
		defer place.leave()
		lease, err := pool.Acquire(t.Context(), backend.Need{Kind: backend.Sessions}, &backend.Tried{})
		if err != nil {
			t.Fatalf("no endpoint: %v", err)
		}
		up := &upstream{lease: lease, conn: near}
		defer up.abandon()
		if joins {
			place.taken = true
			up.take()
		}
		panic("between the answer and the session")
	}
	panics(false)
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the endpoint's connection is open")
	}
	panics(true) // there is room again
	if n := g.sessions.Load(); n != 1 {
		t.Errorf("%d sessions are counted, want the one that was joined", n)
	}
	if x.svc.admission.seats.clients.Acquire(limit.Key(x.origin.Client), 1) {
		t.Error("the seat of the joined session was given back")
	}
	if _, err := pool.Acquire(t.Context(), backend.Need{Kind: backend.Sessions}, &backend.Tried{}); err == nil {
		t.Error("the lease of the joined session was given back")
	}
}
