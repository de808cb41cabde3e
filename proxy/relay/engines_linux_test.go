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
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/clock"
	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/portable"
	"sluice/proxy/relay/relaytest"
)

// onPortable returns how many sessions the portable engine has.
func (h *engineFixture) onPortable() (n int) {
	h.engine.portable.Each(func(View) bool { n++; return true })
	return n
}

func TestWithoutDescriptorsThePortableEngineServes(t *testing.T) {
	for _, opened := range []bool{false, true} {
		h := newFixture(t)
		if opened {
			for range runtime.GOMAXPROCS(0) {
				h.StartSession(relaytest.Loopback, relaytest.Loopback, Session{})
			}
		}
		var o Session
		client, c := relaytest.Loopback(t, Client)
		backend, b := relaytest.Loopback(t, Backend)
		o.ID, o.Group = 100, &h.Group
		o.Client.Conn, o.Backend.Conn = client, backend
		free := wstest.ExhaustDescriptors(t)
		h.Join(o)
		free()
		if served := h.onPortable(); served != 1 {
			t.Errorf("loops opened %v: the portable engine has %d sessions; want 1", opened, served)
		}
		c.Write(frametest.Encode(Client, wstest.Text("hi")))
		(&relaytest.Peer{Conn: b, T: t, Side: Backend}).Receive(wstest.Text("hi"))
	}
}

// FuzzEngines sends the same frames, cut the same way, through both engines, and through two between which the session
// goes to and fro: one side sends, then the other, under limits; then the first one ends its stream, and the other one when it
// gets its Close frame. What each side got and the report must be the same, with TLS and
// without.
func FuzzEngines(f *testing.F) {
	for i := range uint64(12) {
		r := rand.New(rand.NewPCG(i, 4))
		f.Add(frametest.Random(r, Client), frametest.Random(r, Backend), i)
	}
	long := [2][]byte{frametest.Encode(Client, frametest.Binary(relaytest.RandomPayload(200_000))), frametest.Encode(Backend, frametest.Binary(relaytest.RandomPayload(300_000)))}
	last := [2][]byte{frametest.Encode(Client, wstest.Close(1000, "")), frametest.Encode(Backend, wstest.Close(1000, ""))}
	for seed := range uint64(2) {
		f.Add(slices.Concat(long[0], last[0]), slices.Concat(long[1], last[1]), seed)
		f.Add(long[0][:150_000], long[1], seed)
		f.Add(long[0], long[1][:150_000], seed)
	}
	secure, old := relaytest.OverTLS(f, relaytest.Loopback), relaytest.OverTLS(f, relaytest.Loopback, relaytest.Suite(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256))
	kinds := [][2]relaytest.Link{{relaytest.Loopback, relaytest.Loopback}, {secure, relaytest.Loopback}, {relaytest.Loopback, secure}, {old, secure}, {secure, old}}
	f.Fuzz(func(t *testing.T, fromClient, fromBackend []byte, seed uint64) {
		said := [2][]byte{fromClient, fromBackend}
		inside := 0
		for side, b := range said {
			r := frametest.Parse(Side(side), false, b)
			if !r.Broken && r.Pass < len(b) {
				t.Skip("ends where a violation may show early: neither side would know what to wait for")
			}
			if r.Inside() {
				inside++
			}
		}
		if inside == 2 {
			t.Skip("the session waits closeTimeout for the rest of the second frame")
		}
		kind := kinds[seed/2%uint64(len(kinds))]
		loops := runDialogue(t, func(s Sink) relaytest.Engine { return New(s, clock.New()) }, kind, said, seed)
		twoGoroutines := runDialogue(t, func(s Sink) relaytest.Engine { return portable.New(s, clock.New()) }, kind, said, seed)
		if loops != twoGoroutines {
			t.Errorf("the loops: %s\nportable:  %s", loops, twoGoroutines)
		}
		var both *shuttle
		moving := runDialogue(t, func(s Sink) relaytest.Engine {
			both = newShuttle(t, s, seed)
			return both
		}, kind, said, seed)
		if loops != moving {
			t.Errorf("the loops:      %s\nfrom one to another: %s", loops, moving)
		}
		if both.moves == 0 && min(len(fromClient), len(fromBackend)) > 100_000 {
			t.Error("the session did not move")
		}
	})
}

