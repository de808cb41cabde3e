//go:build linux && !portable

package epoll

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// A side sends more than is read at once, in the middle of a frame, and ends its stream before any
// of it is read: the other side gets all of it, and learns of the end.
func TestAnEndBehindManyBytesIsSeen(t *testing.T) {
	const size = 160 << 10
	links := map[string]relaytest.Link{"tcp": relaytest.Loopback, "unix": relaytest.UnixSocket, "tls": relaytest.OverTLS(t, relaytest.Loopback)}
	for name, link := range links {
		for _, x := range []core.Side{core.Client, core.Backend} {
			t.Run(fmt.Sprintf("%s from the %s", name, x), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.StartSession(link, link, core.Session{})
				ends := [2]*relaytest.Peer{c, b}
				from, to := ends[x], ends[x.Other()]
				var sent []byte
				for len(sent) < size {
					sent = append(sent, frametest.Encode(x, frametest.Binary(relaytest.RandomPayload(20<<10)))...)
				}
				sent = sent[:len(sent)-1]
				resume := h.pauseLoops()
				from.SendRaw(sent)
				from.CloseWrite()
				resume()
				got := make([]byte, len(sent))
				if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, sent) {
					t.Fatalf("the %s got other bytes: %v", to.Side, err)
				}
				to.ExpectRest("")
				to.Close()
				from.ReadRest()
				h.expectEmpty()
			})
		}
	}
}

// What a side sent before it was gone reaches the other side, although the gateway learns that
// the side is gone before it can read those bytes.
func TestWhatCameBeforeAResetOfAPausedSideArrives(t *testing.T) {
	reset := func(p *relaytest.Peer) { p.Reset() }
	tests := []struct {
		name     string
		from, to relaytest.Link
		gone     func(p *relaytest.Peer)
	}{
		{"tcp reset", relaytest.Loopback, relaytest.Stuck, reset},
		{"unix closed", relaytest.UnixSocket, relaytest.Stuck, func(p *relaytest.Peer) { p.Close() }},
		{"tcp reset under TLS", relaytest.OverTLS(t, relaytest.Loopback), relaytest.OverTLS(t, relaytest.Stuck), reset},
	}
	for _, tt := range tests {
		for _, x := range []core.Side{core.Client, core.Backend} {
			t.Run(fmt.Sprintf("%s by the %s", tt.name, x), func(t *testing.T) {
				h := newFixture(t)
				kinds := [2]relaytest.Link{tt.to, tt.to}
				kinds[x] = tt.from
				c, b := h.StartSession(kinds[core.Client], kinds[core.Backend], core.Session{})
				ends := [2]*relaytest.Peer{c, b}
				from, to := ends[x], ends[x.Other()]
				var want bytes.Buffer
				blocked := func() (yes bool) {
					for _, l := range h.engine.loops {
						l.Call(func() { l.each(func(k handle) { yes = yes || k.writePending(to.Side) }) })
					}
					return yes
				}
				for !blocked() {
					f := frametest.Encode(x, frametest.Binary(strings.Repeat("x", 1000)))
					from.SendRaw(f)
					want.Write(f)
				}
				last := frametest.Encode(x, wstest.Text("last"), wstest.Close(4000, "left"))
				from.SendRaw(last)
				want.Write(last)
				tt.gone(from)
				h.until(h.LastID, "knew", func(_ *loopSessions, k handle) bool { return k.sockets[x].is(hungUp) })
				h.expectQuiet()
				got := make([]byte, want.Len())
				if n, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, want.Bytes()) {
					t.Fatalf("the %s got %d of %d bytes, %v", to.Side, n, len(got), err)
				}
				to.Send(wstest.Close(4000, ""))
				to.Close()
				h.ExpectReport(core.Closed, x, 4000)
				h.expectEmpty()
			})
		}
	}
}

