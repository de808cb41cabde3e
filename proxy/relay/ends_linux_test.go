//go:build !portable

package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// What a side sent before it was gone reaches the other one, although the
// gateway learns that it is gone before it can read that.
func TestWhatCameBeforeAResetOfAPausedSideArrives(t *testing.T) {
	reset := func(p *peer) { p.reset() }
	tests := []struct {
		name     string
		from, to link
		gone     func(p *peer)
	}{
		{"tcp reset", loopback, stuck, reset},
		{"unix closed", unixSocket, stuck, func(p *peer) { p.Close() }},
		{"tcp reset under TLS", overTLS(t, loopback), overTLS(t, stuck), reset},
	}
	for _, tt := range tests {
		for _, x := range []Side{Client, Backend} {
			t.Run(fmt.Sprintf("%s by the %s", tt.name, x), func(t *testing.T) {
				h := newFixture(t)
				kinds := [2]link{tt.to, tt.to}
				kinds[x] = tt.from
				c, b := h.join(kinds[Client], kinds[Backend], Session{})
				ends := [2]*peer{c, b}
				from, to := ends[x], ends[x.other()]
				var want bytes.Buffer
				blocked := func() (yes bool) {
					for _, l := range h.loops {
						l.call(func() { l.slots.each(func(k handle) { yes = yes || k.writePending(to.side) }) })
					}
					return yes
				}
				for !blocked() {
					f := encode(x, binary(strings.Repeat("x", 1000)))
					from.sendRaw(f)
					want.Write(f)
				}
				last := encode(x, wstest.Text("last"), wstest.Close(4000, "left"))
				from.sendRaw(last)
				want.Write(last)
				tt.gone(from)
				h.until(h.last, "knew", func(_ *loop, k handle) bool { return k.sockets[x].is(stateHungUp) })
				h.expectQuiet()
				got := make([]byte, want.Len())
				if n, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, want.Bytes()) {
					t.Fatalf("the %s got %d of %d bytes, %v", to.side, n, len(got), err)
				}
				to.send(wstest.Close(4000, ""))
				to.Close()
				h.expectReport(Closed, x, 4000)
				h.expectEmpty()
			})
		}
	}
}

func TestSocketsWithNothingToDoAreQuiet(t *testing.T) {
	stalled := func(h *engineFixture, c, b *peer) {
		go b.Write(encode(Backend, binary(strings.Repeat("x", bulk))))
		h.awaitPiped(h.last, Client)
	}
	tests := []struct {
		name string
		play func(h *engineFixture, c, b *peer)
	}{
		{"idle", func(h *engineFixture, c, b *peer) {}},
		{"the client ended its stream", func(h *engineFixture, c, b *peer) {
			c.closeWrite()
			h.until(h.last, "ended", func(_ *loop, k handle) bool { return k.sockets[Client].is(stateReadEnded) })
		}},
		{"the backend was reset", func(h *engineFixture, c, b *peer) {
			b.reset()
			h.until(h.last, "ended", func(_ *loop, k handle) bool { return k.sockets[Backend].is(stateReadEnded) })
		}},
		{"the client was reset behind its end", func(h *engineFixture, c, b *peer) {
			c.closeWrite()
			h.until(h.last, "ended", func(_ *loop, k handle) bool { return k.sockets[Client].is(stateReadEnded) })
			c.reset()
		}},
		{"the client does not read", stalled},
		{"the client ended its stream and does not read", func(h *engineFixture, c, b *peer) {
			stalled(h, c, b)
			c.closeWrite()
			h.until(h.last, "ended", func(_ *loop, k handle) bool { return k.sockets[Client].is(stateReadEnded) })
		}},
		{"lingering", func(h *engineFixture, c, b *peer) {
			c.send(wstest.Close(1000, ""))
			b.receive(wstest.Close(1000, ""))
			b.send(wstest.Close(1000, ""))
			c.readRest()
			h.report()
		}},
		{"lingering, one end closed", func(h *engineFixture, c, b *peer) {
			c.send(wstest.Close(1000, ""))
			b.receive(wstest.Close(1000, ""))
			b.send(wstest.Close(1000, ""))
			c.readRest()
			h.report()
			c.Close()
			h.until(h.last, "ended", func(_ *loop, k handle) bool { return k.sockets[Client].is(stateReadEnded) })
		}},
	}
	for i, kind := range []link{tight, overTLS(t, tight)} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, TLS %t", tt.name, i == 1), func(t *testing.T) {
				h := newFixture(t)
				c, b := h.join(kind, kind, Session{})
				tt.play(h, c, b)
				h.expectQuiet()
				h.expectTakenOver(2 * i)
			})
		}
	}
}