// runDialogue sends both streams through an engine and describes what came out.
func runDialogue(t *testing.T, start func(Sink) relaytest.Engine, kind [2]relaytest.Link, said [2][]byte, seed uint64) string {
	rules := rand.New(rand.NewPCG(seed, 5))
	traffic := func() Traffic {
		return Traffic{
			Frame: []int64{0, 0, 5, 200}[rules.IntN(4)], Message: []int64{0, 0, 20, 1000}[rules.IntN(4)],
			MessageRate: 1e-6 * float64(rules.IntN(2)), MessageBurst: 1 + rules.Int64N(5), EndOverRate: true,
		}
	}
	limits := [2]Traffic{traffic(), traffic()}
	reports := make(chan Report, 1)
	e := start(Sink{Ended: func(r Report) { reports <- r }, Closed: func(any) {}, Panicked: func(_ View, cause any, stack []byte) { t.Errorf("panic: %v\n%s", cause, stack) }, Stayed: func(string) {}, Gone: func(View) {}})
	ctx, cancel := context.WithCancel(context.Background())
	var running, writers sync.WaitGroup
	running.Go(func() { e.Run(ctx) })
	defer running.Wait()
	defer cancel()

	var s Session
	s.Group = &Group{}
	s.Group.Set(Rules{Client: limits[Client], Backend: limits[Backend]})
	c, b := &relaytest.Peer{T: t, Side: Client}, &relaytest.Peer{T: t, Side: Backend}
	s.Client.Conn, c.Conn = kind[Client](t, Client)
	s.Backend.Conn, b.Conn = kind[Backend](t, Backend)
	for _, p := range []*relaytest.Peer{c, b} {
		p.SetDeadline(time.Now().Add(wstest.Guard)) // a hang is a failure
	}
	first, second, early := c, b, &s.Client.Early
	if seed%2 == 1 {
		first, second, early = b, c, &s.Backend.Early
	}
	whole := said[first.Side]
	cut := min(len(whole), int(seed%5)*7)
	*early = bytes.Clone(whole[:cut])
	e.Join(s)

	var got [2]bytes.Buffer
	through := func(p *relaytest.Peer) io.ReadWriter { return p }
	if s, ok := e.(*shuttle); ok {
		through = func(p *relaytest.Peer) io.ReadWriter { return stepped{p, s.step} }
	}
	told := func(p *relaytest.Peer) { // reads to a Close frame or the end
		for {
			if r := frametest.Parse(p.Side.Other(), false, got[p.Side].Bytes()); r.Closed {
				return
			}
			if _, err := io.CopyN(&got[p.Side], through(p), 1); err != nil {
				return
			}
		}
	}
	writers.Go(func() { relaytest.WriteInPieces(through(first), whole[cut:], seed) })
	pass, ended := allowedPrefix(first.Side, whole, limits[first.Side])
	io.CopyN(&got[second.Side], through(second), int64(pass))
	if !ended {
		limit := limits[second.Side]
		if frametest.Parse(first.Side, false, whole).Closed {
			limit = Traffic{} // there are none while a session closes
		}
		writers.Go(func() { relaytest.WriteInPieces(through(second), said[second.Side], seed+1) })
		pass, ended := allowedPrefix(second.Side, said[second.Side], limit)
		io.CopyN(&got[first.Side], through(first), int64(pass))
		if ended {
			told(first)
		}
	}
	writers.Wait()
	wire.CloseWrite(first.Conn)
	told(second)
	wire.CloseWrite(second.Conn)
	for _, p := range []*relaytest.Peer{c, b} {
		io.Copy(&got[p.Side], through(p))
	}
	r := <-reports
	toClient, toBackend := frametest.Parse(Backend, false, got[Client].Bytes()), frametest.Parse(Client, false, got[Backend].Bytes())
	return fmt.Sprintf("client %d bytes: %s; backend %d bytes: %s; %s by the %s, %d %q %q; %+v %+v",
		got[Client].Len(), &toClient, got[Backend].Len(), &toBackend,
		r.Cause, r.By, r.Code, r.Reason, r.Detail, r.FromClient, r.FromBackend)
}