func TestSocketsWithNothingToDoAreQuiet(t *testing.T) {
	stalled := func(h *engineFixture, c, b *relaytest.Peer) {
		go b.Write(frametest.Encode(core.Backend, frametest.Binary(strings.Repeat("x", relaytest.Bulk))))
		h.awaitPiped(h.LastID, core.Client)
	}
	tests := []struct {
		name string
		play func(h *engineFixture, c, b *relaytest.Peer)
	}{
		{"idle", func(h *engineFixture, c, b *relaytest.Peer) {}},
		{"the client ended its stream", func(h *engineFixture, c, b *relaytest.Peer) {
			c.CloseWrite()
			h.until(h.LastID, "ended", func(_ *loopSessions, k handle) bool { return k.sockets[core.Client].is(readEnded) })
		}},
		{"the backend was reset", func(h *engineFixture, c, b *relaytest.Peer) {
			b.Reset()
			h.until(h.LastID, "ended", func(_ *loopSessions, k handle) bool { return k.sockets[core.Backend].is(readEnded) })
		}},
		{"the client was reset after its end", func(h *engineFixture, c, b *relaytest.Peer) {
			c.CloseWrite()
			h.until(h.LastID, "ended", func(_ *loopSessions, k handle) bool { return k.sockets[core.Client].is(readEnded) })
			c.Reset()
		}},
		{"the client does not read", stalled},
		{"the client ended its stream and does not read", func(h *engineFixture, c, b *relaytest.Peer) {
			stalled(h, c, b)
			c.CloseWrite()
			h.until(h.LastID, "ended", func(_ *loopSessions, k handle) bool { return k.sockets[core.Client].is(readEnded) })
		}},
		{"lingering", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(1000, ""))
			b.Receive(wstest.Close(1000, ""))
			b.Send(wstest.Close(1000, ""))
			c.ReadRest()
			h.AwaitReport()
		}},
		{"lingering, one end closed", func(h *engineFixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(1000, ""))
			b.Receive(wstest.Close(1000, ""))
			b.Send(wstest.Close(1000, ""))
			c.ReadRest()
			h.AwaitReport()
			c.Close()
			h.until(h.LastID, "ended", func(_ *loopSessions, k handle) bool { return k.sockets[core.Client].is(readEnded) })
		}},
	}
	for i, kind := range []relaytest.Link{relaytest.Tight, relaytest.OverTLS(t, relaytest.Tight)} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, TLS %t", tt.name, i == 1), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.StartSession(kind, kind, core.Session{})
				tt.play(h, c, b)
				h.expectQuiet()
				h.expectTakenOver(2 * i)
			})
		}
	}
}

func TestEndsThatNoSideAnswersTakeTheirTime(t *testing.T) {
	notMoving(t, "a session on its way is not counted as open")
	h := newFixture(t)
	c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, core.Session{})
	h.End(relaytest.All, core.Ending{Cause: core.RouteRemoved}, time.Hour)
	if n := h.Group.Open(); n != 1 {
		t.Fatalf("Open() = %d before its moment; want 1", n)
	}
	h.advanceTime(time.Hour)
	c.Receive(wstest.Close(1012, "route removed"))
	h.advanceTime(time.Hour + core.CloseTimeout)
	h.ExpectReport(core.RouteRemoved, core.Gateway, 1012)
	c.ExpectRest("")
	b.ExpectRest("close 1001")
	h.advanceTime(time.Hour + core.CloseTimeout + core.LingerTime)
	h.expectEmpty()
}

func TestAnEventOfAnOldSessionReachesNoNewOne(t *testing.T) {
	h := newFixture(t)
	type place struct {
		l      *loopSessions
		number int32
		id     loop.SlotID
	}
	where := func() (p place) {
		h.until(h.LastID, "begun", func(l *loopSessions, k handle) bool {
			p = place{l, k.Number(), k.SlotID()}
			return true
		})
		return p
	}
	c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, core.Session{})
	old := where()
	h.End(relaytest.All, core.Ending{Cause: core.Shutdown}, time.Hour) // leaves a timer
	c.Reset()
	b.Reset()
	h.AwaitReport()
	h.expectEmpty()
	for {
		c, b = h.StartSession(relaytest.Loopback, relaytest.Loopback, core.Session{})
		if p := where(); p.l == old.l && p.number == old.number {
			break
		}
	}
	old.l.Call(func() {
		for side := range uint8(2) {
			old.l.Ready(old.id, side, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP)
		}
		old.l.driver().SetNow(old.l.Now() + int64(2*time.Hour))
		old.l.driver().FireTimers()
	})
	c.Send(wstest.Text("still here"))
	b.Receive(wstest.Text("still here"))
}

