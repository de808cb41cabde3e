//go:build !portable

package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// tight is a loopback connection whose buffers towards the peer are small.
func tight(t testing.TB, side Side) (gateway, peer net.Conn) {
	t.Helper()
	gateway, peer = loopback(t, side)
	if err := wire.Of(gateway).Conn.(*net.TCPConn).SetWriteBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	if err := peer.(*net.TCPConn).SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	return gateway, peer
}

func unixSocket(t testing.TB, _ Side) (gateway, peer net.Conn) {
	t.Helper()
	peer, gateway = wstest.Sockets(t, "unix")
	return wire.New(gateway), peer
}

// stuck is a unix socket that takes little from the gateway. Once it is full it
// stays so until the peer reads; with TCP, what was written may still move on to
// the peer's buffer.
func stuck(t testing.TB, side Side) (gateway, peer net.Conn) {
	t.Helper()
	gateway, peer = unixSocket(t, side)
	if err := wire.Of(gateway).Conn.(*net.UnixConn).SetWriteBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	return gateway, peer
}

// advanceTime lets time go by for the loops: what is due within d from now happens.
func (h *engineFixture) advanceTime(d time.Duration) {
	for _, l := range h.loops {
		l.call(func() { l.now += int64(d); l.fireTimers() })
	}
}

// until waits until ok holds for the session of an ID, on its loop.
func (h *engineFixture) until(id uint64, what string, ok func(l *loop, k handle) bool) {
	h.t.Helper()
	for end := time.Now().Add(wstest.Guard); time.Now().Before(end); runtime.Gosched() {
		held := false
		for _, l := range h.loops {
			l.call(func() {
				l.slots.each(func(k handle) { held = held || k.id == id && ok(l, k) })
			})
		}
		if held {
			return
		}
	}
	h.t.Fatalf("session %d: never %s", id, what)
}

// expectEmpty waits until the loops hold no session.
func (h *engineFixture) expectEmpty() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Guard)
	defer cancel()
	h.Drained(ctx)
	if ctx.Err() != nil {
		h.t.Fatal("sockets are still open")
	}
}

// awaitPiped waits until data waits for a side, in a pipe where there is no TLS, and
// goes on waiting: what the buffers on its way take is there.
func (h *engineFixture) awaitPiped(id uint64, to Side) {
	h.t.Helper()
	last, looks := uint64(0), 0
	h.until(id, "data in a pipe", func(_ *loop, k handle) bool {
		if n := k.sides[to.other()].dir.Bytes; n != last || !k.writePending(to) || k.pending[to].pipe == nil && k.plain() {
			last, looks = n, 0
		}
		looks++
		return looks > 50
	})
}

// expectQuiet checks that epoll tells of no socket: a loop that spins is told of the
// same one each time it looks.
func (h *engineFixture) expectQuiet() {
	h.t.Helper()
	for _, l := range h.loops {
		told := uint64(0)
		l.call(func() { told -= l.eventCount })
		for range 50 {
			l.call(func() {})
		}
		l.call(func() { told += l.eventCount })
		if told > 5 { // some may have been under way
			h.t.Errorf("epoll told %d times of a socket in 50 looks", told)
		}
	}
}

