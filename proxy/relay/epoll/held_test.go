//go:build linux && !portable

package epoll

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sluice/internal/loop"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// A burst that fills the loop's buffer and has to wait is complete when the session ends:
// nothing is taken for the end of the stream.
func TestAFullBufferOfDelayedMessages(t *testing.T) {
	one := wstest.Text(strings.Repeat("x", 98))
	burst := bytes.Repeat(frametest.Encode(core.Client, one), 3000) // 104 bytes each
	ends := []struct {
		name string
		end  func(s timedSession)
		b    string
	}{
		{"shutdown", func(s timedSession) { s.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0) }, "close 1001"},
		{"the rate is taken away", func(s timedSession) {
			s.ChangeRules(core.Rules{})
			for range 2999 {
				s.B.Receive(one)
			}
			s.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
		}, "close 1001"},
	}
	for _, tt := range ends {
		t.Run(tt.name, func(t *testing.T) {
			s := newTimedSession(t, relaytest.Loopback, core.Rules{Client: core.Traffic{MessageRate: 1e-3, MessageBurst: 1}})
			s.C.SendRaw(burst[:104])
			s.B.Receive(one)
			resume := s.h.pauseLoops() // so that one read brings a full buffer
			s.C.SendRaw(burst[104 : 104+2*loop.BufferSize])
			resume()
			go s.C.Write(burst[104+2*loop.BufferSize:])
			s.h.until(s.LastID, "held a full buffer", func(_ *loopSessions, k handle) bool {
				return k.pending != nil && len(k.pending[core.Client].held) == loop.BufferSize
			})
			tt.end(s)
			s.AnswerCloses(relaytest.ShutdownClose(core.Client), tt.b)
			s.ExpectReport(core.Shutdown, core.Gateway, 1001)
			s.h.expectEmpty()
		})
	}
}

// Frames that are held while the session ends go on at once.
func TestAnEndHearsWhatIsHeld(t *testing.T) {
	s := newTimedSession(t, relaytest.Loopback, core.Rules{Client: core.Traffic{MessageRate: 1e-3, MessageBurst: 1}})
	s.C.Send(wstest.Text("a"), wstest.Text("b"), wstest.Close(1000, "bye"))
	s.B.Receive(wstest.Text("a"))
	s.h.until(s.LastID, "held", func(_ *loopSessions, k handle) bool { return k.pending != nil && len(k.pending[core.Client].held) > 0 })
	s.B.Send(wstest.Close(4000, ""))
	s.C.Receive(wstest.Close(4000, ""))
	s.B.Receive(wstest.Text("b"), wstest.Close(1000, "bye"))
	s.B.Close()
	s.C.ExpectRest("")
	s.ExpectReport(core.Closed, core.Backend, 4000)
}

// What a rate holds goes on before the end of the stream counts. With TLS both can come in one
// read.
func TestAnEndWaitsBehindWhatIsHeld(t *testing.T) {
	for _, kind := range []struct {
		name string
		link relaytest.Link
	}{{"plain", relaytest.Loopback}, {"TLS", relaytest.OverTLS(t, relaytest.Loopback)}} {
		t.Run(kind.name, func(t *testing.T) {
			s := newTimedSession(t, kind.link, core.Rules{Client: core.Traffic{MessageRate: 1.0 / 60, MessageBurst: 1}})
			resume := s.h.pauseLoops() // so that one read brings everything
			s.C.Send(wstest.Text("a"), wstest.Text("b"), wstest.Close(1000, "bye"))
			s.C.CloseWrite()
			resume()
			s.B.Receive(wstest.Text("a"))
			s.h.until(s.LastID, "held", func(_ *loopSessions, k handle) bool { return k.pending != nil && len(k.pending[core.Client].held) > 0 })
			s.AdvanceTime(2 * time.Minute)
			s.B.Receive(wstest.Text("b"), wstest.Close(1000, "bye"))
		})
	}
}

// If the time of held bytes comes while the other side still takes the bytes before them, they
// go on waiting, and so does the end of the stream after them.
func TestAnEndWaitsBehindWhatIsHeldForASlowReader(t *testing.T) {
	s := newTimedSession(t, relaytest.OverTLS(t, relaytest.Loopback), core.Rules{Client: core.Traffic{MessageRate: 1.0 / 60, MessageBurst: 1}})
	resume := s.h.pauseLoops() // so that one read brings everything
	s.C.Send(wstest.Text("a"), wstest.Text("b"), wstest.Close(1000, "bye"))
	s.C.CloseWrite()
	resume()
	s.B.Receive(wstest.Text("a"))
	s.h.until(s.LastID, "held", func(l *loopSessions, k handle) bool {
		if k.pending == nil || k.pending[core.Client].readErr == nil {
			return false
		}
		sealed, err := l.seal(k, core.Backend, frametest.Encode(core.Client, wstest.Text("slow")))
		if err != nil {
			t.Error(err)
		}
		l.ensurePending(k)[core.Backend].out = bytes.Clone(sealed) // as if the socket had not taken it
		now := l.Now()
		l.driver().SetNow(now + int64(2*time.Minute))
		l.advance(k)
		l.driver().SetNow(now)
		if k.pending[core.Client].readErr == nil || len(k.pending[core.Client].held) == 0 {
			t.Error("the end was told in front of what is held")
		}
		return true
	})
	s.B.Receive(wstest.Text("slow"))
	s.AdvanceTime(2 * time.Minute)
	s.B.Receive(wstest.Text("b"), wstest.Close(1000, "bye"))
}