func TestWithoutDescriptorsForPipesPayloadIsCopied(t *testing.T) {
	notMoving(t, "it needs descriptors")
	h := newFixture(t)
	c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, core.Session{})
	whole := frametest.Encode(core.Client, frametest.Binary(relaytest.RandomPayload(2<<20)))
	transfer := func() int {
		go relaytest.WriteInPieces(c, whole, 1)
		got := make([]byte, len(whole))
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("the frame arrived changed: %v", err)
		}
		open, _ := h.engine.pipes.Count()
		return open
	}
	free := wstest.ExhaustDescriptors(t)
	if n := transfer(); n != 0 {
		t.Errorf("%d pipes; want none", n)
	}
	free()
	if n := transfer(); n == 0 {
		t.Error("no pipe although there are descriptors again")
	}
}

func TestRandomKillsLeaveNoDescriptors(t *testing.T) {
	sessions := 2000
	if testing.Short() {
		sessions = 200
	}
	before := wstest.Descriptors(t)
	h := newFixture(t)
	h.Reports = nil
	var mu sync.Mutex
	reports := 0
	for _, l := range h.engine.loops {
		l.sink.Ended = func(core.Report) { mu.Lock(); reports++; mu.Unlock() }
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	secure := relaytest.OverTLS(t, relaytest.Loopback)
	kinds := [][2]relaytest.Link{{relaytest.Loopback, relaytest.Loopback}, {secure, relaytest.Loopback}, {relaytest.Loopback, secure}, {secure, secure}}
	later := core.CloseTimeout // more each time: what begins at a later moment ends later still
	for i := range sessions {
		slots <- struct{}{}
		kind := kinds[i%len(kinds)]
		c, b := h.StartSession(kind[core.Client], kind[core.Backend], core.Session{})
		wg.Go(func() {
			defer func() { <-slots }()
			r := rand.New(rand.NewPCG(uint64(i), 1))
			var both sync.WaitGroup
			for _, p := range []*relaytest.Peer{c, b} {
				n, stop, way := r.IntN(1<<(8+r.IntN(12))), r.IntN(1<<20), r.IntN(4)
				both.Go(func() {
					p.Write(frametest.Encode(p.Side, frametest.Binary(strings.Repeat("x", n)), wstest.Close(1000, "")))
				})
				both.Go(func() {
					io.CopyN(io.Discard, p, int64(stop))
					switch way {
					case 0:
						p.Reset()
					case 1:
						p.Write([]byte{0x83, 0xff})
					}
					p.Close()
				})
			}
			both.Wait()
		})
		if i%20 == 0 {
			later += core.CloseTimeout
			h.advanceTime(later)
		}
		if i%100 == 0 {
			h.End(func(v core.View) bool { return v.ID%7 == 0 }, core.Ending{Cause: core.Shutdown}, time.Duration(i%50)*time.Millisecond)
		}
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		wg.Wait()
		h.Drained(context.Background())
	}()
	for over := false; !over; {
		select {
		case <-gone:
			over = true
		default:
			later += core.CloseTimeout
			h.advanceTime(later)
		}
	}
	for _, l := range h.engine.loops {
		l.Call(func() {
			live := 0
			l.each(func(handle) { live++ })
			if n := l.Load(); live != 0 || n != 0 || l.open.Load() != 0 || l.driver().Timers() != 0 {
				t.Errorf("%d sessions have a slot, %d and %d are counted, %d have a timer", live, n, l.open.Load(), l.driver().Timers())
			}
		})
	}
	h.expectTakenOver(sessions) // half of the sides
	h.expectNoSecrets()
	h.Stop()
	if closed := h.Closed.Load() - h.Moved.Load(); reports != sessions || closed != int64(sessions) || h.Group.Open() != 0 {
		t.Errorf("%d reports, %d closed, %d open; want %d, as many, and 0", reports, closed, h.Group.Open(), sessions)
	}
	if after := wstest.Descriptors(t); after != before {
		t.Errorf("%d descriptors; there were %d", after, before)
	}
}
