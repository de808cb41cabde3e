//go:build linux && !portable

package epoll

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/clock"
	"sluice/internal/loop"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/relaytest"
)

// engineFixture is an engine whose loops run while a test does.
type engineFixture struct {
	*relaytest.Fixture
	engine *Engine
	still  sync.Mutex // held while a session moves, and while the test decides the time of the loops
}

// joiner is an engine for tests whose sessions the loops can have, also while they move: what is done to a session is done before or
// after a move.
type joiner struct {
	*Engine
	h *engineFixture
}

func (j joiner) Join(s core.Session) {
	if why := j.Engine.Join(&s); why != "" {
		j.h.T.Errorf("session %d: the loops cannot have it: %s", s.ID, why)
	}
}

func (j joiner) Each(yield func(core.View) bool) {
	j.h.still.Lock()
	defer j.h.still.Unlock()
	j.Engine.Each(yield)
}

func (j joiner) End(match func(core.View) bool, how core.Ending, over time.Duration) int {
	j.h.still.Lock()
	defer j.h.still.Unlock()
	return j.Engine.End(match, how, over)
}

func (j joiner) PlanEnd(id uint64, at time.Time, how core.Ending) bool {
	j.h.still.Lock()
	defer j.h.still.Unlock()
	return j.Engine.PlanEnd(id, at, how)
}

func (j joiner) RulesChanged(groups map[*core.Group]bool) {
	j.h.still.Lock()
	defer j.h.still.Unlock()
	j.Engine.RulesChanged(groups)
}

func newFixture(t testing.TB) *engineFixture { return newFixtureWith(t, loop.NewPipes(0)) }

func newFixtureWith(t testing.TB, pipes *loop.Pipes) *engineFixture {
	h := new(engineFixture)
	h.Fixture = relaytest.NewFixture(t, func(sink core.Sink) relaytest.Engine {
		h.engine = newEngine(sink, clock.New(), pipes)
		return joiner{h.engine, h}
	})
	if *moving {
		rest, stop := h.keepMoving(), h.Stop
		h.Stop = func() { rest(); stop() }
	}
	return h
}

// driver returns what the tests decide the time of the loop with.
func (l *loopSessions) driver() loop.TestDriver { return loop.DriverOf(l.Loop) }

// advanceTime lets time pass for the loops: what is due within d from now happens.
func (h *engineFixture) advanceTime(d time.Duration) {
	h.still.Lock()
	defer h.still.Unlock()
	for _, l := range h.engine.loops {
		l.Call(func() { l.driver().SetNow(l.Now() + int64(d)); l.driver().FireTimers() })
	}
}

// pauseLoops makes the loops read nothing until resume is called. They have stopped when it
// returns.
func (h *engineFixture) pauseLoops() (resume func()) {
	released := make(chan struct{})
	for _, l := range h.engine.loops {
		paused := make(chan struct{})
		if l.Post(func() { close(paused); <-released }) {
			<-paused
		}
	}
	return func() { close(released) }
}

// until waits until ok holds for the session of an ID, on its loop.
func (h *engineFixture) until(id uint64, what string, ok func(l *loopSessions, k handle) bool) {
	h.T.Helper()
	for end := time.Now().Add(wstest.Guard); time.Now().Before(end); runtime.Gosched() {
		held := false
		for _, l := range h.engine.loops {
			l.Call(func() {
				l.each(func(k handle) { held = held || k.ID() == id && ok(l, k) })
			})
		}
		if held {
			return
		}
	}
	h.T.Fatalf("session %d: never %s", id, what)
}

// expectEmpty waits until the loops hold no session.
func (h *engineFixture) expectEmpty() {
	h.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Guard)
	defer cancel()
	h.Drained(ctx)
	if ctx.Err() != nil {
		h.T.Fatal("sockets are still open")
	}
}