func TestTimeEndsWhatNobodyAnswers(t *testing.T) {
	h := newFixture(t)
	c, b := h.join(loopback, loopback, Session{})
	h.End(all, RouteRemoved, time.Hour)
	if n := h.group.Open(); n != 1 {
		t.Fatalf("Open() = %d before its moment; want 1", n)
	}
	h.advanceTime(time.Hour)
	c.receive(wstest.Close(1012, "route removed"))
	h.advanceTime(time.Hour + closeTimeout)
	h.expectReport(RouteRemoved, Gateway, 1012)
	c.expectRest("")
	b.expectRest("close 1001")
	h.advanceTime(time.Hour + closeTimeout + lingerTime)
	h.expectEmpty()
}

func TestAnEventOfAnOldSessionReachesNoNewOne(t *testing.T) {
	h := newFixture(t)
	type place struct {
		l    *loop
		slot int32
		gen  int32
	}
	where := func() (p place) {
		h.until(h.last, "begun", func(l *loop, k handle) bool {
			p = place{l, k.number, k.generation}
			return true
		})
		return p
	}
	c, b := h.join(loopback, loopback, Session{})
	old := where()
	h.End(all, Shutdown, time.Hour) // leaves a timer
	c.reset()
	b.reset()
	h.report()
	h.expectEmpty()
	for {
		c, b = h.join(loopback, loopback, Session{})
		if p := where(); p.l == old.l && p.slot == old.slot {
			break
		}
	}
	old.l.call(func() {
		for side := range int32(2) {
			old.l.dispatch(&unix.EpollEvent{
				Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLERR | unix.EPOLLHUP, Fd: old.slot<<1 | side, Pad: old.gen,
			})
		}
		old.l.now += int64(2 * time.Hour)
		old.l.fireTimers()
	})
	c.send(wstest.Text("still here"))
	b.receive(wstest.Text("still here"))
}

