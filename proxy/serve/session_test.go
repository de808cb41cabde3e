package serve

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
	s := new(Server)
	x := &exchange{server: s, snap: new(Snapshot), service: &Service{Admission: Admission{Count: NewSessionCount(), Sessions: 1, SessionsPerIP: 1}}}
	x.origin.Client = netip.MustParseAddr("192.0.2.1")
	near, far := net.Pipe()
	panics := func(joins bool) {
		defer func() { recover() }()
		seat, refusal := x.takeSeat()
		if refusal != nil {
			t.Fatalf("no seat: %s", refusal.Detail)
		}
		defer seat.release()
		lease, err := pool.Acquire(t.Context(), backend.Need{Kind: backend.Sessions}, &backend.Tried{})
		if err != nil {
			t.Fatalf("no endpoint: %v", err)
		}
		up := &upstream{lease: lease, conn: near}
		defer up.release()
		if joins {
			seat.take()
			up.take()
		}
		panic("between the answer and the session")
	}
	panics(false)
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the endpoint's connection is open")
	}
	panics(true) // there is room again
	if n := s.sessions.Load(); n != 1 {
		t.Errorf("%d sessions are counted, want the one that was joined", n)
	}
	if x.service.Admission.Count.clients.Acquire(limit.Key(x.origin.Client), 1) {
		t.Error("the seat of the joined session was given back")
	}
	if _, err := pool.Acquire(t.Context(), backend.Need{Kind: backend.Sessions}, &backend.Tried{}); err == nil {
		t.Error("the lease of the joined session was given back")
	}
}
