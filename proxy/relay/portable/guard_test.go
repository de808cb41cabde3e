package portable

import (
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/clock"
	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// A fragile connection panics once, at one of its methods.
type fragile struct {
	net.Conn
	method atomic.Pointer[string]
}

func (f *fragile) at(method string) {
	if m := f.method.Load(); m != nil && *m == method && f.method.CompareAndSwap(m, nil) {
		panic("at " + method)
	}
}

func (f *fragile) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	f.at("Read")
	return n, err
}
func (f *fragile) Write(b []byte) (int, error) { f.at("Write"); return f.Conn.Write(b) }
func (f *fragile) CloseWrite() error           { f.at("CloseWrite"); return wire.CloseWrite(f.Conn) }
func (f *fragile) Close() error                { f.Conn.Close(); f.at("Close"); return nil }

// session returns the session of an ID.
func (h *engineFixture) session(id uint64) *session {
	for _, s := range h.engine.unfinished() {
		if s.ID() == id {
			return s
		}
	}
	return nil
}

// A panic at any step ends one session: it is reported once, its connections are closed, and
// it tells its sides where it can. Other sessions go on.
func TestAPanicEndsOneSession(t *testing.T) {
	const told = `close 1011 "internal error"`
	end := func(h *engineFixture, _, _ *relaytest.Peer) {
		h.End(func(v core.View) bool { return v.ID == 1 }, core.Ending{Cause: core.RouteRemoved}, 0)
	}
	says := func(_ *engineFixture, c, _ *relaytest.Peer) { c.Send(wstest.Text("a")) }
	tests := []struct {
		name            string
		client, backend string // methods that panic
		hideGroup       bool   // what asks the group for its rules panics
		breakRules      bool   // frames of the client are a panic
		sink            string // function that panics
		play            func(h *engineFixture, c, b *relaytest.Peer)
		toClient        string // all that is read; "" for no Close frame
		toBackend       string
		cause           core.Cause
		panics          int
	}{
		{name: "read", client: "Read", play: says, toClient: told, toBackend: "close 1001", cause: core.Internal, panics: 1},
		{name: "write", backend: "Write", play: says, toClient: told, cause: core.Internal, panics: 1},
		{name: "a frame", hideGroup: true, play: says, toClient: told, cause: core.Internal, panics: 1},
		{name: "a frame, and more from the client", breakRules: true, play: func(_ *engineFixture, c, _ *relaytest.Peer) {
			c.Send(wstest.Text("a"))
			synctest.Wait()
			c.Send(wstest.Text("more"))
		}, toClient: told, cause: core.Internal, panics: 1},
		{name: "an end by a reload", hideGroup: true, play: func(h *engineFixture, _, _ *relaytest.Peer) {
			h.End(func(v core.View) bool { return v.ID == 1 }, core.Ending{Cause: core.RouteRemoved}, time.Minute)
		}, toClient: told, toBackend: "close 1001", cause: core.Internal, panics: 1},
		{name: "a change of the rules", hideGroup: true, play: func(h *engineFixture, _, _ *relaytest.Peer) {
			h.session(1).rulesChanged()
		}, toClient: told, toBackend: "close 1001", cause: core.Internal, panics: 1},
		{name: "the timer", hideGroup: true, play: func(*engineFixture, *relaytest.Peer, *relaytest.Peer) { <-time.After(time.Hour) },
			toClient: told, toBackend: "close 1001", cause: core.Internal, panics: 1},
		{name: "a Close frame", client: "Write", play: end, toBackend: "close 1001", cause: core.Internal, panics: 1},
		{name: "the end of the stream", client: "CloseWrite", play: end, toClient: `close 1012 "route removed"`, toBackend: "close 1001", cause: core.RouteRemoved, panics: 1},
		{name: "close", client: "Close", backend: "Close", play: end, toClient: `close 1012 "route removed"`, toBackend: "close 1001", cause: core.RouteRemoved, panics: 2},
		{name: "the report", sink: "Ended", play: end, toClient: `close 1012 "route removed"`, toBackend: "close 1001", cause: core.RouteRemoved, panics: 1},
		{name: "the connections are closed", sink: "Closed", play: end, toClient: `close 1012 "route removed"`, toBackend: "close 1001", cause: core.RouteRemoved, panics: 1},
		{name: "the log of the panic", client: "Read", sink: "Panicked", play: says, toClient: told, toBackend: "close 1001", cause: core.Internal, panics: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var panics atomic.Int64
				repair := func() {}
				h := new(engineFixture)
				h.Fixture = relaytest.NewFixture(t, func(sink core.Sink) relaytest.Engine {
					told := sink
					at := func(function string, id uint64) {
						if function == tt.sink && id == 1 {
							panic("at " + function)
						}
					}
					sink.Ended = func(r core.Report) { told.Ended(r); at("Ended", r.ID) }
					sink.Closed = func(owner any) { told.Closed(owner); at("Closed", owner.(uint64)) }
					h.engine = New(sink, clock.New())
					return h.engine
				})
				h.Panicked = func(v core.View, _ any) {
					panics.Add(1)
					repair()
					repair = func() {}
					if tt.sink == "Panicked" {
						panic("no log")
					}
				}
				h.Group.Set(core.Rules{Idle: time.Hour})
				var ends [2]*fragile
				over := func(side core.Side) relaytest.Link {
					return func(t testing.TB, _ core.Side) (gateway, peer net.Conn) {
						g, p := relaytest.Roomy(t, side)
						ends[side] = &fragile{Conn: wire.Of(g).Conn}
						return ends[side], p
					}
				}
				c, b := h.StartSession(over(core.Client), over(core.Backend), core.Session{Owner: uint64(1)})
				other, otherBackend := h.StartSession(relaytest.Roomy, relaytest.Roomy, core.Session{Owner: uint64(2)})
				half := frametest.Encode(core.Client, wstest.Text("0123456789"))
				other.SendRaw(half[:9])
				synctest.Wait()
				ends[core.Client].method.Store(&tt.client)
				ends[core.Backend].method.Store(&tt.backend)
				if tt.hideGroup {
					s := h.session(1)
					s.mu.Lock()
					kept := s.refs
					core.New(new(core.State), &s.refs, new(core.Part), &core.Session{}, 0) // of no group
					repair = func() { s.refs = kept }
					s.mu.Unlock()
				}
				if tt.breakRules {
					s := h.session(1)
					repair = func() { relaytest.BreakRules(s.Core, core.Client) } // the bug stays
					s.mu.Lock()
					repair()
					s.mu.Unlock()
				}
				tt.play(h, c, b)
				c.ExpectRest(tt.toClient)
				b.ExpectRest(tt.toBackend)
				c.Close()
				b.Close()
				if tt.name != "the timer" {
					other.SendRaw(half[9:])
					otherBackend.Receive(wstest.Text("0123456789"))
				}
				other.Reset()
				otherBackend.Reset()
				h.Drained(t.Context())
				h.Stop()
				synctest.Wait() // a panic that is the last step of a session is logged after its end
				reports := 0
				for range len(h.Reports) {
					if r := h.AwaitReport(); r.ID == 1 {
						reports++
						if r.Cause != tt.cause {
							t.Errorf("report = %s by the %s, %d (%s); want %s", r.Cause, r.By, r.Code, r.Detail, tt.cause)
						}
					}
				}
				if n := panics.Load(); reports != 1 || n != int64(tt.panics) {
					t.Errorf("%d reports and %d panics; want 1 and %d", reports, n, tt.panics)
				}
				if n, open, past := h.Closed.Load(), h.Group.Open(), h.Totals(&h.Group).Sessions; n != 2 || open != 0 || past != 2 {
					t.Errorf("%d sessions closed, %d open, %d past; want 2, 0, 2", n, open, past)
				}
			})
		})
	}
}
