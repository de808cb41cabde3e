//go:build linux && !portable

package epoll

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

func TestPayloadsThroughPipesArriveUnchanged(t *testing.T) {
	kinds := []struct {
		name string
		link relaytest.Link
	}{{"tcp", relaytest.Loopback}, {"small buffers", relaytest.Tight}, {"unix", relaytest.UnixSocket}}
	sizes := []int{spliceMin - 1, spliceMin, 2 * spliceMin, 3*spliceMin + 17, 1 << 20, 8 << 20}
	for _, kind := range kinds {
		for _, from := range []core.Side{core.Client, core.Backend} {
			t.Run(kind.name+" from the "+from.String(), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.StartSession(kind.link, kind.link, core.Session{})
				ends := [2]*relaytest.Peer{c, b}
				x, y := ends[from], ends[from.Other()]
				for i, n := range sizes {
					whole := frametest.Encode(from, frametest.Binary(relaytest.RandomPayload(n)), wstest.Ping("p"), wstest.Part(ws.OpText, "a"), wstest.Last("b"))
					done := make(chan error, 1)
					go func() { done <- relaytest.WriteInPieces(x, whole, uint64(i)) }()
					if n > 1<<20 && kind.name != "tcp" {
						h.awaitPiped(h.LastID, y.Side) // the receiver does not read until data waits in the kernel
					}
					got := make([]byte, len(whole))
					if _, err := io.ReadFull(y, got); err != nil || !bytes.Equal(got, whole) {
						t.Fatalf("a frame of %d bytes arrived changed: %v", n, err)
					}
					if err := <-done; err != nil {
						t.Fatal(err)
					}
				}
				h.until(h.LastID, "used a pipe", func(l *loopSessions, k handle) bool { return l.splicedBytes > 0 })
			})
		}
	}
}

func TestPayloadsThroughPipesInBothDirectionsAtOnce(t *testing.T) {
	for _, kinds := range [][2]relaytest.Link{{relaytest.Loopback, relaytest.Loopback}, {relaytest.Loopback, relaytest.UnixSocket}, {relaytest.UnixSocket, relaytest.Loopback}} {
		h := newFixture(t)
		c, b := h.StartSession(kinds[0], kinds[1], core.Session{})
		var wg sync.WaitGroup
		for i, p := range []*relaytest.Peer{c, b} {
			there, back := frametest.Encode(p.Side, frametest.Binary(relaytest.RandomPayload(4<<20))), frametest.Encode(p.Side.Other(), frametest.Binary(relaytest.RandomPayload(4<<20)))
			wg.Go(func() { relaytest.WriteInPieces(p, there, uint64(i)) })
			wg.Go(func() {
				got := make([]byte, len(back))
				if _, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, back) {
					t.Errorf("the %s got other bytes: %v", p.Side, err)
				}
			})
		}
		wg.Wait()
	}
}

// Frames of 64 KiB, of which a read brings one: all but the beginning of each goes through a pipe,
// and other frames among them arrive as well.
func TestAStreamOfLargeFramesGoesThroughPipes(t *testing.T) {
	const frames, size = 200, 64 << 10
	for _, kind := range []struct {
		name  string
		link  relaytest.Link
		small bool // a small frame among them now and then
	}{
		{"tcp", relaytest.Loopback, false}, {"tcp, small ones too", relaytest.Loopback, true},
		{"small buffers", relaytest.Tight, true}, {"unix", relaytest.UnixSocket, true},
	} {
		for _, from := range []core.Side{core.Client, core.Backend} {
			t.Run(kind.name+" from the "+from.String(), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.StartSession(kind.link, kind.link, core.Session{})
				ends := [2]*relaytest.Peer{c, b}
				var whole []byte
				for i := range frames {
					whole = append(whole, frametest.Encode(from, frametest.Binary(relaytest.RandomPayload(size+i%3)))...)
					if kind.small && i%20 == 0 {
						whole = append(whole, frametest.Encode(from, wstest.Ping("p"), wstest.Text("a"), wstest.Part(ws.OpText, "a"), wstest.Last("b"))...)
					}
				}
				go ends[from].Write(whole)
				got := make([]byte, len(whole))
				if _, err := io.ReadFull(ends[from.Other()], got); err != nil || !bytes.Equal(got, whole) {
					t.Fatalf("frames arrived changed: %v", err)
				}
				h.until(h.LastID, "used pipes", func(l *loopSessions, k handle) bool { return l.splicedBytes > 0 })
			})
		}
	}
}

