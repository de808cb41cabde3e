package serve

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/limit"
	"sluice/internal/telemetry"
	"sluice/internal/wire"
	"sluice/proxy/backend"
	"sluice/proxy/relay"
	"sluice/upgrade"
)

// A panic in a session is logged with its ID and the stack.
func TestAPanicInASessionIsLogged(t *testing.T) {
	var out bytes.Buffer
	log := zerolog.New(&out)
	s := &Server{Env: Env{Log: func() *zerolog.Logger { return &log }}}
	record := telemetry.Session{Exchange: &telemetry.Exchange{ID: "00f1e2d3c4b5a697"}}
	s.sessionPanicked(relay.View{Note: string(record.Pack()), Group: &relay.Group{Name: "chat"}}, "it", []byte("the stack"))
	const want = `{"level":"error","id":"00f1e2d3c4b5a697","route":"chat","message":"panic in a session: it\nthe stack"}` + "\n"
	if out.String() != want {
		t.Errorf("logged %s; want %s", &out, want)
	}
}

// A handshake that panics between the endpoint's answer and the session gives
// everything back.
func TestHandshakeThatPanicsGivesEverythingBack(t *testing.T) {
	pool := backend.New("app", backend.Settings{Endpoints: []backend.Endpoint{{Name: "e", Network: "tcp", Address: "127.0.0.1:1", MaxSessions: 1}}}, nil)
	t.Cleanup(pool.Close)
	s := New(Env{})
	x := &exchange{server: s, snap: new(Snapshot), record: telemetry.Request{Exchange: &telemetry.Exchange{}}, service: &Service{Admission: Admission{Count: NewSessionCount(), Sessions: 1, SessionsPerIP: 1}}}
	x.origin.Client = netip.MustParseAddr("192.0.2.1")
	const (
		before = iota // the session
		within        // the engine, which has no group to count in
		after
	)
	panics := func(when int) {
		defer func() { recover() }()
		near, far := net.Pipe()
		client, peer := net.Pipe()
		for name, other := range map[string]net.Conn{"endpoint": far, "client": peer} {
			defer func() {
				if name == "client" && when != within || when == after {
					return // others close it
				}
				other.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := other.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%d: the connection of the %s: %v; want its end", when, name, err)
				}
			}()
		}
		seat, refusal := x.takeSeat()
		if refusal != nil {
			t.Fatalf("no seat: %s", refusal.Detail)
		}
		defer seat.release()
		lease, err := pool.Acquire(t.Context(), backend.Need{Kind: backend.Sessions}, &backend.Tried{})
		if err != nil {
			t.Fatalf("no endpoint: %v", err)
		}
		up := &upstream{lease: lease, conn: near, answer: new(upgrade.Answer)}
		defer up.release()
		switch when {
		case within:
			x.join(seat, up, wire.Side{Conn: client})
		case after:
			seat.take()
			up.take()
		}
		panic("between the answer and the session, or after it")
	}
	panics(before)
	panics(within) // there is room again
	panics(after)
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
