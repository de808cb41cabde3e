package relay

import (
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/clock"
	"sluice/internal/frame"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// A journal is what a sink was told, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
	past  frame.Counts // sums of the reports
	back  frame.Counts
}

// sink returns a sink that writes down what it is told, and tells next of the ends.
func (j *journal) sink(next Sink) Sink {
	return Sink{
		Ended: func(r Report) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.lines = append(j.lines, fmt.Sprintf("%v ended, %s", r.Owner, r.Note))
			j.past.Add(&r.FromClient)
			j.back.Add(&r.FromBackend)
			next.Ended(r)
		},
		Closed: func(owner any) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.lines = append(j.lines, fmt.Sprintf("%v closed", owner))
		},
		Panicked: next.Panicked,
		Stayed:   func(string) {},
	}
}

// newJournaled returns a fixture whose sink keeps a journal.
func newJournaled(t *testing.T) (*relaytest.Fixture, *journal) {
	j := new(journal)
	return relaytest.NewFixture(t, func(sink Sink) relaytest.Engine { return New(j.sink(sink), clock.New()) }), j
}

// Every end of a session is told to the sink twice: once that the session ended, with its
// owner and its note, and then once that its connections are closed. The group counts the
// session, with exactly what the report says.
func TestTheSinkIsToldTwice(t *testing.T) {
	late := Rules{Lifetime: time.Minute, Idle: time.Hour}
	tests := []struct {
		name  string
		rules Rules
		end   func(h *relaytest.Fixture, c, b *relaytest.Peer)
		cause Cause
	}{
		{"a Close frame and its answer", Rules{}, func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			c.Send(wstest.Close(1000, ""))
			b.AnswerClose("close 1000", wstest.Close(1000, ""))
			c.AnswerClose("close 1000", wstest.Close(1000, ""))
		}, Closed},
		{"the client is lost", Rules{}, func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			c.Reset()
			b.AnswerClose("close 1001", wstest.Close(1001, ""))
		}, Lost},
		{"the backend is lost", Rules{}, func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			b.Reset()
			c.AnswerClose("close 1014", wstest.Close(1014, ""))
		}, Lost},
		{"both are lost", Rules{}, func(h *relaytest.Fixture, c, b *relaytest.Peer) { b.Reset(); c.Reset() }, Lost},
		{"a violation", Rules{}, func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			c.SendRaw([]byte{0x83, 0x80, 0, 0, 0, 0})
			b.AnswerClose("close 1001", wstest.Close(1001, ""))
			c.ReadRest()
			c.Close()
		}, Violation},
		{"a size", Rules{Client: Traffic{Frame: 10}}, func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			c.Send(wstest.Text("01234567890"))
			b.AnswerClose("close 1001", wstest.Close(1001, ""))
			c.AnswerClose(`close 1009 "a frame over the size limit"`, wstest.Close(1009, ""))
		}, TooLarge},
		{"a rate", Rules{Backend: Traffic{MessageRate: 1e-3, MessageBurst: 1, EndOverRate: true}}, func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			b.Send(wstest.Text("too many"))
			b.AnswerClose(`close 1008 "messages over the rate limit"`, wstest.Close(1008, ""))
			c.AnswerClose("close 1001", wstest.Close(1001, ""))
		}, TooFast},
		{"an end", Rules{}, func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			h.End(relaytest.All, Ending{Cause: RouteRemoved}, 0)
			b.AnswerClose("close 1001", wstest.Close(1001, ""))
			c.AnswerClose(`close 1012 "route removed"`, wstest.Close(1012, ""))
		}, RouteRemoved},
		{"an end that was planned", late, func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			h.End(relaytest.All, Ending{Cause: RouteRemoved}, time.Nanosecond)
			b.AnswerClose("close 1001", wstest.Close(1001, ""))
			c.AnswerClose(`close 1012 "route removed"`, wstest.Close(1012, ""))
		}, RouteRemoved},
		{"the engine stops", late, func(h *relaytest.Fixture, c, b *relaytest.Peer) { h.Stop() }, Shutdown},
		{"the engine stops while a frame is under way", Rules{}, func(h *relaytest.Fixture, c, b *relaytest.Peer) {
			c.SendRaw(frametest.Encode(Client, wstest.Text("0123456789"))[:8])
			io.ReadFull(b, make([]byte, 8))
			h.Stop()
		}, Shutdown},
	}
	for _, kind := range []struct {
		name string
		link relaytest.Link
	}{{"sockets", relaytest.Loopback}, {"memory", relaytest.Roomy}} {
		for _, tt := range tests {
			t.Run(tt.name+" over "+kind.name, func(t *testing.T) {
				t.Parallel()
				h, j := newJournaled(t)
				h.Group.Set(tt.rules)
				c, b := h.StartSession(kind.link, kind.link, Session{Owner: "it", Note: "noted"})
				if h.Group.Open() != 1 {
					t.Errorf("Open() = %d; want 1", h.Group.Open())
				}
				if got := h.Totals(&h.Group); got != (Totals{Sessions: 1}) {
					t.Errorf("totals = %+v while the session is silent", got)
				}
				c.Send(wstest.Text("héllo"), wstest.Ping("p"))
				b.Receive(wstest.Text("héllo"), wstest.Ping("p"))
				b.Send(wstest.Part(ws.OpBinary, "abc"), wstest.Last(""))
				c.Receive(wstest.Part(ws.OpBinary, "abc"), wstest.Last(""))
				live := Totals{Sessions: 1, FromClient: frame.Counts{Messages: 1, Frames: 1, Controls: 1, Bytes: 6}, FromBackend: frame.Counts{Messages: 1, Frames: 2, Bytes: 3}}
				if got := h.Totals(&h.Group); got != live {
					t.Errorf("totals = %+v of an open session; want %+v", got, live)
				}
				tt.end(h, c, b)
				r := h.AwaitReport()
				h.Drained(t.Context())
				h.Stop()
				if got := fmt.Sprint(j.lines); got != "[it ended, noted it closed]" {
					t.Errorf("the sink was told %s; want that it ended, and that it closed", got)
				}
				if r.Cause != tt.cause || r.Owner != "it" {
					t.Errorf("report = %+v; want %s", r, tt.cause)
				}
				if want := (Totals{Sessions: 1, FromClient: r.FromClient, FromBackend: r.FromBackend}); h.Totals(&h.Group) != want || h.Group.Open() != 0 {
					t.Errorf("totals = %+v, Open() = %d; want %+v and 0", h.Totals(&h.Group), h.Group.Open(), want)
				}
				if f := r.FromClient; f.Messages != 1 || f.Bytes < 6 || f.Controls < 1 {
					t.Errorf("from the client %+v", f)
				}
				if f := r.FromBackend; f.Messages != 1 || f.Frames != 2 || f.Bytes != 3 {
					t.Errorf("from the backend %+v", f)
				}
			})
		}
	}
}