// stuck reports whether data waits for a side and hardly goes on before its peer reads. A TCP
// socket that takes nothing is not enough: what it holds still moves on to the peer, unless
// the peer's window is closed and all that was sent is acknowledged.
func (h handle) stuck(to core.Side) bool {
	if !h.writePending(to) {
		return false
	}
	info, err := unix.GetsockoptTCPInfo(int(h.sockets[to].fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err != nil || info.Snd_wnd == 0 && info.Unacked == 0
}

// awaitPiped waits until data waits for a side, in a pipe where there is no TLS and sessions do not move, and no
// more comes from the other side: the buffers on the way are full.
func (h *engineFixture) awaitPiped(id uint64, to core.Side) {
	h.T.Helper()
	last, looks := uint64(0), 0
	h.until(id, "data in a pipe", func(l *loopSessions, k handle) bool {
		v := l.view(k)
		n := [...]uint64{core.Client: v.FromClient.Bytes, core.Backend: v.FromBackend.Bytes}[to.Other()]
		if n != last || !k.writePending(to) || k.pending[to].pipe == nil && k.plain() && !*moving {
			last, looks = n, 0
		}
		looks++
		return looks > 50
	})
}

// expectQuiet checks that epoll reports no sockets: a loop that spins gets an event of the
// same socket each time it asks.
func (h *engineFixture) expectQuiet() {
	h.T.Helper()
	for _, l := range h.engine.loops {
		const few = 5 // a peer's buffer may still fill
		handled := func() (n uint64) {
			l.Call(func() { n = l.driver().Handled() })
			return n
		}
		var events uint64
		for range 20 { // more may be under way; a loop that spins never ends
			before := handled()
			for range 50 {
				l.Call(func() {})
			}
			if events = handled() - before; events <= few {
				break
			}
		}
		if events > few {
			h.T.Errorf("epoll reports events without end: %d in the last 50 batches", events)
		}
	}
}

// serve is advanceTime, and lets the loops handle at that moment what sockets are ready.
func (h *engineFixture) serve(d time.Duration) {
	h.still.Lock()
	defer h.still.Unlock()
	for _, l := range h.engine.loops {
		l.Call(func() {
			l.driver().SetNow(l.Now() + int64(d))
			l.driver().FireTimers()
			for l.driver().Poll() > 0 {
			}
		})
	}
}

// settle waits until the loops have handled what has come.
func (h *engineFixture) settle() {
	for quiet := 0; quiet < 10; {
		before, after := uint64(0), uint64(0)
		for _, l := range h.engine.loops {
			l.Call(func() { before += l.driver().Handled() })
		}
		for range 10 {
			runtime.Gosched()
		}
		for _, l := range h.engine.loops {
			l.Call(func() { after += l.driver().Handled() })
		}
		if quiet++; before != after {
			quiet = 0
		}
	}
}

// timedSession is a session on loops whose time the test decides.
type timedSession struct {
	*relaytest.TimedSession
	h *engineFixture
}

func newTimedSession(t *testing.T, kind relaytest.Link, rules core.Rules) timedSession {
	h := newFixture(t)
	s := &relaytest.TimedSession{Fixture: h.Fixture}
	s.Group.Set(rules)
	s.C, s.B = s.StartSession(kind, kind, core.Session{Note: "noted"})
	later := time.Duration(0)
	s.AdvanceTime = func(d time.Duration) { later += d; h.serve(later) }
	s.Settle = h.settle
	s.AwaitFull = func(side core.Side) {
		h.until(s.LastID, "full", func(_ *loopSessions, k handle) bool { return k.stuck(side) })
	}
	s.Settle()
	return timedSession{s, h}
}

// loopStats is what the loops did and hold.
type loopStats struct {
	events, spliced uint64 // events, and bytes through pipes
	pipes, borrowed int    // spare ones, and those in use
}

func (h *engineFixture) loopStats() (x loopStats) {
	for _, l := range h.engine.loops {
		l.Call(func() {
			x.events += l.driver().Handled()
			x.spliced += l.splicedBytes
			l.each(func(k handle) {
				for side := core.Client; side <= core.Backend; side++ {
					if k.pending != nil && k.pending[side].pipe != nil {
						x.borrowed++
					}
				}
			})
		})
	}
	_, x.pipes = h.engine.pipes.Count()
	return x
}

// expectTakenOver checks how many TLS connections the loops have taken over, and that no
// session stayed with crypto/tls.
func (h *engineFixture) expectTakenOver(n int) {
	h.T.Helper()
	if taken, why := h.engine.takenOver.Load(), h.Reasons(); taken != uint64(n) || len(why) != 0 {
		h.T.Errorf("%d TLS connections were taken over, sessions left to crypto/tls for %q; want %d and none", taken, why, n)
	}
}

// expectNoSecrets waits until the loops hold no session, and checks that they hold no
// secrets either.
func (h *engineFixture) expectNoSecrets() {
	h.T.Helper()
	h.expectEmpty()
	for _, l := range h.engine.loops {
		l.Call(func() {
			if bytes, ciphers := l.tls.Secrets(); bytes != 0 || ciphers != 0 {
				h.T.Errorf("%d bytes of secrets and %d ciphers are kept", bytes, ciphers)
			}
		})
	}
}

// countSecretBytes counts the bytes of the loops' secrets that are not zero.
func (h *engineFixture) countSecretBytes() (n int) {
	h.still.Lock()
	defer h.still.Unlock()
	for _, l := range h.engine.loops {
		l.Call(func() {
			bytes, _ := l.tls.Secrets()
			n += bytes
		})
	}
	return n
}