// allowedPrefix returns how many bytes of a stream may go on under limits, and whether the
// session ends there although the stream goes on.
func allowedPrefix(from Side, stream []byte, of Traffic) (pass int, ended bool) {
	r := frametest.Parse(from, false, stream)
	in := bytes.NewReader(stream[:r.Pass])
	total, begun := int64(0), int64(0)
	for {
		at := r.Pass - in.Len()
		h, err := ws.ReadHeader(in)
		if err != nil {
			return r.Pass, r.Broken
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

// A session whose records cannot be taken over stays with crypto/tls and works, and the sink
// hears why.
func TestTLSThatCannotBeTakenOverStays(t *testing.T) {
	below := relaytest.OverTLS(t, relaytest.Loopback)
	forgets := func(t testing.TB, side Side) (gateway, peer net.Conn) {
		gateway, peer = below(t, side)
		wire.Of(gateway).DropCapture()
		return gateway, peer
	}
	old := relaytest.OverTLS(t, relaytest.Loopback, relaytest.Suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA))
	stream := func(t testing.TB, _ Side) (gateway, peer net.Conn) { return net.Pipe() }
	for _, tt := range []struct {
		client, backend relaytest.Link
		why             string // "" if the connection was not told to remember
	}{
		{forgets, relaytest.Loopback, ""},
		{forgets, forgets, ""},
		{below, forgets, "began without"},
		{old, relaytest.Loopback, "cipher suite TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"},
		{relaytest.Loopback, old, "cipher suite"},
		{below, stream, "a stream"},
	} {
		var held []*wire.Conn
		keeping := func(kind relaytest.Link) relaytest.Link {
			return func(t testing.TB, side Side) (gateway, peer net.Conn) {
				gateway, peer = kind(t, side)
				if c := wire.Of(gateway); c != nil {
					held = append(held, c)
				}
				return gateway, peer
			}
		}
		h := newFixture(t)
		c, b := h.StartSession(keeping(tt.client), keeping(tt.backend), Session{})
		relaytest.Converse(t, c, b)
		why := h.Reasons()
		if served := h.onPortable(); served != 1 || len(why) > 1 || !strings.Contains(strings.Join(why, ""), tt.why) || (len(why) == 0) != (tt.why == "") {
			t.Errorf("the portable engine has %d sessions, the session stayed for %q; want 1 and %q", served, why, tt.why)
		}
		if slices.ContainsFunc(held, (*wire.Conn).Capturing) {
			t.Errorf("a connection of a session that stayed for %q still remembers", why)
		}
		c.Send(wstest.Close(1000, ""))
		b.AnswerClose("close 1000", wstest.Close(1000, ""))
		c.ExpectRest("close 1000")
		c.Close()
		h.ExpectReport(Closed, Client, 1000)
	}
}

// Nothing follows a fatal alert, of either side and in either engine (RFC 8446, section 6.2).
func TestNothingFollowsAFatalAlert(t *testing.T) {
	tests := []struct {
		name string
		sent func(f *relaytest.Forger) []byte
		want string // what the peer gets, up to the end
	}{
		{"one of the peer's", func(f *relaytest.Forger) []byte { return f.Seal(relaytest.TypeAlert, 2, 40) }, "an end without close_notify"},
		{"one of the gateway's", func(f *relaytest.Forger) []byte {
			b := f.Seal(relaytest.TypeData, 1, 2, 3)
			b[len(b)-1]++
			return b
		}, "alert 20, an end without close_notify"},
		{"a record that is none", func(f *relaytest.Forger) []byte { return []byte{relaytest.TypeData, 3, 3, 0xff, 0xff} }, "alert 22, an end without close_notify"},
	}
	for _, tt := range tests {
		for _, side := range []Side{Client, Backend} {
			for _, portable := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, portable %t", tt.name, side, portable), func(t *testing.T) {
					t.Parallel()
					h := newFixture(t)
					kinds := [2]relaytest.Link{relaytest.Loopback, relaytest.Loopback}
					kinds[side] = relaytest.ForgedTLS(t, relaytest.Loopback)
					ends := [2]*relaytest.Peer{{T: t, Side: Client}, {T: t, Side: Backend}}
					o := Session{ID: 1, Group: &h.Group}
					o.Client.Conn, ends[Client].Conn = kinds[Client](t, Client)
					o.Backend.Conn, ends[Backend].Conn = kinds[Backend](t, Backend)
					if portable {
						h.engine.portable.Join(o)
					} else {
						h.Join(o)
					}
					p, other := ends[side], ends[side.Other()]
					p.SendRecord(tt.sent(p.Forger()))
					other.AnswerClose(fmt.Sprint("close ", relaytest.LostCode(side)), wstest.Close(1001, ""))
					var got []string
					for err := error(relaytest.Alert(0)); errors.As(err, new(relaytest.Alert)); {
						err = p.Forger().Open()
						got = append(got, fmt.Sprint(err))
					}
					if s := strings.Join(got, ", "); s != tt.want {
						t.Errorf("the %s got %s; want %s", side, s, tt.want)
					}
					p.Close()
					h.ExpectReport(Lost, side, relaytest.LostCode(side))
				})
			}
		}
	}
}