// The totals of a group are the sum of its sessions' reports, and the reports are what the
// peers counted.
func TestTotalsAreExact(t *testing.T) {
	t.Parallel()
	const sessions, messages = 50, 40
	h, j := newJournaled(t)
	var wg sync.WaitGroup
	for i := range sessions {
		kind := relaytest.Loopback
		if i%2 == 0 {
			kind = relaytest.Roomy
		}
		c, b := h.StartSession(kind, kind, Session{Owner: i})
		wg.Go(func() {
			for n := range messages {
				c.Send(wstest.Part(ws.OpText, fmt.Sprintf("%*d", 10, i)), wstest.Ping("p"), wstest.Last(fmt.Sprintf("%*d", 10, n)))
				b.Receive(wstest.Part(ws.OpText, fmt.Sprintf("%*d", 10, i)), wstest.Ping("p"), wstest.Last(fmt.Sprintf("%*d", 10, n)))
				b.Send(frametest.Binary(fmt.Sprintf("%*d", 1+n, n)))
				c.Receive(frametest.Binary(fmt.Sprintf("%*d", 1+n, n)))
			}
			c.Send(wstest.Close(1000, ""))
			b.AnswerClose("close 1000", wstest.Close(1000, ""))
			c.AnswerClose("close 1000", wstest.Close(1000, ""))
		})
	}
	wg.Wait()
	h.Drained(t.Context())
	bytes := uint64(0)
	for n := range messages {
		bytes += uint64(max(1+n, len(fmt.Sprint(n))))
	}
	want := Totals{
		Sessions:    sessions,
		FromClient:  frame.Counts{Messages: sessions * messages, Frames: 2 * sessions * messages, Controls: sessions*messages + sessions, Bytes: 20 * sessions * messages},
		FromBackend: frame.Counts{Messages: sessions * messages, Frames: sessions * messages, Controls: sessions, Bytes: sessions * bytes},
	}
	if got := h.Totals(&h.Group); got != want {
		t.Errorf("totals = %+v; want %+v", got, want)
	}
	if j.past != want.FromClient || j.back != want.FromBackend {
		t.Errorf("the reports add up to %+v and %+v; want %+v", j.past, j.back, want)
	}
}

