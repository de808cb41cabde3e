//go:build !portable

package relay

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/internal/wstest"
)

// serve is pass, and lets the loops handle what can be handled in that moment.
func (h *engineFixture) serve(d time.Duration) {
	for _, l := range h.loops {
		l.call(func() {
			l.now += int64(d)
			l.fireTimers()
			for l.pollSockets() {
			}
		})
	}
}

// pollSockets handles the events of sockets that there are, and reports whether there
// were any.
func (l *loop) pollSockets() (any bool) {
	var events [eventsAtOnce]unix.EpollEvent
	n, _ := pollEvents(l.epoll, events[:])
	for i := range events[:n] {
		if events[i].Fd != wakeData {
			any = true
			l.dispatch(&events[i])
		}
	}
	return any
}

// settle waits until the loops have handled what has come.
func (h *engineFixture) settle() {
	for quiet := 0; quiet < 10; {
		told, again := uint64(0), uint64(0)
		for _, l := range h.loops {
			l.call(func() { told += l.eventCount })
		}
		for range 10 {
			runtime.Gosched()
		}
		for _, l := range h.loops {
			l.call(func() { again += l.eventCount })
		}
		if quiet++; told != again {
			quiet = 0
		}
	}
}

// stage returns a session whose time is the test's.
func newTimedSession(t *testing.T, kind link, rules Rules) *timedSession {
	s := &timedSession{engineFixture: newFixture(t)}
	s.group.Set(rules)
	s.c, s.b = s.join(kind, kind, Session{})
	later := time.Duration(0)
	s.advanceTime = func(d time.Duration) { later += d; s.serve(later) }
	s.settle = s.engineFixture.settle
	s.awaitFull = func(side Side) {
		s.until(s.last, "full", func(_ *loop, k handle) bool { return k.writePending(side) })
	}
	s.settle()
	return s
}

func TestSessionsOfTheLoopsByTheClock(t *testing.T) {
	for _, kind := range []struct {
		name string
		link link
	}{{"tcp", tight}, {"unix", unixSocket}} {
		for _, tt := range timedScenarios {
			t.Run(kind.name+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				s := newTimedSession(t, kind.link, tt.rules)
				tt.run(s)
				s.expectReport(tt.cause, tt.by, tt.code)
				s.expectEmpty()
			})
		}
	}
}

// Payload that nobody looks at comes at its rate too, but for what is in a pipe.
func TestDelayedBytesThroughPipesComeAtTheirRate(t *testing.T) {
	for _, side := range []Side{Client, Backend} {
		t.Run(side.String(), func(t *testing.T) {
			const perMinute, burst, total = 64 << 10, 100 << 10, 4 << 20
			rate := Traffic{ByteRate: perMinute / 60.0, ByteBurst: burst}
			rules := Rules{Client: rate}
			if side == Backend {
				rules = Rules{Backend: rate}
			}
			s := newTimedSession(t, loopback, rules)
			from, to := s.peer(side), s.peer(side.other())
			whole := encode(side, binary(randomPayload(total)), wstest.Close(1000, ""))
			go from.Write(whole)
			got, done := make([]byte, len(whole)), make(chan error)
			go func() {
				_, err := io.ReadFull(to, got)
				done <- err
			}()
			for minutes := 0; ; minutes++ {
				s.settle()
				v := s.view()
				if n, most := v.FromClient.Bytes+v.FromBackend.Bytes, burst+perMinute*minutes+pipeSize; n > uint64(most) {
					t.Fatalf("%d bytes came in %d minutes; want at most %d", n, minutes, most)
				}
				if v.Cause != 0 {
					if least := (total - burst - pipeSize) / perMinute; minutes < least {
						t.Errorf("all came in %d minutes; want at least %d", minutes, least)
					}
					break
				}
				s.advanceTime(time.Minute)
			}
			if err := <-done; err != nil || !bytes.Equal(got, whole) {
				t.Errorf("the frame arrived changed: %v", err)
			}
			spliced := uint64(0)
			for _, l := range s.loops {
				l.call(func() { spliced += l.spliced })
			}
			if spliced < total/2 {
				t.Errorf("%d of %d bytes went through pipes", spliced, total)
			}
		})
	}
}

// A session whose alarm was set for a time that is not a rule any more.
func TestRulesThatMoveAnAlarm(t *testing.T) {
	s := newTimedSession(t, loopback, Rules{Idle: time.Hour})
	s.group.Set(Rules{Idle: 3 * time.Hour})
	s.Review()
	for range 2 {
		s.advanceTime(time.Hour)
	}
	if v := s.view(); v.Cause != 0 {
		t.Errorf("the session ended: %s", v.Cause)
	}
	s.group.Set(Rules{Idle: time.Minute})
	s.Review()
	s.advanceTime(0)
	s.answerCloses(`close 1001 "idle"`, "close 1001")
	s.expectReport(Idle, Gateway, 1001)
	s.expectEmpty()
}

// A flood of control frames is relayed like any other stream.
func TestAHundredThousandPings(t *testing.T) {
	s := newTimedSession(t, loopback, Rules{Ping: time.Hour, Pong: time.Hour})
	const n = 100_000
	ping := encode(Client, ws.NewPingFrame([]byte("flood")))
	go s.c.Write(bytes.Repeat(ping, n))
	got := make([]byte, n*len(ping))
	if _, err := io.ReadFull(s.b, got); err != nil || !bytes.Equal(got, bytes.Repeat(ping, n)) {
		t.Fatalf("the pings arrived changed: %v", err)
	}
	if v := s.view(); v.FromClient.Controls != n || v.FromClient.Messages != 0 {
		t.Errorf("counts = %+v; want %d control frames", v.FromClient, n)
	}
	s.c.send(wstest.Close(1000, fmt.Sprint(n)))
	s.answerCloses("close 1001", `close 1000 "100000"`)
	s.expectReport(Closed, Client, 1000)
}