// Sessions that join while the engine stops get their Close frames and are reported, and Run
// returns.
func TestJoinWhileALoopStops(t *testing.T) {
	for range 3 {
		h := relaytest.NewIdleFixture(t, func(sink Sink) relaytest.Engine { return New(sink, clock.New()) })
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		c, _ := h.StartSession(relaytest.Loopback, relaytest.Loopback, Session{}) // before Run
		cancel()
		go func() {
			defer close(done)
			h.Run(ctx)
		}()
		c2, _ := h.StartSession(relaytest.Loopback, relaytest.Loopback, Session{})
		c.ExpectRest(relaytest.ShutdownClose(Client)) // so the loop stops, and lingers
		c3, _ := h.StartSession(relaytest.Loopback, relaytest.Loopback, Session{})
		c2.ExpectRest(relaytest.ShutdownClose(Client))
		c3.ExpectRest(relaytest.ShutdownClose(Client))
		<-done
		for range 3 {
			h.ExpectReport(Shutdown, Gateway, 1001)
		}
		c4, _ := h.StartSession(relaytest.Loopback, relaytest.Loopback, Session{})
		c4.ExpectRest(relaytest.ShutdownClose(Client))
		h.ExpectReport(Shutdown, Gateway, 1001)
		if n := h.Group.Open(); n != 0 {
			t.Fatalf("Open() = %d; want 0", n)
		}
		h.Drained(t.Context())
	}
}

func TestATLSSessionJoinedToAStoppedEngineIsTold(t *testing.T) {
	secure := relaytest.ForgedTLS(t, relaytest.Loopback)
	h := newFixture(t)
	h.Stop()
	c, b := h.StartSession(secure, secure, Session{})
	c.ExpectRest(`close 1001 "shutdown"`)
	b.ExpectRest("close 1001")
	h.ExpectReport(Shutdown, Gateway, 1001)
}
