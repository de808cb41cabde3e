//go:build linux && !portable

package epoll

import (
	"bytes"
	"math"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/frame"
	"sluice/internal/loop"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// Most of a large message never enters user space, and sessions without pending bytes have no
// pipe.
func TestLargeMessagesGoThroughPipes(t *testing.T) {
	const size, rounds, sessions = 1 << 20, 20, 8
	before := wstest.Descriptors(t)
	h := newFixture(t)
	var echoes []func()
	for range sessions {
		echoes = append(echoes, h.Echo(relaytest.Loopback, size))
	}
	open := wstest.Descriptors(t)
	for range rounds {
		for _, once := range echoes {
			once()
		}
	}
	x := h.loopStats()
	if share := float64(x.spliced) / (2 * sessions * rounds * size); share < 0.9 {
		t.Errorf("%.3f of the bytes went through pipes; want 0.9", share)
	}
	if x.borrowed != 0 || x.pipes == 0 {
		t.Errorf("%d pipes are in use, %d spare; want none in use", x.borrowed, x.pipes)
	}
	if now := wstest.Descriptors(t); now != open+2*x.pipes {
		t.Errorf("%d descriptors; want those of before, %d, and those of %d spare pipes", now, open, x.pipes)
	}
	h.Stop()
	if after := wstest.Descriptors(t); after != before+2*sessions { // the peers'
		t.Errorf("%d descriptors when the engine has stopped; want %d", after, before+2*sessions)
	}
}

// Readers that stall hold no more pipes than the limit allows. The frames of the others are
// copied, and all arrive as they were sent.
func TestPipesHaveALimit(t *testing.T) {
	const sessions, most, size = 12, 3, 1 << 20
	before := wstest.Descriptors(t)
	h := newFixtureWith(t, loop.NewPipes(most))
	message := frametest.Binary(relaytest.RandomPayload(size))
	var clients []*relaytest.Peer
	var sending sync.WaitGroup
	for range sessions {
		c, b := h.StartSession(relaytest.Tight, relaytest.Loopback, core.Session{})
		clients = append(clients, c)
		sending.Go(func() { b.Write(frametest.Encode(core.Backend, message)) })
	}
	for id := range uint64(sessions) {
		h.until(id+1, "stalled", func(_ *loopSessions, k handle) bool { return k.writePending(core.Client) })
	}
	h.settle()
	if x := h.loopStats(); x.borrowed != most || x.pipes != 0 {
		t.Errorf("%d pipes are in use, %d spare; want %d in use", x.borrowed, x.pipes, most)
	}
	for _, c := range clients {
		c.Receive(message)
	}
	sending.Wait()
	h.settle()
	if x := h.loopStats(); x.borrowed != 0 || x.pipes != most {
		t.Errorf("%d pipes are in use, %d spare; want %d spare", x.borrowed, x.pipes, most)
	}
	h.Stop()
	if after := wstest.Descriptors(t); after != before+2*sessions { // the peers'
		t.Errorf("%d descriptors when the engine has stopped; want %d", after, before+2*sessions)
	}
}

// fillBuffers writes to c until the system takes no more.
func fillBuffers(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Write(func(fd uintptr) bool {
		for len(b) > 0 {
			n, err := unix.Write(int(fd), b)
			if err != nil {
				failed = err
				return true
			}
			b = b[n:]
		}
		return true
	}); err != nil || failed != nil && failed != unix.EAGAIN {
		t.Fatal(err, failed)
	}
}

// A thousand sessions whose clients do not read take at most a buffer each, and cost the others
// neither events nor allocations.
func TestAThousandStalledSessions(t *testing.T) {
	const (
		stalled  = 1000
		buffer   = 16 << 10
		others   = 20
		messages = 200
	)
	notMoving(t, "a session that moves allocates")
	h := newFixture(t)
	h.Reports = make(chan core.Report, stalled+others)
	h.Group.Set(core.Rules{Buffer: buffer, Ping: time.Hour, Pong: time.Hour, Stall: time.Hour})
	var echoes []func()
	for range others {
		echoes = append(echoes, h.Echo(relaytest.Loopback, 128))
	}
	work := func() {
		for range messages {
			for _, once := range echoes {
				once()
			}
		}
	}
	type sides struct{ c, b *relaytest.Peer }
	var all []sides
	for range stalled {
		c, b := h.StartSession(relaytest.Small, relaytest.Loopback, core.Session{})
		all = append(all, sides{c, b})
	}
	work()
	told := func() uint64 { return h.loopStats().events }
	measure := func() (perMessage float64, allocs uint64) {
		before := told()
		allocs = relaytest.Mallocs(work)
		return float64(told()-before) / (2 * others * messages), allocs
	}
	memory := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc+m.StackInuse) + h.Memory()
	}
	events, allocs := measure()
	free := memory()

	// A frame that needs a pipe, and small frames that need a buffer.
	long := frametest.Encode(core.Backend, frametest.Binary(strings.Repeat("x", 1<<20)))[:8*buffer]
	short := frametest.Encode(core.Backend, frametest.Binary(strings.Repeat("x", 1000)))
	flood := bytes.Repeat(short, 8*buffer/len(short))
	for i, s := range all {
		if i%2 == 0 {
			fillBuffers(t, s.b.Conn, long)
		} else {
			fillBuffers(t, s.b.Conn, flood)
		}
	}
	blocked := func() (n int) {
		for _, l := range h.engine.loops {
			l.Call(func() {
				l.each(func(k handle) {
					if k.writePending(core.Client) {
						n++
					}
				})
			})
		}
		return n
	}
	for end := time.Now().Add(wstest.Guard); blocked() < stalled; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d sessions are stalled; want %d", blocked(), stalled)
		}
		for i, s := range all { // the system has made some buffers larger
			if i%2 == 0 {
				continue
			}
			fillBuffers(t, s.b.Conn, short)
		}
	}
	h.settle()

	grown := memory() - free
	const slack = 256 // bytes a session that the allocator adds by rounding up
	if most := int64(stalled * (buffer + buffer/8 + slack)); grown > most {
		t.Errorf("%d stalled sessions take %d bytes; want at most %d", stalled, grown, most)
	}
	eventsNow, allocsNow := measure()
	if eventsNow > 1.05*events {
		t.Errorf("epoll tells %.3f times a message; it was %.3f without stalled sessions", eventsNow, events)
	}
	if most := allocs + 100; allocsNow > most {
		t.Errorf("the others' %d messages allocate %d times; it was %d without stalled sessions", 2*others*messages, allocsNow, allocs)
	}
	if n := blocked(); n != stalled {
		t.Errorf("%d sessions are stalled; there were %d", n, stalled)
	}
}