// sendLarge sends a large frame of the client, so that the loop knows its frames, and returns it. The
// loop waits until so much has come that a read fills its buffer: it cannot know them by less.
func (h *engineFixture) sendLarge(c, b *relaytest.Peer) (whole []byte) {
	h.T.Helper()
	whole = frametest.Encode(core.Client, frametest.Binary(relaytest.RandomPayload(1<<20)))
	h.until(h.LastID, "has much to read", func(_ *loopSessions, k handle) bool {
		fd := int(k.sockets[core.Client].fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 2*loop.BufferSize); err != nil {
			h.T.Fatal(err)
		}
		go c.Write(whole)
		for end := time.Now().Add(wstest.Guard); time.Now().Before(end); runtime.Gosched() {
			if n, _ := unix.IoctlGetInt(fd, unix.SIOCINQ); n >= loop.BufferSize {
				return true
			}
		}
		return false
	})
	if _, err := io.ReadFull(b, make([]byte, len(whole))); err != nil {
		h.T.Fatal(err)
	}
	h.until(h.LastID, "knows its frames", func(l *loopSessions, k handle) bool { return k.sockets[core.Client].is(large) })
	return whole
}

// expectSent waits until the loop has n bytes of the client's frame, and the backend gets them: the
// system keeps none back.
func (h *engineFixture) expectSent(b *relaytest.Peer, n int) {
	h.T.Helper()
	unsent := -1
	h.until(h.LastID, "has the beginning", func(l *loopSessions, k handle) bool {
		if k.PayloadAhead(core.Client) == 0 {
			return false
		}
		unsent, _ = unix.IoctlGetInt(int(k.sockets[core.Backend].fd), unix.SIOCOUTQNSD)
		return true
	})
	if unsent != 0 {
		h.T.Errorf("the system keeps %d bytes back; want 0", unsent)
	}
	if _, err := io.ReadFull(b, make([]byte, n)); err != nil {
		h.T.Fatal(err)
	}
}

// The beginning of a frame is not kept back for a rest that has not come.
func TestTheBeginningOfALargeFrameGoesOn(t *testing.T) {
	h := newFixture(t)
	c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, core.Session{})
	whole := h.sendLarge(c, b)
	c.Write(whole[:1000])
	h.expectSent(b, 1000)
}

// The beginning of a large frame that a rate has held back goes on at its time.
func TestTheBeginningOfALargeFrameThatWasHeldGoesOn(t *testing.T) {
	s := newTimedSession(t, relaytest.Loopback, core.Rules{Client: core.Traffic{MessageRate: 1.0 / 60, MessageBurst: 1}})
	whole := s.h.sendLarge(s.C, s.B)
	s.C.Write(whole[:1000])
	s.h.until(s.LastID, "held", func(l *loopSessions, k handle) bool {
		return k.pending != nil && len(k.pending[core.Client].held) == 1000
	})
	s.AdvanceTime(2 * time.Minute)
	s.h.expectSent(s.B, 1000)
}

// Nothing is spliced behind the beginning of a large frame that waits for its reader: it would
// overtake it.
func TestNothingOvertakesWhatWaits(t *testing.T) {
	s := newTimedSession(t, relaytest.Tight, core.Rules{Ping: time.Minute, Pong: time.Hour})
	s.AdvanceTime(61 * time.Second)
	pong := frametest.Encode(core.Client, wstest.Pong(s.C.ReadPing())) // between what goes on, in two writes
	s.B.ReadPing()
	small := frametest.Encode(core.Client, frametest.Binary(relaytest.RandomPayload(3000)))
	big := frametest.Encode(core.Client, frametest.Binary(relaytest.RandomPayload(100_000)))
	filled, goesOn := 0, true
	s.h.until(s.LastID, "there", func(l *loopSessions, k handle) bool {
		k.sockets[core.Client].state |= large
		for {
			n, err := loop.Write(k.sockets[core.Backend].fd, make([]byte, 1000))
			if err != nil {
				break
			}
			filled += n
		}
		goesOn = l.consume(k, core.Client, slices.Concat(small, pong, big[:2000]), true)
		l.advance(k)
		return true
	})
	if goesOn {
		t.Error("the rest of a frame goes on whose beginning waits")
	}
	go s.C.Write(big[2000:])
	got := make([]byte, filled+len(small)+len(big))
	if _, err := io.ReadFull(s.B, got); err != nil || !bytes.Equal(got[filled:], append(small, big...)) {
		t.Errorf("the frames arrived changed: %v", err)
	}
}