// The view of a session while it is open, and while it closes.
func TestViewsOfASessionThatCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &relaytest.TimedSession{Fixture: newFixture(t).Fixture}
		s.C, s.B = s.StartSession(relaytest.Roomy, relaytest.Roomy, Session{Owner: "it"})
		start := time.Now()
		<-time.After(time.Minute)
		s.C.Send(wstest.Text("abc"))
		s.B.Receive(wstest.Text("abc"))
		<-time.After(time.Minute)
		s.C.Send(wstest.Ping(""))
		s.B.Receive(wstest.Ping(""))
		synctest.Wait()
		want := View{
			ID: 1, Group: &s.Group, Owner: "it", Opened: start, Last: start.Add(time.Minute),
			FromClient: frame.Counts{Messages: 1, Frames: 1, Controls: 1, Bytes: 3},
		}
		check := func(when string) {
			t.Helper()
			got := s.View()
			opened, last := got.Opened.Sub(want.Opened), got.Last.Sub(want.Last)
			got.Opened, got.Last = want.Opened, want.Last
			if got != want || opened.Abs() > time.Microsecond || last.Abs() > time.Microsecond {
				t.Errorf("%s: %+v, opened %v and last %v off; want %+v", when, got, opened, last, want)
			}
		}
		check("open")
		s.B.Send(wstest.Close(4000, "enough"))
		s.C.Receive(wstest.Close(4000, "enough"))
		synctest.Wait()
		want.Cause, want.By, want.Code, want.FromBackend.Controls = Closed, Backend, 4000, 1
		check("closing")
		<-time.After(core.CloseTimeout / 2)
		check("still closing")
		<-time.After(core.CloseTimeout / 2)
		synctest.Wait()
		s.Each(func(v View) bool { t.Errorf("%+v is seen after its end", v); return true })
		if r := s.AwaitReport(); r.Reason != "enough" || r.Duration != 2*time.Minute+core.CloseTimeout {
			t.Errorf("report = %q after %v", r.Reason, r.Duration)
		}
	})
}

// Every view of a session has its note, whatever its length: in a list, for the choice of an
// end, and in the report.
func TestViewsHaveTheNote(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name string
		link relaytest.Link
	}{{"sockets", relaytest.Loopback}, {"memory", relaytest.Roomy}} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t)
			want := map[string]bool{}
			for _, n := range []int{0, 1, 46, 47, 48, 200, 255, 1000} {
				note := strings.Repeat("n", n)
				want[note] = true
				c, b := h.StartSession(kind.link, kind.link, Session{Note: note})
				defer c.Reset()
				defer b.Reset()
			}
			listed := map[string]bool{}
			h.Each(func(v View) bool { listed[v.Note] = true; return true })
			if !maps.Equal(listed, want) {
				t.Errorf("%d notes are listed; want %d", len(listed), len(want))
			}
			for note := range want {
				if n := h.End(func(v View) bool { return v.Note == note }, Ending{Cause: Operator}, 0); n != 1 {
					t.Errorf("%d sessions have the note of %d bytes; want 1", n, len(note))
				}
			}
			h.Stop()
			for range want {
				delete(listed, h.AwaitReport().Note)
			}
			if len(listed) != 0 {
				t.Errorf("%d notes are not reported", len(listed))
			}
		})
	}
}

// Each group counts its own sessions.
func TestGroupsCountApart(t *testing.T) {
	t.Parallel()
	h := newFixture(t)
	var groups [2]Group
	groups[1].Set(Rules{Client: Traffic{Frame: 1}})
	for i := range groups {
		c, b := &relaytest.Peer{T: t, Side: Client}, &relaytest.Peer{T: t, Side: Backend}
		o := Session{ID: uint64(i), Group: &groups[i]}
		o.Client.Conn, c.Conn = relaytest.Loopback(t, Client)
		o.Backend.Conn, b.Conn = relaytest.Loopback(t, Backend)
		h.Join(o)
		c.Send(wstest.Text("ab"))
		if i == 0 {
			b.Receive(wstest.Text("ab"))
			c.Send(wstest.Close(1000, ""))
		}
		var both sync.WaitGroup
		both.Go(func() { c.ReadRest(); c.Close() })
		both.Go(func() { io.Copy(io.Discard, io.LimitReader(b, 8)); b.Send(wstest.Close(1001, "")); b.Close() })
		c.Write(frametest.Encode(Client, wstest.Close(1009, "")))
		both.Wait()
		h.AwaitReport()
	}
	h.Drained(t.Context())
	if a, b := h.Totals(&groups[0]), h.Totals(&groups[1]); a.Sessions != 1 || a.FromClient.Messages != 1 || b.Sessions != 1 || b.FromClient.Messages != 0 {
		t.Errorf("the groups count %+v and %+v", a, b)
	}
}

// The totals of a group that is dropped become another's: nothing is lost.
func TestMergedGroupsLoseNothing(t *testing.T) {
	t.Parallel()
	h := newFixture(t)
	var into, third Group
	for _, kind := range []relaytest.Link{relaytest.Loopback, relaytest.Roomy} {
		c, b := h.StartSession(kind, kind, Session{})
		c.Send(wstest.Text("ab"), wstest.Close(1000, ""))
		b.Receive(wstest.Text("ab"))
		b.AnswerClose("close 1000", wstest.Close(1000, ""))
		c.AnswerClose("close 1000", wstest.Close(1000, ""))
		h.AwaitReport()
	}
	want := h.Totals(&h.Group)
	if want.Sessions != 2 || want.FromClient.Messages != 2 {
		t.Fatalf("totals = %+v", want)
	}
	h.Merge([]*Group{&h.Group, &third}, &into)
	if got, left := h.Totals(&into), h.Totals(&h.Group); got != want || left != (Totals{}) {
		t.Errorf("totals = %+v, and %+v are left; want %+v and none", got, left, want)
	}
}