// Sessions that are handed in while the engine stops are told, cut and
// reported, and Run returns.
func TestJoinWhileALoopStops(t *testing.T) {
	for range 3 {
		h := &engineFixture{t: t, reports: make(chan Report, 256)}
		h.Engine = New(h.sink())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		c, _ := h.join(loopback, loopback, Session{}) // before Run
		cancel()
		go func() {
			defer close(done)
			h.Run(ctx)
		}()
		c2, _ := h.join(loopback, loopback, Session{})
		c.expectRest(shutdownClose(Client)) // so the loop stops, and lingers
		c3, _ := h.join(loopback, loopback, Session{})
		c2.expectRest(shutdownClose(Client))
		c3.expectRest(shutdownClose(Client))
		<-done
		for range 3 {
			h.expectReport(Shutdown, Gateway, 1001)
		}
		c4, _ := h.join(loopback, loopback, Session{})
		c4.expectRest(shutdownClose(Client))
		h.expectReport(Shutdown, Gateway, 1001)
		if n := h.group.Open(); n != 0 {
			t.Fatalf("Open() = %d; want 0", n)
		}
		h.expectEmpty()
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	openRuntimePoller(t)
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// openRuntimePoller has the Go runtime open the descriptors of its own poller, which it
// does with the first socket.
func openRuntimePoller(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// exhaustDescriptors takes every descriptor the process may still have, and returns a
// function that gives them back.
func exhaustDescriptors(t testing.TB) (free func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	less := was
	less.Cur = min(was.Cur, 1024)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &less); err != nil {
		t.Fatal(err)
	}
	var taken []int
	free = sync.OnceFunc(func() {
		for _, fd := range taken {
			unix.Close(fd)
		}
		unix.Setrlimit(unix.RLIMIT_NOFILE, &was)
	})
	t.Cleanup(free)
	for {
		fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			if !errors.Is(err, unix.EMFILE) {
				t.Fatal(err)
			}
			return free
		}
		taken = append(taken, fd)
	}
}

func TestWithoutDescriptorsForPipesPayloadIsCopied(t *testing.T) {
	h := newFixture(t)
	c, b := h.join(loopback, loopback, Session{})
	whole := encode(Client, binary(randomPayload(2<<20)))
	transfer := func() int {
		go writeInPieces(c, whole, 1)
		got := make([]byte, len(whole))
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("the frame arrived changed: %v", err)
		}
		h.pipes.mu.Lock()
		defer h.pipes.mu.Unlock()
		return h.pipes.open
	}
	free := exhaustDescriptors(t)
	if n := transfer(); n != 0 {
		t.Errorf("%d pipes; want none", n)
	}
	free()
	if n := transfer(); n == 0 {
		t.Error("no pipe although there are descriptors again")
	}
}

func TestWithoutDescriptorsThePortableEngineServes(t *testing.T) {
	for _, opened := range []bool{false, true} {
		h := newFixture(t)
		if opened {
			for range h.loops {
				h.join(loopback, loopback, Session{})
			}
		}
		var o Session
		client, c := loopback(t, Client)
		backend, b := loopback(t, Backend)
		o.ID, o.Group = 100, &h.group
		o.Client.Conn, o.Backend.Conn = client, backend
		free := exhaustDescriptors(t)
		h.Join(o)
		free()
		served := 0
		h.portable.Each(func(View) bool { served++; return true })
		if served != 1 {
			t.Errorf("loops opened %v: the portable engine has %d sessions; want 1", opened, served)
		}
		c.Write(encode(Client, wstest.Text("hi")))
		(&peer{Conn: b, t: t, side: Backend}).receive(wstest.Text("hi"))
	}
}