// Sides whose frames are large no more are read as others are.
func TestFramesThatAreLargeNoMore(t *testing.T) {
	for _, size := range []int{100, 12 << 10, 30 << 10} {
		h := newFixture(t)
		c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, core.Session{})
		h.sendLarge(c, b)
		many := bytes.Repeat(frametest.Encode(core.Client, frametest.Binary(relaytest.RandomPayload(size))), 100)
		go c.Write(many)
		if _, err := io.ReadFull(b, make([]byte, len(many))); err != nil {
			t.Fatal(err)
		}
		h.until(h.LastID, "knows its frames", func(l *loopSessions, k handle) bool { return !k.sockets[core.Client].is(large) })
	}
}

// What can happen while a frame of one side (x) waits because the other side (y) does not read:
// in a pipe where there is no TLS.
func TestEndsInTheMiddleOfAPipedFrame(t *testing.T) {
	type pipedFrame struct {
		*engineFixture
		x, y  *relaytest.Peer
		frame ws.Frame
		sent  chan error // x has sent it, or can not
		got   func() frametest.Stream

		beside sync.WaitGroup
	}
	tests := []struct {
		name  string
		part  bool // only half of the frame is sent
		play  func(s *pipedFrame)
		cause core.Cause
		by    func(x, y core.Side) core.Side
		code  func(x, y core.Side) ws.StatusCode
	}{
		{
			name: "the receiver resets",
			play: func(s *pipedFrame) {
				s.y.Reset()
				<-s.sent
				s.x.AnswerClose(fmt.Sprint("close ", relaytest.LostCode(s.y.Side)), wstest.Close(1001, ""))
			},
			by: func(x, y core.Side) core.Side { return y }, cause: core.Lost,
			code: func(x, y core.Side) ws.StatusCode { return relaytest.LostCode(y) },
		},
		{
			name: "the sender resets, the receiver reads what is there",
			play: func(s *pipedFrame) {
				s.x.Reset()
				<-s.sent
				if r := s.got(); !r.Inside() || len(r.Frames) > 0 {
					s.T.Errorf("the %s got %s; want a part of a frame", s.y.Side, &r)
				}
			},
			by: func(x, y core.Side) core.Side { return x }, cause: core.Lost,
			code: func(x, y core.Side) ws.StatusCode { return relaytest.LostCode(x) },
		},
		{
			name: "the sender resets, the receiver never reads",
			play: func(s *pipedFrame) {
				s.x.Reset()
				<-s.sent
				s.until(s.LastID, "knew of the reset", func(_ *loopSessions, k handle) bool { return k.sockets[s.x.Side].is(hungUp) })
				s.expectQuiet()
				s.advanceTime(core.CloseTimeout)
			},
			by: func(x, y core.Side) core.Side { return x }, cause: core.Lost,
			code: func(x, y core.Side) ws.StatusCode { return relaytest.LostCode(x) },
		},
		{
			name: "the sender ends its stream inside the frame", part: true,
			play: func(s *pipedFrame) {
				<-s.sent
				s.x.CloseWrite()
				if r := s.got(); !r.Inside() || len(r.Frames) > 0 {
					s.T.Errorf("the %s got %s; want a part of a frame", s.y.Side, &r)
				}
				s.y.Close()
				s.x.ReadRest()
			},
			by: func(x, y core.Side) core.Side { return x }, cause: core.Lost,
			code: func(x, y core.Side) ws.StatusCode { return relaytest.LostCode(x) },
		},
		{
			name: "the gateway ends the session, the frame arrives whole first",
			play: func(s *pipedFrame) {
				s.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
				s.beside.Go(func() {
					<-s.sent
					s.x.AnswerClose(relaytest.ShutdownClose(s.x.Side), wstest.Close(1001, ""))
				})
				s.y.Receive(s.frame)
				s.y.AnswerClose(relaytest.ShutdownClose(s.y.Side), wstest.Close(1001, ""))
			},
			by: func(x, y core.Side) core.Side { return core.Gateway }, cause: core.Shutdown,
			code: func(x, y core.Side) ws.StatusCode { return 1001 },
		},
		{
			name: "the gateway ends the session, the receiver never reads",
			play: func(s *pipedFrame) {
				s.End(relaytest.All, core.Ending{Cause: core.Shutdown}, 0)
				s.advanceTime(core.CloseTimeout)
				s.until(s.LastID, "over", func(_ *loopSessions, k handle) bool { return k.Finished() })
			},
			by: func(x, y core.Side) core.Side { return core.Gateway }, cause: core.Shutdown,
			code: func(x, y core.Side) ws.StatusCode { return 1001 },
		},
		{
			name: "the receiver breaks the protocol",
			play: func(s *pipedFrame) {
				s.y.SendRaw([]byte{0x83, 0x80, 0, 0, 0, 0})
				b := make([]byte, len(frametest.Encode(s.y.Side, wstest.Close(1001, ""))))
				io.ReadFull(s.x, b)
				if r := frametest.Parse(s.y.Side, false, b); r.String() != "close 1001" {
					s.T.Errorf("the %s got %s; want close 1001", s.x.Side, &r)
				}
				s.advanceTime(core.CloseTimeout) // y does not read, and x cannot answer
			},
			by: func(x, y core.Side) core.Side { return y }, cause: core.Violation,
			code: func(x, y core.Side) ws.StatusCode { return 1002 },
		},
		{
			name: "the receiver sends a Close frame and reads on",
			play: func(s *pipedFrame) {
				s.y.Send(wstest.Close(4001, ""))
				s.beside.Go(func() {
					<-s.sent
					s.x.AnswerClose("close 4001", wstest.Close(4001, ""))
				})
				s.y.Receive(s.frame)
				s.y.AnswerClose("close 4001", wstest.Close(4001, ""))
			},
			by: func(x, y core.Side) core.Side { return y }, cause: core.Closed,
			code: func(x, y core.Side) ws.StatusCode { return 4001 },
		},
		{
			name: "the engine stops",
			play: func(s *pipedFrame) { s.Stop(); s.y.Reset(); <-s.sent },
			by:   func(x, y core.Side) core.Side { return core.Gateway }, cause: core.Shutdown,
			code: func(x, y core.Side) ws.StatusCode { return 1001 },
		},
	}
	for i, kind := range []relaytest.Link{relaytest.Tight, relaytest.OverTLS(t, relaytest.Tight)} {
		for n := range 2 * len(tests) {
			tt, x := tests[n/2], core.Side(n%2)
			t.Run(fmt.Sprintf("%s, sender %s, TLS %t", tt.name, x, i == 1), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.StartSession(kind, kind, core.Session{})
				ends, y := [2]*relaytest.Peer{c, b}, x.Other()
				s := &pipedFrame{
					engineFixture: h, x: ends[x], y: ends[y],
					frame: frametest.Binary(strings.Repeat("x", relaytest.Bulk)), sent: make(chan error, 1),
				}
				s.got = func() frametest.Stream {
					p, _ := io.ReadAll(s.y)
					return frametest.Parse(x, false, p)
				}
				frame := frametest.Encode(x, s.frame)
				if tt.part {
					frame = frame[:relaytest.Bulk/2]
				}
				go func() {
					_, err := s.x.Write(frame)
					s.sent <- err
				}()
				h.awaitPiped(h.LastID, y)
				tt.play(s)
				s.beside.Wait()
				h.ExpectReport(tt.cause, tt.by(x, y), tt.code(x, y))
				h.expectTakenOver(2 * i)
			})
		}
	}
}