// The loops allocate nothing for a message, under limits of every kind, and nothing while a
// session is silent and its peers answer pings.
func TestTheLoopsAllocateNothing(t *testing.T) {
	notMoving(t, "a session that moves allocates")
	if relaytest.PoolDropsItems() {
		t.Skip("the race detector allocates")
	}
	many := core.Traffic{Frame: 1 << 30, Message: 1 << 30, MessageRate: 1e9, MessageBurst: 1e9, ByteRate: 1e12, ByteBurst: 1e12}
	every := core.Rules{Client: many, Backend: many, Idle: time.Hour, Lifetime: 24 * time.Hour, Ping: time.Minute, Pong: time.Minute, Stall: time.Minute}
	t.Run("messages", func(t *testing.T) {
		for _, tt := range []struct{ size, messages int }{{128, 50_000}, {16 << 10, 5000}, {1 << 20, 100}} {
			h := newFixture(t)
			h.Group.Set(every)
			once := h.Echo(relaytest.Loopback, tt.size)
			for range 50 {
				once()
			}
			n := uint64(math.MaxUint64)
			for range 3 { // what the loops allocate they allocate each time
				n = min(n, relaytest.Mallocs(func() {
					for range tt.messages {
						once()
					}
				}))
			}
			// The runtime allocates for itself sometimes, and if a side takes only a part of
			// a long message the rest waits in a buffer.
			limit := uint64(max(tt.messages/500, 50))
			if tt.size > loop.BufferSize {
				limit += uint64(tt.messages)
			}
			if n > limit {
				t.Errorf("%d messages of %d bytes there and back: %d allocations; want at most %d", tt.messages, tt.size, n, limit)
			}
		}
	})
	t.Run("pings", func(t *testing.T) {
		const rounds = 300
		long := every // enough for all rounds
		long.Idle, long.Lifetime = 1000*time.Hour, 10_000*time.Hour
		s := newTimedSession(t, relaytest.Loopback, long)
		for _, p := range []*relaytest.Peer{s.C, s.B} {
			go relaytest.AnswerPings(p)
		}
		at := int64(0)
		play := func(rounds int) {
			for _, l := range s.h.engine.loops {
				l.Call(func() {
					now := l.Now()
					l.each(func(handle) {
						for range rounds {
							at = max(at, now) + int64(time.Minute)
							l.driver().SetNow(at)
							l.driver().FireTimers()
							for pongs := 0; pongs < 2; pongs += l.driver().Poll() {
								runtime.Gosched()
							}
						}
					})
					l.driver().SetNow(now)
				})
			}
		}
		play(30)
		if n := relaytest.Mallocs(func() { play(rounds) }); n > 50 {
			t.Errorf("%d pings and their pongs: %d allocations; want none", 2*rounds, n)
		}
		if v := s.View(); v.Cause != 0 || v.FromClient != (frame.Counts{}) {
			t.Errorf("the session is %+v", v)
		}
	})
}
