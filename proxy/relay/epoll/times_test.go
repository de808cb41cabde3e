//go:build linux && !portable

package epoll

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/loop"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

func TestSessionsOfTheLoopsByTheClock(t *testing.T) {
	for _, kind := range []struct {
		name string
		link relaytest.Link
	}{{"tcp", relaytest.Tight}, {"unix", relaytest.UnixSocket}} {
		for _, tt := range relaytest.TimedScenarios() {
			t.Run(kind.name+" "+tt.Name, func(t *testing.T) {
				t.Parallel()
				s := newTimedSession(t, kind.link, tt.Rules)
				tt.Run(s.TimedSession)
				s.ExpectReport(tt.Cause, tt.By, tt.Code)
				s.h.expectEmpty()
			})
		}
	}
}

// Payload that goes through a pipe comes at its rate too, except for what is in the pipe.
func TestDelayedBytesThroughPipesComeAtTheirRate(t *testing.T) {
	for _, side := range []core.Side{core.Client, core.Backend} {
		t.Run(side.String(), func(t *testing.T) {
			const perMinute, burst, total = 64 << 10, 100 << 10, 4 << 20
			rate := core.Traffic{ByteRate: perMinute / 60.0, ByteBurst: burst}
			rules := core.Rules{Client: rate}
			if side == core.Backend {
				rules = core.Rules{Backend: rate}
			}
			s := newTimedSession(t, relaytest.Loopback, rules)
			from, to := s.Peer(side), s.Peer(side.Other())
			whole := frametest.Encode(side, frametest.Binary(relaytest.RandomPayload(total)), wstest.Close(1000, ""))
			go from.Write(whole)
			got, done := make([]byte, len(whole)), make(chan error)
			go func() {
				_, err := io.ReadFull(to, got)
				done <- err
			}()
			for minutes := 0; ; minutes++ {
				s.Settle()
				v := s.View()
				if n, most := v.FromClient.Bytes+v.FromBackend.Bytes, burst+perMinute*minutes+loop.PipeSize; n > uint64(most) {
					t.Fatalf("%d bytes came in %d minutes; want at most %d", n, minutes, most)
				}
				if v.Cause != 0 {
					if least := (total - burst - loop.PipeSize) / perMinute; minutes < least {
						t.Errorf("all came in %d minutes; want at least %d", minutes, least)
					}
					break
				}
				s.AdvanceTime(time.Minute)
			}
			if err := <-done; err != nil || !bytes.Equal(got, whole) {
				t.Errorf("the frame arrived changed: %v", err)
			}
			spliced := uint64(0)
			for _, l := range s.h.engine.loops {
				l.Call(func() { spliced += l.splicedBytes })
			}
			if spliced < total/2 {
				t.Errorf("%d of %d bytes went through pipes", spliced, total)
			}
		})
	}
}

// The timer of a session is right although the rules have changed since it was set.
func TestRulesThatMoveATimer(t *testing.T) {
	s := newTimedSession(t, relaytest.Loopback, core.Rules{Idle: time.Hour})
	s.ChangeRules(core.Rules{Idle: 3 * time.Hour})
	for range 2 {
		s.AdvanceTime(time.Hour)
	}
	if v := s.View(); v.Cause != 0 {
		t.Errorf("the session ended: %s", v.Cause)
	}
	s.ChangeRules(core.Rules{Idle: time.Minute})
	s.AdvanceTime(0)
	s.AnswerCloses(`close 1001 "idle"`, "close 1001")
	s.ExpectReport(core.Idle, core.Gateway, 1001)
	s.h.expectEmpty()
}

// A flood of control frames is relayed like any other stream.
func TestAHundredThousandPings(t *testing.T) {
	s := newTimedSession(t, relaytest.Loopback, core.Rules{Ping: time.Hour, Pong: time.Hour})
	const n = 100_000
	ping := frametest.Encode(core.Client, ws.NewPingFrame([]byte("flood")))
	go s.C.Write(bytes.Repeat(ping, n))
	got := make([]byte, n*len(ping))
	if _, err := io.ReadFull(s.B, got); err != nil || !bytes.Equal(got, bytes.Repeat(ping, n)) {
		t.Fatalf("the pings arrived changed: %v", err)
	}
	if v := s.View(); v.FromClient.Controls != n || v.FromClient.Messages != 0 {
		t.Errorf("counts = %+v; want %d control frames", v.FromClient, n)
	}
	s.C.Send(wstest.Close(1000, fmt.Sprint(n)))
	s.AnswerCloses("close 1001", `close 1000 "100000"`)
	s.ExpectReport(core.Closed, core.Client, 1000)
}