func TestRandomKillsLeaveNoDescriptors(t *testing.T) {
	sessions := 2000
	if testing.Short() {
		sessions = 200
	}
	before := descriptors(t)
	h := newFixture(t)
	h.reports = nil
	var mu sync.Mutex
	reports := 0
	for _, l := range h.loops {
		l.sink.Ended = func(Report) { mu.Lock(); reports++; mu.Unlock() }
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	secure := overTLS(t, loopback)
	kinds := [][2]link{{loopback, loopback}, {secure, loopback}, {loopback, secure}, {secure, secure}}
	later := closeTimeout // ever further, as what passing time begins ends later still
	for i := range sessions {
		slots <- struct{}{}
		kind := kinds[i%len(kinds)]
		c, b := h.join(kind[Client], kind[Backend], Session{})
		wg.Go(func() {
			defer func() { <-slots }()
			r := rand.New(rand.NewPCG(uint64(i), 1))
			var both sync.WaitGroup
			for _, p := range []*peer{c, b} {
				n, stop, way := r.IntN(1<<(8+r.IntN(12))), r.IntN(1<<20), r.IntN(4)
				both.Go(func() { p.Write(encode(p.side, binary(strings.Repeat("x", n)), wstest.Close(1000, ""))) })
				both.Go(func() {
					io.CopyN(io.Discard, p, int64(stop))
					switch way {
					case 0:
						p.reset()
					case 1:
						p.Write([]byte{0x83, 0xff})
					}
					p.Close()
				})
			}
			both.Wait()
		})
		if i%20 == 0 {
			later += closeTimeout
			h.advanceTime(later)
		}
		if i%100 == 0 {
			h.End(func(v View) bool { return v.ID%7 == 0 }, Shutdown, time.Duration(i%50)*time.Millisecond)
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
			later += closeTimeout
			h.advanceTime(later)
		}
	}
	for _, l := range h.loops {
		l.call(func() {
			live := 0
			l.slots.each(func(handle) { live++ })
			if n := l.load.Load(); live != 0 || n != 0 || len(l.timers) != 0 {
				t.Errorf("%d sessions have a place, %d are counted, %d have an alarm", live, n, len(l.timers))
			}
		})
	}
	h.expectTakenOver(sessions) // half of the sides
	h.expectNoSecrets()
	h.stop()
	if closed := h.closed.Load(); reports != sessions || closed != int64(sessions) || h.group.Open() != 0 {
		t.Errorf("%d reports, %d closed, %d open; want %d, as many, and 0", reports, closed, h.group.Open(), sessions)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors; there were %d", after, before)
	}
}

// FuzzEngines sends the same frames, cut the same way, through both engines:
// one side speaks, then the other, under limits; then the first one ends its
// stream, and the other one when it is told. What each side got and the report
// are the same, with TLS and without.
func FuzzEngines(f *testing.F) {
	for i := range uint64(12) {
		r := rand.New(rand.NewPCG(i, 4))
		f.Add(randomStream(r, Client), randomStream(r, Backend), i)
	}
	long := [2][]byte{encode(Client, binary(randomPayload(200_000))), encode(Backend, binary(randomPayload(300_000)))}
	last := [2][]byte{encode(Client, wstest.Close(1000, "")), encode(Backend, wstest.Close(1000, ""))}
	for seed := range uint64(2) {
		f.Add(slices.Concat(long[0], last[0]), slices.Concat(long[1], last[1]), seed)
		f.Add(long[0][:150_000], long[1], seed)
		f.Add(long[0], long[1][:150_000], seed)
	}
	secure, old := overTLS(f, loopback), overTLS(f, loopback, suite(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256))
	kinds := [][2]link{{loopback, loopback}, {secure, loopback}, {loopback, secure}, {old, secure}, {secure, old}}
	f.Fuzz(func(t *testing.T, fromClient, fromBackend []byte, seed uint64) {
		said := [2][]byte{fromClient, fromBackend}
		inside := 0
		for side, b := range said {
			r := parseStream(Side(side), false, b)
			if !r.broken && r.pass < len(b) {
				t.Skip("ends where a violation may show early: neither side would know what to wait for")
			}
			if r.inside() {
				inside++
			}
		}
		if inside == 2 {
			t.Skip("the session waits closeTimeout for the rest of the second frame")
		}
		kind := kinds[seed/2%uint64(len(kinds))]
		loops := runDialogue(t, func(s Sink) engine { return New(s) }, kind, said, seed)
		portable := runDialogue(t, func(s Sink) engine { return NewPortable(s) }, kind, said, seed)
		if loops != portable {
			t.Errorf("the loops: %s\nportable:  %s", loops, portable)
		}
	})
}

type engine interface {
	Run(context.Context) error
	Join(Session)
}

// runDialogue plays both streams through an engine and describes what came out.
func runDialogue(t *testing.T, start func(Sink) engine, kind [2]link, said [2][]byte, seed uint64) string {
	rules := rand.New(rand.NewPCG(seed, 5))
	traffic := func() Traffic {
		return Traffic{
			Frame: []int64{0, 0, 5, 200}[rules.IntN(4)], Message: []int64{0, 0, 20, 1000}[rules.IntN(4)],
			MessageRate: 1e-6 * float64(rules.IntN(2)), MessageBurst: 1 + rules.Int64N(5), Close: true,
		}
	}
	limits := [2]Traffic{traffic(), traffic()}
	reports := make(chan Report, 1)
	e := start(Sink{Ended: func(r Report) { reports <- r }, Closed: func(any) {}, Stayed: func(string) {}})
	ctx, cancel := context.WithCancel(context.Background())
	var running, writers sync.WaitGroup
	running.Go(func() { e.Run(ctx) })
	defer running.Wait()
	defer cancel()

	var s Session
	s.Group = &Group{}
	s.Group.Set(Rules{Client: limits[Client], Backend: limits[Backend]})
	c, b := &peer{t: t, side: Client}, &peer{t: t, side: Backend}
	s.Client.Conn, c.Conn = kind[Client](t, Client)
	s.Backend.Conn, b.Conn = kind[Backend](t, Backend)
	for _, p := range []*peer{c, b} {
		p.SetDeadline(time.Now().Add(wstest.Guard)) // a hang is a failure
	}
	first, second, early := c, b, &s.Client.Early
	if seed%2 == 1 {
		first, second, early = b, c, &s.Backend.Early
	}
	whole := said[first.side]
	cut := min(len(whole), int(seed%5)*7)
	*early = bytes.Clone(whole[:cut])
	e.Join(s)

	var got [2]bytes.Buffer
	told := func(p *peer) { // reads to a Close frame or the end
		for {
			if r := parseStream(p.side.other(), false, got[p.side].Bytes()); r.closed {
				return
			}
			if _, err := io.CopyN(&got[p.side], p, 1); err != nil {
				return
			}
		}
	}
	writers.Go(func() { writeInPieces(first, whole[cut:], seed) })
	pass, ended := allowedPrefix(first.side, whole, limits[first.side])
	io.CopyN(&got[second.side], second, int64(pass))
	if !ended {
		limit := limits[second.side]
		if parseStream(first.side, false, whole).closed {
			limit = Traffic{} // there are none while a session closes
		}
		writers.Go(func() { writeInPieces(second, said[second.side], seed+1) })
		pass, ended := allowedPrefix(second.side, said[second.side], limit)
		io.CopyN(&got[first.side], first, int64(pass))
		if ended {
			told(first)
		}
	}
	writers.Wait()
	wire.CloseWrite(first.Conn)
	told(second)
	wire.CloseWrite(second.Conn)
	for _, p := range []*peer{c, b} {
		io.Copy(&got[p.side], p)
	}
	r := <-reports
	toClient, toBackend := parseStream(Backend, false, got[Client].Bytes()), parseStream(Client, false, got[Backend].Bytes())
	return fmt.Sprintf("client %d bytes: %s; backend %d bytes: %s; %s by the %s, %d %q %q; %+v %+v",
		got[Client].Len(), &toClient, got[Backend].Len(), &toBackend,
		r.Cause, r.By, r.Code, r.Reason, r.Detail, r.FromClient, r.FromBackend)
}

// allowedPrefix returns how much of a stream may pass under limits, and whether the
// session ends behind that although the stream goes on.
func allowedPrefix(from Side, stream []byte, of Traffic) (pass int, ended bool) {
	r := parseStream(from, false, stream)
	in := bytes.NewReader(stream[:r.pass])
	total, begun := int64(0), int64(0)
	for {
		at := r.pass - in.Len()
		h, err := ws.ReadHeader(in)
		if err != nil {
			return r.pass, r.broken
		}
		if !h.OpCode.IsControl() {
			if h.OpCode != ws.OpContinuation {
				total = 0
			}
			total += h.Length
			switch {
			case of.Frame > 0 && h.Length > of.Frame, of.Message > 0 && total > of.Message:
				return at, true
			case h.OpCode != ws.OpContinuation:
				if begun++; of.MessageRate > 0 && begun > of.MessageBurst {
					return at, true
				}
			}
		}
		in.Seek(h.Length, io.SeekCurrent)
	}
}
