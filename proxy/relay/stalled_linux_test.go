//go:build !portable

package relay

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/frame"
	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// loopStats is what the loops did and hold.
type loopStats struct {
	events, spliced uint64 // events, and bytes through pipes
	pipes, borrowed int    // spare ones, and those in use
}

func (h *engineFixture) loopStats() (x loopStats) {
	for _, l := range h.loops {
		l.call(func() {
			x.events += l.eventCount
			x.spliced += l.spliced
			l.slots.each(func(k handle) {
				for side := Client; side <= Backend; side++ {
					if k.pending != nil && k.pending[side].pipe != nil {
						x.borrowed++
					}
				}
			})
		})
	}
	h.pipes.mu.Lock()
	defer h.pipes.mu.Unlock()
	x.pipes = len(h.pipes.spare)
	return x
}

// mallocs returns how often f allocated, the runtime's own doings included.
func mallocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// Most of a large message never enters user space, and no pipe is kept for
// sessions that have nothing under way.
func TestLargeMessagesGoThroughPipes(t *testing.T) {
	const size, rounds, sessions = 1 << 20, 20, 8
	before := descriptors(t)
	h := newFixture(t)
	var echoes []func()
	for range sessions {
		echoes = append(echoes, h.echo(loopback, size))
	}
	open := descriptors(t)
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
	if now := descriptors(t); now != open+2*x.pipes {
		t.Errorf("%d descriptors; want those of before, %d, and those of %d spare pipes", now, open, x.pipes)
	}
	h.stop()
	if after := descriptors(t); after != before+2*sessions { // the peers'
		t.Errorf("%d descriptors when the engine has stopped; want %d", after, before+2*sessions)
	}
}

// Readers that stall hold no more pipes than there may be: the frames of the
// others are copied, and all arrive as they were sent.
func TestPipesHaveALimit(t *testing.T) {
	const sessions, most, size = 12, 3, 1 << 20
	before := descriptors(t)
	h := newFixture(t)
	h.pipes.limit = most
	message := binary(randomPayload(size))
	var clients []*peer
	var sending sync.WaitGroup
	for range sessions {
		c, b := h.join(tight, loopback, Session{})
		clients = append(clients, c)
		sending.Go(func() { b.Write(encode(Backend, message)) })
	}
	for id := range uint64(sessions) {
		h.until(id+1, "stalled", func(_ *loop, k handle) bool { return k.writePending(Client) })
	}
	h.settle()
	if x := h.loopStats(); x.borrowed != most || x.pipes != 0 {
		t.Errorf("%d pipes are in use, %d spare; want %d in use", x.borrowed, x.pipes, most)
	}
	for _, c := range clients {
		c.receive(message)
	}
	sending.Wait()
	h.settle()
	if x := h.loopStats(); x.borrowed != 0 || x.pipes != most {
		t.Errorf("%d pipes are in use, %d spare; want %d spare", x.borrowed, x.pipes, most)
	}
	h.stop()
	if after := descriptors(t); after != before+2*sessions { // the peers'
		t.Errorf("%d descriptors when the engine has stopped; want %d", after, before+2*sessions)
	}
}

// Of the pipes that were in use at once, few are kept.
func TestSparePipesDoNotPileUp(t *testing.T) {
	before := descriptors(t)
	all := &pipes{limit: mostPipes}
	var used []*pipe
	for p := all.borrow(); p != nil; p = all.borrow() {
		used = append(used, p)
	}
	if len(used) != mostPipes {
		t.Fatalf("%d pipes; want %d", len(used), mostPipes)
	}
	used[0].length = 1 // the pipe of a side that was lost
	for _, p := range used {
		all.release(p)
	}
	if now := descriptors(t); now != before+2*sparePipes || all.open != sparePipes {
		t.Errorf("%d descriptors, %d pipes open; want %d and %d", now, all.open, before+2*sparePipes, sparePipes)
	}
	all.close()
	if now := descriptors(t); now != before || all.open != 0 {
		t.Errorf("%d descriptors, %d pipes open; want %d and none", now, all.open, before)
	}
}

// small is a loopback connection with buffers as small as they can be.
func small(t testing.TB, side Side) (gateway, peer net.Conn) {
	t.Helper()
	gateway, peer = loopback(t, side)
	for _, c := range []net.Conn{wire.Of(gateway).Conn, peer} {
		tcp := c.(*net.TCPConn)
		if err := tcp.SetWriteBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if err := tcp.SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
	}
	return gateway, peer
}

// fillBuffers writes to c until the system takes no more for the moment.
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

