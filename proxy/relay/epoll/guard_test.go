//go:build linux && !portable

package epoll

import (
	"cmp"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sluice/internal/clock"
	"sluice/internal/loop"
	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// A saboteur makes a step of one session panic, from within: it takes from the session what the
// step needs, and gives it back when the sink hears of the panic.
type saboteur struct {
	*engineFixture
	l        *loopSessions
	c, b     *relaytest.Peer
	victim   uint64 // ID of the session
	panicked int
	repair   func()
	ended    func() // called when the sink hears of the victim's end
	closed   func() // and when its sockets are closed
}

// newSaboteur returns one whose victim is on an engine with one loop.
func newSaboteur(t *testing.T) *saboteur {
	s := &saboteur{engineFixture: new(engineFixture), repair: func() {}, ended: func() {}, closed: func() {}}
	s.Fixture = relaytest.NewFixture(t, func(sink core.Sink) relaytest.Engine {
		ended, closed := sink.Ended, sink.Closed
		sink.Ended = func(r core.Report) {
			ended(r)
			if r.ID == s.victim {
				s.ended()
			}
		}
		sink.Closed = func(owner any) {
			closed(owner)
			if owner == "victim" {
				s.closed()
			}
		}
		s.engine = newEngine(sink, clock.New(), loop.NewPipes(0))
		s.engine.loops = s.engine.loops[:1]
		return joiner{s.engine, s.engineFixture}
	})
	s.l = s.engine.loops[0]
	s.Panicked = func(v core.View, cause any) {
		if v.ID != s.victim {
			t.Errorf("session %d: panic: %v", v.ID, cause)
		}
		s.panicked++
		s.repair()
		s.repair = func() {}
	}
	s.victim = 1
	s.l.reserve() // the loop has its descriptors
	s.l.Call(func() { debug.SetPanicOnFault(true) })
	s.l.Enter(s.l.unreserve)
	return s
}

// do calls f with the victim on the loop.
func (s *saboteur) do(f func(k handle)) {
	s.l.Call(func() {
		s.l.each(func(k handle) {
			if k.ID() == s.victim {
				f(k)
			}
		})
	})
}

// until waits until ok holds for the victim.
func (s *saboteur) until(what string, ok func(k handle) bool) {
	s.T.Helper()
	s.engineFixture.until(s.victim, what, func(_ *loopSessions, k handle) bool { return ok(k) })
}

// protect makes the memory of a value unwritable, until the panic.
func (s *saboteur) protect(p unsafe.Pointer, size uintptr) {
	page := uintptr(unix.Getpagesize())
	before := uintptr(p) % page
	pages := unsafe.Slice((*byte)(unsafe.Add(p, -int(before))), (before+size+page-1)/page*page)
	unix.Mprotect(pages, unix.PROT_READ)
	s.repair = func() { unix.Mprotect(pages, unix.PROT_READ|unix.PROT_WRITE) }
}

// freezeSlot makes the first step panic that changes the state of the session.
func (s *saboteur) freezeSlot(k handle) { s.protect(unsafe.Pointer(k.slot), unsafe.Sizeof(*k.slot)) }

// freezeTLS makes the first step panic that opens or seals a record of a side: it does when the
// record is done, and the state is to be changed.
func (s *saboteur) freezeTLS(side core.Side) func(handle) {
	return func(k handle) {
		state, _ := s.l.tls.At(k.sockets[side].tlsCell)
		s.protect(unsafe.Pointer(state), unsafe.Sizeof(*state))
	}
}

// hideGroup makes the first step panic that asks the group for its rules.
func (s *saboteur) hideGroup(k handle) {
	kept := *k.Core.Refs
	core.New(new(core.State), k.Core.Refs, new(core.Part), &core.Session{}, 0) // of no group
	s.repair = func() { *k.Core.Refs = kept }
}

// receive makes the loop handle what a peer sends after sabotage.
func (s *saboteur) receive(p *relaytest.Peer, b []byte, sabotage func(handle)) {
	s.do(func(k handle) {
		sabotage(k)
		if _, err := p.Write(b); err != nil {
			s.T.Error(err)
		}
		for end := time.Now().Add(wstest.Guard); s.panicked == 0 && time.Now().Before(end); {
			s.l.driver().Poll()
		}
	})
}

// A sabotaged is a case of the test below. What the client and the backend get is what they
// read to the end; "cut" is an end without a Close frame.
type sabotaged struct {
	name            string
	play            func(s *saboteur)
	client, backend string
	cause           core.Cause
	panics          int  // 0 means 1
	stops           bool // the engine stops
}

const told = `close 1011 "internal error"`

// inAnySession are steps of every session.
var inAnySession = []sabotaged{
	{name: "read", play: func(s *saboteur) {
		s.receive(s.c, frametest.Encode(core.Client, wstest.Text("a")), s.hideGroup)
	}, client: told, backend: "close 1001"},
	{name: "a frame of the client", play: func(s *saboteur) {
		s.receive(s.c, frametest.Encode(core.Client, wstest.Text("a")), s.freezeSlot)
	}, client: told, backend: "cut"},
	{name: "a frame of the backend", play: func(s *saboteur) {
		s.receive(s.b, frametest.Encode(core.Backend, wstest.Text("a")), s.freezeSlot)
	}, client: "cut", backend: "close 1001"},
	{name: "a frame, and more from the client", play: func(s *saboteur) {
		s.receive(s.c, frametest.Encode(core.Client, wstest.Text("a")), func(k handle) {
			relaytest.BreakRules(k.Core, core.Client)
			s.repair = func() { relaytest.BreakRules(k.Core, core.Client) } // the bug stays
		})
		s.c.Send(wstest.Text("more"))
	}, client: told, backend: "cut"},
	{name: "in the middle of a frame", play: func(s *saboteur) {
		half := frametest.Encode(core.Backend, wstest.Text("0123456789"))[:7]
		s.b.SendRaw(half)
		io.ReadFull(s.c, make([]byte, len(half)))
		s.receive(s.c, frametest.Encode(core.Client, wstest.Text("a")), s.freezeSlot)
	}, client: "cut", backend: "cut"},
	{name: "the end of the stream", play: func(s *saboteur) {
		s.do(s.freezeSlot)
		s.c.CloseWrite()
	}, client: told, backend: "close 1001"},
	{name: "the timer", play: func(s *saboteur) {
		s.do(func(k handle) {
			s.l.driver().SetNow(s.l.Now() + int64(time.Hour))
			s.freezeSlot(k)
			s.l.Due(k.SlotID())
		})
	}, client: told, backend: "close 1001"},
	{name: "an end by a reload", play: func(s *saboteur) {
		s.End(func(v core.View) bool {
			if v.ID == s.victim {
				s.l.each(func(k handle) {
					if k.ID() == s.victim {
						s.freezeSlot(k)
					}
				})
			}
			return v.ID == s.victim
		}, core.Ending{Cause: core.RouteRemoved}, 0)
	}, client: told, backend: "close 1001"},
	{name: "the choice of an end", play: func(s *saboteur) {
		s.End(func(v core.View) bool {
			if v.ID == s.victim {
				panic("no choice")
			}
			return false
		}, core.Ending{Cause: core.RouteRemoved}, 0)
	}, client: told, backend: "close 1001"},
	{name: "a change of the rules", play: func(s *saboteur) {
		s.do(s.freezeSlot)
		s.ChangeRules(core.Rules{Idle: 2 * time.Hour})
	}, client: told, backend: "close 1001"},
	{name: "closing", play: func(s *saboteur) {
		s.c.Send(wstest.Close(1000, ""))
		s.b.Receive(wstest.Close(1000, ""))
		s.receive(s.b, frametest.Encode(core.Backend, wstest.Close(1000, "")), s.freezeSlot)
	}, client: "cut", backend: "cut"},
	{name: "lingering", play: func(s *saboteur) {
		s.c.Send(wstest.Close(1000, ""))
		s.b.Receive(wstest.Close(1000, ""))
		s.b.Send(wstest.Close(1000, ""))
		s.c.Receive(wstest.Close(1000, ""))
		s.until("finished", func(k handle) bool { return k.Finished() })
		s.do(s.freezeSlot)
		s.c.CloseWrite()
	}, client: "cut", backend: "cut", cause: core.Closed},
	{name: "the report", play: func(s *saboteur) {
		s.ended = func() { panic("no report") }
		s.End(func(v core.View) bool { return v.ID == s.victim }, core.Ending{Cause: core.RouteRemoved}, 0)
		s.c.Send(wstest.Close(1012, ""))
		s.b.Send(wstest.Close(1001, ""))
	}, client: `close 1012 "route removed"`, backend: "close 1001", cause: core.RouteRemoved},
	{name: "the sockets are closed", play: func(s *saboteur) {
		s.closed = func() { panic("not closed") }
		s.End(func(v core.View) bool { return v.ID == s.victim }, core.Ending{Cause: core.RouteRemoved}, 0)
		s.c.Send(wstest.Close(1012, ""))
		s.b.Send(wstest.Close(1001, ""))
		s.b.CloseWrite()
	}, client: `close 1012 "route removed"`, backend: "close 1001", cause: core.RouteRemoved},
	{name: "the end after a panic, twice", play: func(s *saboteur) {
		s.ended = func() { panic("no report") }
		s.closed = func() { panic("not closed") }
		s.receive(s.c, frametest.Encode(core.Client, wstest.Text("a")), s.freezeSlot)
	}, client: told, backend: "cut", panics: 3},
	{name: "the log of the panic", play: func(s *saboteur) {
		s.receive(s.c, frametest.Encode(core.Client, wstest.Text("a")), func(k handle) {
			s.hideGroup(k)
			repair := s.repair
			s.repair = func() { repair(); panic("no log") }
		})
	}, client: told, backend: "close 1001"},
	{name: "the engine stops", play: func(s *saboteur) {
		s.do(s.freezeSlot)
		go s.Stop()
	}, client: told, backend: "close 1001", stops: true},
}

// inPlainSessions are steps of sessions without TLS.
var inPlainSessions = []sabotaged{
	{name: "splice", play: func(s *saboteur) {
		whole := frametest.Encode(core.Backend, frametest.Binary(strings.Repeat("x", 4*spliceMin)))
		s.b.SendRaw(whole[:20])
		io.ReadFull(s.c, make([]byte, 20))
		s.receive(s.b, whole[20:spliceMin], s.freezeSlot)
	}, client: "cut", backend: "close 1001"},
	{name: "bytes that wait in a pipe", play: func(s *saboteur) {
		go s.b.Write(frametest.Encode(core.Backend, frametest.Binary(strings.Repeat("x", relaytest.Bulk))))
		s.awaitPiped(s.victim, core.Client)
		s.do(func(k handle) {
			pending := k.pending
			broken, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err != nil {
				s.T.Error(err)
			}
			pipe := pending[core.Client].pipe
			pending[core.Client].pipe = (*loop.Pipe)(unsafe.Pointer(unsafe.SliceData(broken)))
			s.repair = func() { pending[core.Client].pipe = pipe; unix.Munmap(broken) }
			s.l.Due(k.SlotID())
		})
	}, client: "cut", backend: "close 1001"},
}

// inTLSSessions are steps of sessions with TLS at both sides.
var inTLSSessions = []sabotaged{
	{name: "opening a record", play: func(s *saboteur) {
		s.receive(s.c, frametest.Encode(core.Client, wstest.Text("a")), s.freezeTLS(core.Client))
	}, client: told, backend: "close 1001"},
}

// inHalfTLSSessions are steps of sessions with TLS at the backend only.
var inHalfTLSSessions = []sabotaged{
	{name: "sealing a record", play: func(s *saboteur) {
		s.receive(s.c, frametest.Encode(core.Client, wstest.Text("a")), s.freezeTLS(core.Backend))
	}, client: told, backend: "cut"},
	{name: "sealing a Close frame", play: func(s *saboteur) {
		s.do(s.freezeTLS(core.Backend))
		s.End(func(v core.View) bool { return v.ID == s.victim }, core.Ending{Cause: core.RouteRemoved}, 0)
	}, client: `close 1012 "route removed"`, backend: "cut"},
}

// A panic at any step ends one session: it is reported once, gives back all that it has, and
// tells its sides where it can. The other sessions of the loop go on.
func TestAPanicEndsOneSession(t *testing.T) {
	secure := relaytest.OverTLS(t, relaytest.Tight)
	for _, of := range []struct {
		name            string
		client, backend relaytest.Link
		cases           []sabotaged
	}{
		{"plain", relaytest.Tight, relaytest.Tight, slices.Concat(inAnySession, inPlainSessions)},
		{"TLS", secure, secure, slices.Concat(inAnySession, inTLSSessions)},
		{"TLS of the backend", relaytest.Tight, secure, slices.Concat(inAnySession, inHalfTLSSessions)},
	} {
		for _, tt := range of.cases {
			t.Run(tt.name+", "+of.name, func(t *testing.T) {
				before := wstest.Descriptors(t)
				s := newSaboteur(t)
				s.Group.Set(core.Rules{Idle: time.Hour})
				s.c, s.b = s.StartSession(of.client, of.backend, core.Session{Owner: "victim", Note: strings.Repeat("long ", 20)})
				c, b := s.StartSession(of.client, of.backend, core.Session{})
				s.c.Send(wstest.Text("before"))
				s.b.Receive(wstest.Text("before"))
				half := frametest.Encode(core.Client, wstest.Text("0123456789"))
				c.SendRaw(half[:9])
				io.ReadFull(b, make([]byte, 9))
				tt.play(s)
				expectEnd(t, s.c, tt.client)
				expectEnd(t, s.b, tt.backend)
				if !tt.stops {
					c.SendRaw(half[9:])
					io.ReadFull(b, make([]byte, len(half)-9))
					b.Send(wstest.Text("back"))
					c.Receive(wstest.Text("back"))
				}
				c.Close()
				b.Close()
				s.expectEmpty()
				s.expectNoSecrets()
				s.Stop()
				if want := max(tt.panics, 1); s.panicked != want {
					t.Errorf("%d panics; want %d", s.panicked, want)
				}
				reports := 0
				for range len(s.Reports) {
					if r := s.AwaitReport(); r.ID == s.victim {
						reports++
						if want := cmp.Or(tt.cause, core.Internal); r.Cause != want || r.FromClient.Messages == 0 {
							t.Errorf("report = %s by the %s, %d (%s), %+v; want %s", r.Cause, r.By, r.Code, r.Detail, r.FromClient, want)
						}
					}
				}
				if reports != 1 {
					t.Errorf("%d reports", reports)
				}
				s.expectNothingLeft(before, 2)
			})
		}
	}
}

// expectNothingLeft checks that sessions have given everything back, when the engine has stopped.
func (s *saboteur) expectNothingLeft(descriptors, sessions int) {
	s.T.Helper()
	if n := s.l.driver().Timers(); n != 0 || s.l.Load() != 0 || len(s.l.longNotes) != 0 {
		s.T.Errorf("%d timers, %d sessions and %d notes are left", n, s.l.Load(), len(s.l.longNotes))
	}
	if open, spare := s.engine.pipes.Count(); open != 0 || spare != 0 {
		s.T.Errorf("%d pipes are open, %d spare", open, spare)
	}
	if n, open, past := s.Closed.Load(), s.Group.Open(), s.Totals(&s.Group).Sessions; n != int64(sessions) || open != 0 || past != uint64(sessions) {
		s.T.Errorf("%d sessions closed, %d open, %d past; want %d, 0 and as many", n, open, past, sessions)
	}
	if n := wstest.Descriptors(s.T); n != descriptors {
		s.T.Errorf("%d descriptors; there were %d", n, descriptors)
	}
}

// expectEnd reads a stream to its end, and closes the connection.
func expectEnd(t *testing.T, p *relaytest.Peer, want string) {
	t.Helper()
	got := p.ReadRest()
	if want == "cut" && strings.Contains(got, "close") || want != "cut" && got != want {
		t.Errorf("the %s got %s; want %s", p.Side, got, want)
	}
	p.Close()
}

// A panic while a session begins, over bytes that came with its handshake, ends that session.
func TestAPanicAtTheStartEndsTheSession(t *testing.T) {
	for name, link := range map[string]relaytest.Link{"plain": relaytest.Loopback, "TLS": relaytest.OverTLS(t, relaytest.Loopback)} {
		t.Run(name, func(t *testing.T) {
			before := wstest.Descriptors(t)
			s := newSaboteur(t)
			o := core.Session{ID: s.victim, Group: &s.Group}
			s.c, s.b = &relaytest.Peer{T: t, Side: core.Client}, &relaytest.Peer{T: t, Side: core.Backend}
			o.Client.Conn, s.c.Conn = link(t, core.Client)
			o.Backend.Conn, s.b.Conn = link(t, core.Backend)
			o.Client.Early = frametest.Encode(core.Client, wstest.Text("early"))
			s.repair = func() {
				s.l.slots.Each(func(_ *slot, r *slotRefs) {
					core.New(new(core.State), &r.refs, s.l.part(&s.Group), &core.Session{Group: &s.Group}, 0)
				})
			}
			resume := s.pauseLoops()
			if why := s.engine.Join(&o); why != "" {
				t.Fatal(why)
			}
			o.Group = nil
			resume()
			expectEnd(t, s.c, told)
			expectEnd(t, s.b, "cut")
			s.ExpectReport(core.Internal, core.Gateway, 1011)
			s.expectEmpty()
			s.expectNoSecrets()
			s.Stop()
			s.expectNothingLeft(before, 1)
		})
	}
}

// A panic while a session is handed over is the caller's, and gives back all that the loop was to
// have.
func TestAPanicInAHandoverLeavesNothing(t *testing.T) {
	for name, link := range map[string]relaytest.Link{"plain": relaytest.Loopback, "TLS": relaytest.OverTLS(t, relaytest.Loopback)} {
		t.Run(name, func(t *testing.T) {
			before := wstest.Descriptors(t)
			s := newSaboteur(t)
			o := core.Session{Group: &s.Group}
			s.b = &relaytest.Peer{T: t, Side: core.Backend}
			o.Backend.Conn, s.b.Conn = link(t, core.Backend)
			o.Client.Conn = wire.New((*loop.Conn)(nil)) // it is detached after the backend's
			func() {
				defer func() {
					if recover() == nil {
						t.Error("there was no panic")
					}
				}()
				s.engine.Join(&o)
			}()
			expectEnd(t, s.b, "cut")
			s.expectEmpty()
			s.expectNoSecrets()
			s.Stop()
			s.expectNothingLeft(before, 0)
		})
	}
}