// writeInPieces writes b in pieces of random sizes.
func writeInPieces(w io.Writer, b []byte, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 7))
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(1<<(1+r.IntN(19))))
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func TestPayloadsThroughPipesArriveUnchanged(t *testing.T) {
	kinds := []struct {
		name string
		link link
	}{{"tcp", loopback}, {"small buffers", tight}, {"unix", unixSocket}}
	sizes := []int{spliceMin - 1, spliceMin, 2 * spliceMin, 3*spliceMin + 17, 1 << 20, 8 << 20}
	for _, kind := range kinds {
		for _, from := range []Side{Client, Backend} {
			t.Run(kind.name+" from the "+from.String(), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.join(kind.link, kind.link, Session{})
				ends := [2]*peer{c, b}
				x, y := ends[from], ends[from.other()]
				for i, n := range sizes {
					whole := encode(from, binary(randomPayload(n)), wstest.Ping("p"), wstest.Part(ws.OpText, "a"), wstest.Last("b"))
					done := make(chan error, 1)
					go func() { done <- writeInPieces(x, whole, uint64(i)) }()
					if n > 1<<20 && kind.name != "tcp" {
						h.awaitPiped(h.last, y.side) // the receiver stalls until data waits in the kernel
					}
					got := make([]byte, len(whole))
					if _, err := io.ReadFull(y, got); err != nil || !bytes.Equal(got, whole) {
						t.Fatalf("a frame of %d bytes arrived changed: %v", n, err)
					}
					if err := <-done; err != nil {
						t.Fatal(err)
					}
				}
				h.until(h.last, "used a pipe", func(l *loop, k handle) bool { return l.spliced > 0 })
			})
		}
	}
}

func TestPayloadsThroughPipesInBothDirectionsAtOnce(t *testing.T) {
	for _, kinds := range [][2]link{{loopback, loopback}, {loopback, unixSocket}, {unixSocket, loopback}} {
		h := newFixture(t)
		c, b := h.join(kinds[0], kinds[1], Session{})
		var wg sync.WaitGroup
		for i, p := range []*peer{c, b} {
			there, back := encode(p.side, binary(randomPayload(4<<20))), encode(p.side.other(), binary(randomPayload(4<<20)))
			wg.Go(func() { writeInPieces(p, there, uint64(i)) })
			wg.Go(func() {
				got := make([]byte, len(back))
				if _, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, back) {
					t.Errorf("the %s got other bytes: %v", p.side, err)
				}
			})
		}
		wg.Wait()
	}
}

func lostCode(side Side) ws.StatusCode {
	if side == Client {
		return 1001
	}
	return 1014
}