// A thousand sessions whose clients do not read take a buffer each at most, and
// cost the others nothing: neither events nor allocations.
func TestAThousandStalledSessions(t *testing.T) {
	const (
		stalled  = 1000
		buffer   = 16 << 10
		others   = 20
		messages = 200
	)
	h := newFixture(t)
	h.reports = make(chan Report, stalled+others)
	h.group.Set(Rules{Buffer: buffer, Ping: time.Hour, Pong: time.Hour, Stall: time.Hour})
	var echoes []func()
	for range others {
		echoes = append(echoes, h.echo(loopback, 128))
	}
	work := func() {
		for range messages {
			for _, once := range echoes {
				once()
			}
		}
	}
	type sides struct{ c, b *peer }
	var all []sides
	for range stalled {
		c, b := h.join(small, loopback, Session{})
		all = append(all, sides{c, b})
	}
	work()
	told := func() uint64 { return h.loopStats().events }
	measure := func() (perMessage float64, allocs uint64) {
		before := told()
		allocs = mallocs(work)
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

	// A frame that would need a pipe, and small ones that need a buffer.
	long := encode(Backend, binary(strings.Repeat("x", 1<<20)))[:8*buffer]
	short := encode(Backend, binary(strings.Repeat("x", 1000)))
	flood := bytes.Repeat(short, 8*buffer/len(short))
	for i, s := range all {
		if i%2 == 0 {
			fillBuffers(t, s.b.Conn, long)
		} else {
			fillBuffers(t, s.b.Conn, flood)
		}
	}
	blocked := func() (n int) {
		for _, l := range h.loops {
			l.call(func() {
				l.slots.each(func(k handle) {
					if k.writePending(Client) {
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
		for i, s := range all { // some buffers have grown meanwhile
			if i%2 == 0 {
				continue
			}
			fillBuffers(t, s.b.Conn, short)
		}
	}
	h.settle()

	grown := memory() - free
	const slack = 256 // what the allocator rounds up to, a session
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

// Nothing is allocated for a message on the loops, under limits of every kind,
// and nothing while a session is silent and its peers answer pings.
func TestTheLoopsAllocateNothing(t *testing.T) {
	if poolDropsItems() {
		t.Skip("the race detector allocates")
	}
	many := Traffic{Frame: 1 << 30, Message: 1 << 30, MessageRate: 1e9, MessageBurst: 1e9, ByteRate: 1e12, ByteBurst: 1e12}
	every := Rules{Client: many, Backend: many, Idle: time.Hour, Lifetime: 24 * time.Hour, Ping: time.Minute, Pong: time.Minute, Stall: time.Minute}
	t.Run("messages", func(t *testing.T) {
		for _, tt := range []struct{ size, messages int }{{128, 50_000}, {16 << 10, 5000}, {1 << 20, 100}} {
			h := newFixture(t)
			h.group.Set(every)
			once := h.echo(loopback, tt.size)
			for range 50 {
				once()
			}
			n := mallocs(func() {
				for range tt.messages {
					once()
				}
			})
			// The runtime allocates for itself now and then, and a side that takes
			// only a part of a long message makes the rest wait.
			limit := uint64(max(tt.messages/500, 50))
			if tt.size > loopBuffer {
				limit += uint64(tt.messages)
			}
			if n > limit {
				t.Errorf("%d messages of %d bytes there and back: %d allocations; want at most %d", tt.messages, tt.size, n, limit)
			}
		}
	})
	t.Run("pings", func(t *testing.T) {
		const rounds = 300
		s := newTimedSession(t, loopback, every)
		for _, p := range []*peer{s.c, s.b} {
			go answerPings(p)
		}
		play := func(rounds int) {
			for _, l := range s.loops {
				l.call(func() {
					now := l.now
					l.slots.each(func(k handle) {
						for range rounds {
							l.now = max(k.sides[Client].silentSince, k.sides[Backend].silentSince) + int64(time.Minute)
							k.sides[Client].dir.Last = l.now // or it is idle
							k.opened = l.now
							l.fireTimers()
							for k.sides[Client].pingSent || k.sides[Backend].pingSent {
								runtime.Gosched()
								l.pollSockets()
							}
						}
					})
					l.now = now
				})
			}
		}
		play(30)
		if n := mallocs(func() { play(rounds) }); n > 50 {
			t.Errorf("%d pings and their pongs: %d allocations; want none", 2*rounds, n)
		}
		if v := s.view(); v.Cause != 0 || v.FromClient != (frame.Counts{}) {
			t.Errorf("the session is %+v", v)
		}
	})
}

// answerPings answers pings until the connection ends.
func answerPings(p *peer) {
	in := make([]byte, len(encode(p.side.other(), wstest.Ping("8 bytes."))))
	out := encode(p.side, wstest.Pong("8 bytes."))
	for {
		if _, err := io.ReadFull(p, in); err != nil {
			return
		}
		for i, c := range in[len(in)-8:] {
			if p.side == Backend {
				c ^= in[2+i%4]
			} else {
				c ^= out[2+i%4]
			}
			out[len(out)-8+i] = c
		}
		if _, err := p.Write(out); err != nil {
			return
		}
	}
}
