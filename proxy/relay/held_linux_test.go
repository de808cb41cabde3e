//go:build !portable

package relay

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// A burst that fills the loop's buffer and has to wait is all there when the
// session ends: nothing is taken for the end of the stream.
func TestAFullBufferOfDelayedMessages(t *testing.T) {
	one := wstest.Text(strings.Repeat("x", 98))
	burst := bytes.Repeat(encode(Client, one), 3000) // 104 bytes each
	ends := []struct {
		name string
		end  func(s *timedSession)
		b    string
	}{
		{"shutdown", func(s *timedSession) { s.End(all, Shutdown, 0) }, "close 1001"},
		{"the rate is taken away", func(s *timedSession) {
			s.group.Set(Rules{})
			s.Review()
			for range 2999 {
				s.b.receive(one)
			}
			s.End(all, Shutdown, 0)
		}, "close 1001"},
	}
	for _, tt := range ends {
		t.Run(tt.name, func(t *testing.T) {
			s := newTimedSession(t, loopback, Rules{Client: Traffic{MessageRate: 1e-3, MessageBurst: 1}})
			s.c.sendRaw(burst[:104])
			s.b.receive(one)
			release := make(chan struct{})
			for _, l := range s.loops { // one read shall bring a full buffer
				l.post(func() { <-release })
			}
			s.c.sendRaw(burst[104 : 104+2*loopBuffer])
			close(release)
			go s.c.Write(burst[104+2*loopBuffer:])
			s.until(s.last, "held a full buffer", func(_ *loop, k handle) bool { return k.pending != nil && len(k.pending[Client].held) == loopBuffer })
			tt.end(s)
			s.answerCloses(shutdownClose(Client), tt.b)
			s.expectReport(Shutdown, Gateway, 1001)
			s.expectEmpty()
		})
	}
}

// Frames that are held while the session ends are heard at once.
func TestAnEndHearsWhatIsHeld(t *testing.T) {
	s := newTimedSession(t, loopback, Rules{Client: Traffic{MessageRate: 1e-3, MessageBurst: 1}})
	s.c.send(wstest.Text("a"), wstest.Text("b"), wstest.Close(1000, "bye"))
	s.b.receive(wstest.Text("a"))
	s.until(s.last, "held", func(_ *loop, k handle) bool { return k.pending != nil && len(k.pending[Client].held) > 0 })
	s.b.send(wstest.Close(4000, ""))
	s.c.receive(wstest.Close(4000, ""))
	s.b.receive(wstest.Text("b"), wstest.Close(1000, "bye"))
	s.b.Close()
	s.c.expectRest("")
	s.expectReport(Closed, Backend, 4000)
}

// What a rate holds goes on before the end of the stream counts, which with TLS
// can come in the same read.
func TestAnEndWaitsBehindWhatIsHeld(t *testing.T) {
	for _, kind := range []struct {
		name string
		link link
	}{{"plain", loopback}, {"TLS", overTLS(t, loopback)}} {
		t.Run(kind.name, func(t *testing.T) {
			s := newTimedSession(t, kind.link, Rules{Client: Traffic{MessageRate: 1.0 / 60, MessageBurst: 1}})
			release := make(chan struct{})
			for _, l := range s.loops { // one read shall bring all
				l.post(func() { <-release })
			}
			s.c.send(wstest.Text("a"), wstest.Text("b"), wstest.Close(1000, "bye"))
			s.c.closeWrite()
			close(release)
			s.b.receive(wstest.Text("a"))
			s.until(s.last, "held", func(_ *loop, k handle) bool { return k.pending != nil && len(k.pending[Client].held) > 0 })
			s.advanceTime(2 * time.Minute)
			s.b.receive(wstest.Text("b"), wstest.Close(1000, "bye"))
		})
	}
}

// When its time has come while the other side still takes what was before it,
// what is held waits on, and the end behind it.
func TestAnEndWaitsBehindWhatIsHeldForASlowReader(t *testing.T) {
	s := newTimedSession(t, overTLS(t, loopback), Rules{Client: Traffic{MessageRate: 1.0 / 60, MessageBurst: 1}})
	release := make(chan struct{})
	for _, l := range s.loops { // one read shall bring all
		l.post(func() { <-release })
	}
	s.c.send(wstest.Text("a"), wstest.Text("b"), wstest.Close(1000, "bye"))
	s.c.closeWrite()
	close(release)
	s.b.receive(wstest.Text("a"))
	s.until(s.last, "held", func(l *loop, k handle) bool {
		if k.pending == nil || k.pending[Client].readErr == nil {
			return false
		}
		sealed, err := l.seal(k, Backend, encode(Client, wstest.Text("slow")))
		if err != nil {
			t.Error(err)
		}
		l.ensurePending(k)[Backend].out = bytes.Clone(sealed) // as if the socket had not taken it
		now := l.now
		l.now += int64(2 * time.Minute)
		l.advance(k)
		l.now = now
		if k.pending[Client].readErr == nil || len(k.pending[Client].held) == 0 {
			t.Error("the end was told in front of what is held")
		}
		return true
	})
	s.b.receive(wstest.Text("slow"))
	s.advanceTime(2 * time.Minute)
	s.b.receive(wstest.Text("b"), wstest.Close(1000, "bye"))
}