// What may happen while a frame from one side (x) waits, in a pipe where there is
// no TLS, because the other one (y) does not read.
func TestEndsInTheMiddleOfAPipedFrame(t *testing.T) {
	type scene struct {
		*engineFixture
		x, y  *peer
		frame ws.Frame
		sent  chan error // x has sent it, or can not
		got   func() parsedStream

		beside sync.WaitGroup
	}
	tests := []struct {
		name  string
		part  bool // only half of the frame is sent
		play  func(s *scene)
		cause Cause
		by    func(x, y Side) Side
		code  func(x, y Side) ws.StatusCode
	}{
		{
			name: "the receiver resets",
			play: func(s *scene) {
				s.y.reset()
				<-s.sent
				s.x.answerClose(fmt.Sprint("close ", lostCode(s.y.side)), wstest.Close(1001, ""))
			},
			by: func(x, y Side) Side { return y }, cause: Lost,
			code: func(x, y Side) ws.StatusCode { return lostCode(y) },
		},
		{
			name: "the sender resets, the receiver reads what is there",
			play: func(s *scene) {
				s.x.reset()
				<-s.sent
				if r := s.got(); !r.inside() || len(r.frames) > 0 {
					s.t.Errorf("the %s got %s; want a part of a frame", s.y.side, &r)
				}
			},
			by: func(x, y Side) Side { return x }, cause: Lost,
			code: func(x, y Side) ws.StatusCode { return lostCode(x) },
		},
		{
			name: "the sender resets, the receiver never reads",
			play: func(s *scene) {
				s.x.reset()
				<-s.sent
				s.until(s.last, "knew of the reset", func(_ *loop, k handle) bool { return k.sockets[s.x.side].is(stateHungUp) })
				s.expectQuiet()
				s.advanceTime(closeTimeout)
			},
			by: func(x, y Side) Side { return x }, cause: Lost,
			code: func(x, y Side) ws.StatusCode { return lostCode(x) },
		},
		{
			name: "the sender ends its stream inside the frame", part: true,
			play: func(s *scene) {
				<-s.sent
				s.x.closeWrite()
				if r := s.got(); !r.inside() || len(r.frames) > 0 {
					s.t.Errorf("the %s got %s; want a part of a frame", s.y.side, &r)
				}
				s.y.Close()
				s.x.readRest()
			},
			by: func(x, y Side) Side { return x }, cause: Lost,
			code: func(x, y Side) ws.StatusCode { return lostCode(x) },
		},
		{
			name: "the gateway ends the session, the frame arrives whole first",
			play: func(s *scene) {
				s.End(all, Shutdown, 0)
				s.beside.Go(func() {
					<-s.sent
					s.x.answerClose(shutdownClose(s.x.side), wstest.Close(1001, ""))
				})
				s.y.receive(s.frame)
				s.y.answerClose(shutdownClose(s.y.side), wstest.Close(1001, ""))
			},
			by: func(x, y Side) Side { return Gateway }, cause: Shutdown,
			code: func(x, y Side) ws.StatusCode { return 1001 },
		},
		{
			name: "the gateway ends the session, the receiver never reads",
			play: func(s *scene) {
				s.End(all, Shutdown, 0)
				s.advanceTime(closeTimeout)
				s.until(s.last, "over", func(_ *loop, k handle) bool { return k.ended })
			},
			by: func(x, y Side) Side { return Gateway }, cause: Shutdown,
			code: func(x, y Side) ws.StatusCode { return 1001 },
		},
		{
			name: "the receiver breaks the protocol",
			play: func(s *scene) {
				s.y.sendRaw([]byte{0x83, 0x80, 0, 0, 0, 0})
				b := make([]byte, len(encode(s.y.side, wstest.Close(1001, ""))))
				io.ReadFull(s.x, b)
				if r := parseStream(s.y.side, false, b); r.String() != "close 1001" {
					s.t.Errorf("the %s got %s; want close 1001", s.x.side, &r)
				}
				s.advanceTime(closeTimeout) // neither y reads nor x can answer
			},
			by: func(x, y Side) Side { return y }, cause: Violation,
			code: func(x, y Side) ws.StatusCode { return 1002 },
		},
		{
			name: "the receiver sends a Close frame and reads on",
			play: func(s *scene) {
				s.y.send(wstest.Close(4001, ""))
				s.beside.Go(func() {
					<-s.sent
					s.x.answerClose("close 4001", wstest.Close(4001, ""))
				})
				s.y.receive(s.frame)
				s.y.answerClose("close 4001", wstest.Close(4001, ""))
			},
			by: func(x, y Side) Side { return y }, cause: Closed,
			code: func(x, y Side) ws.StatusCode { return 4001 },
		},
		{
			name: "the engine stops",
			play: func(s *scene) { s.stop(); s.y.reset(); <-s.sent },
			by:   func(x, y Side) Side { return Gateway }, cause: Shutdown,
			code: func(x, y Side) ws.StatusCode { return 1001 },
		},
	}
	for i, kind := range []link{tight, overTLS(t, tight)} {
		for n := range 2 * len(tests) {
			tt, x := tests[n/2], Side(n%2)
			t.Run(fmt.Sprintf("%s, sender %s, TLS %t", tt.name, x, i == 1), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.join(kind, kind, Session{})
				ends, y := [2]*peer{c, b}, x.other()
				s := &scene{
					engineFixture: h, x: ends[x], y: ends[y],
					frame: binary(strings.Repeat("x", bulk)), sent: make(chan error, 1),
				}
				s.got = func() parsedStream {
					p, _ := io.ReadAll(s.y)
					return parseStream(x, false, p)
				}
				frame := encode(x, s.frame)
				if tt.part {
					frame = frame[:bulk/2]
				}
				go func() {
					_, err := s.x.Write(frame)
					s.sent <- err
				}()
				h.awaitPiped(h.last, y)
				tt.play(s)
				s.beside.Wait()
				h.expectReport(tt.cause, tt.by(x, y), tt.code(x, y))
				h.expectTakenOver(2 * i)
			})
		}
	}
}