// In the middle of a frame nobody has anything to do until more of it comes.
func TestALoopIsQuietInTheMiddleOfAFrame(t *testing.T) {
	for _, n := range []int{1 << 10, spliceMin, 1 << 20} { // of a payload, of which all but the last byte has come
		h := newFixture(t)
		c, b := h.StartSession(relaytest.Loopback, relaytest.Loopback, core.Session{})
		whole := frametest.Encode(core.Client, frametest.Binary(relaytest.RandomPayload(n)))
		go c.Write(whole[:len(whole)-1])
		got := make([]byte, len(whole))
		if _, err := io.ReadFull(b, got[:len(whole)-1]); err != nil {
			t.Fatal(err)
		}
		h.expectQuiet()
		c.Write(whole[len(whole)-1:])
		if _, err := io.ReadFull(b, got[len(whole)-1:]); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("a frame of %d bytes arrived changed: %v", n, err)
		}
	}
}

// A read full of messages that a rate holds says nothing of their size.
func TestHeldMessagesAreNoLargeFrames(t *testing.T) {
	s := newTimedSession(t, relaytest.Loopback, core.Rules{Client: core.Traffic{MessageRate: 1.0 / 60, MessageBurst: 1}})
	many := bytes.Repeat(frametest.Encode(core.Client, wstest.Text("0123456789")), 2*loop.BufferSize/16)
	go s.C.Write(many)
	s.h.until(s.LastID, "holds a full buffer", func(_ *loopSessions, k handle) bool {
		return k.pending != nil && len(k.pending[core.Client].held) > loop.BufferSize/2
	})
	s.h.until(s.LastID, "knows its frames", func(_ *loopSessions, k handle) bool { return !k.sockets[core.Client].is(large) })
}
