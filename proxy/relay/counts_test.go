package relay

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/frame"
	"sluice/internal/wstest"
)

// A journal is what a sink was told, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
	past  frame.Counts // sums of the reports
	back  frame.Counts
}

func (j *journal) sink(h *engineFixture) Sink {
	return Sink{
		Ended: func(r Report) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.lines = append(j.lines, fmt.Sprintf("%v ended, %s", r.Owner, r.Note))
			j.past.Add(&r.FromClient)
			j.back.Add(&r.FromBackend)
			h.reports <- r
		},
		Closed: func(owner any) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.lines = append(j.lines, fmt.Sprintf("%v closed", owner))
		},
		Stayed: func(string) {},
	}
}

// newJournaled returns a hall whose sink keeps a journal.
func newJournaled(t *testing.T) (*engineFixture, *journal) {
	h, j := &engineFixture{t: t, reports: make(chan Report, 256)}, new(journal)
	h.Engine = New(j.sink(h))
	h.start()
	return h, j
}

// In whatever way a session ends, the sink is told once that it did, with what
// it was given, and once that its sockets are closed, behind that; its group
// counts it, and what it did is exactly what the report says.
func TestTheSinkIsToldTwice(t *testing.T) {
	late := Rules{Lifetime: time.Minute, Idle: time.Hour}
	tests := []struct {
		name  string
		rules Rules
		end   func(h *engineFixture, c, b *peer)
		cause Cause
	}{
		{"a Close frame and its answer", Rules{}, func(h *engineFixture, c, b *peer) {
			c.send(wstest.Close(1000, ""))
			b.answerClose("close 1000", wstest.Close(1000, ""))
			c.answerClose("close 1000", wstest.Close(1000, ""))
		}, Closed},
		{"the client is lost", Rules{}, func(h *engineFixture, c, b *peer) { c.reset(); b.answerClose("close 1001", wstest.Close(1001, "")) }, Lost},
		{"the backend is lost", Rules{}, func(h *engineFixture, c, b *peer) { b.reset(); c.answerClose("close 1014", wstest.Close(1014, "")) }, Lost},
		{"both are lost", Rules{}, func(h *engineFixture, c, b *peer) { b.reset(); c.reset() }, Lost},
		{"a violation", Rules{}, func(h *engineFixture, c, b *peer) {
			c.sendRaw([]byte{0x83, 0x80, 0, 0, 0, 0})
			b.answerClose("close 1001", wstest.Close(1001, ""))
			c.readRest()
			c.Close()
		}, Violation},
		{"a size", Rules{Client: Traffic{Frame: 10}}, func(h *engineFixture, c, b *peer) {
			c.send(wstest.Text("01234567890"))
			b.answerClose("close 1001", wstest.Close(1001, ""))
			c.answerClose(`close 1009 "a frame over the size limit"`, wstest.Close(1009, ""))
		}, TooLarge},
		{"a rate", Rules{Backend: Traffic{MessageRate: 1e-3, MessageBurst: 1, Close: true}}, func(h *engineFixture, c, b *peer) {
			b.send(wstest.Text("too many"))
			b.answerClose(`close 1008 "messages over the rate limit"`, wstest.Close(1008, ""))
			c.answerClose("close 1001", wstest.Close(1001, ""))
		}, TooFast},
		{"an end", Rules{}, func(h *engineFixture, c, b *peer) {
			h.End(all, RouteRemoved, 0)
			b.answerClose("close 1001", wstest.Close(1001, ""))
			c.answerClose(`close 1012 "route removed"`, wstest.Close(1012, ""))
		}, RouteRemoved},
		{"an end that was planned", late, func(h *engineFixture, c, b *peer) {
			h.End(all, RouteRemoved, time.Nanosecond)
			b.answerClose("close 1001", wstest.Close(1001, ""))
			c.answerClose(`close 1012 "route removed"`, wstest.Close(1012, ""))
		}, RouteRemoved},
		{"the engine stops", late, func(h *engineFixture, c, b *peer) { h.stop() }, Shutdown},
		{"the engine stops while a frame is under way", Rules{}, func(h *engineFixture, c, b *peer) {
			c.sendRaw(encode(Client, wstest.Text("0123456789"))[:8])
			io.ReadFull(b, make([]byte, 8))
			h.stop()
		}, Shutdown},
	}
	for _, kind := range []struct {
		name string
		link link
	}{{"sockets", loopback}, {"memory", roomy}} {
		for _, tt := range tests {
			t.Run(tt.name+" over "+kind.name, func(t *testing.T) {
				t.Parallel()
				h, j := newJournaled(t)
				h.group.Set(tt.rules)
				c, b := h.join(kind.link, kind.link, Session{Owner: "it", Note: "noted"})
				if h.group.Open() != 1 {
					t.Errorf("Open() = %d; want 1", h.group.Open())
				}
				if past := h.group.Past(); past != (Totals{}) {
					t.Errorf("Past() = %+v while the session is open", past)
				}
				c.send(wstest.Text("héllo"), wstest.Ping("p"))
				b.receive(wstest.Text("héllo"), wstest.Ping("p"))
				b.send(wstest.Part(ws.OpBinary, "abc"), wstest.Last(""))
				c.receive(wstest.Part(ws.OpBinary, "abc"), wstest.Last(""))
				tt.end(h, c, b)
				r := h.report()
				h.Drained(t.Context())
				h.stop()
				if got := fmt.Sprint(j.lines); got != "[it ended, noted it closed]" {
					t.Errorf("the sink was told %s; want that it ended, and that it closed", got)
				}
				if r.Cause != tt.cause || r.Owner != "it" {
					t.Errorf("report = %+v; want %s", r, tt.cause)
				}
				if want := (Totals{1, r.FromClient, r.FromBackend}); h.group.Past() != want || h.group.Open() != 0 {
					t.Errorf("Past() = %+v, Open() = %d; want %+v and 0", h.group.Past(), h.group.Open(), want)
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

// A group's totals are the sum of its sessions' reports, which are what the
// peers counted.
func TestTotalsAreExact(t *testing.T) {
	t.Parallel()
	const sessions, messages = 50, 40
	h, j := newJournaled(t)
	var wg sync.WaitGroup
	for i := range sessions {
		kind := loopback
		if i%2 == 0 {
			kind = roomy
		}
		c, b := h.join(kind, kind, Session{Owner: i})
		wg.Go(func() {
			for n := range messages {
				c.send(wstest.Part(ws.OpText, fmt.Sprintf("%*d", 10, i)), wstest.Ping("p"), wstest.Last(fmt.Sprintf("%*d", 10, n)))
				b.receive(wstest.Part(ws.OpText, fmt.Sprintf("%*d", 10, i)), wstest.Ping("p"), wstest.Last(fmt.Sprintf("%*d", 10, n)))
				b.send(binary(fmt.Sprintf("%*d", 1+n, n)))
				c.receive(binary(fmt.Sprintf("%*d", 1+n, n)))
			}
			c.send(wstest.Close(1000, ""))
			b.answerClose("close 1000", wstest.Close(1000, ""))
			c.answerClose("close 1000", wstest.Close(1000, ""))
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
	if got := h.group.Past(); got != want {
		t.Errorf("Past() = %+v; want %+v", got, want)
	}
	if j.past != want.FromClient || j.back != want.FromBackend {
		t.Errorf("the reports add up to %+v and %+v; want %+v", j.past, j.back, want)
	}
}

// What there is to see of a session while it is open, and while it closes.
func TestViewsOfASessionThatCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &timedSession{engineFixture: newFixture(t)}
		s.c, s.b = s.join(roomy, roomy, Session{Owner: "it"})
		start := time.Now()
		<-time.After(time.Minute)
		s.c.send(wstest.Text("abc"))
		s.b.receive(wstest.Text("abc"))
		<-time.After(time.Minute)
		s.c.send(wstest.Ping(""))
		s.b.receive(wstest.Ping(""))
		synctest.Wait()
		want := View{
			ID: 1, Group: &s.group, Owner: "it", Opened: start, Last: start.Add(time.Minute),
			FromClient: frame.Counts{Messages: 1, Frames: 1, Controls: 1, Bytes: 3},
		}
		check := func(when string) {
			t.Helper()
			got := s.view()
			opened, last := got.Opened.Sub(want.Opened), got.Last.Sub(want.Last)
			got.Opened, got.Last = want.Opened, want.Last
			if got != want || opened.Abs() > time.Microsecond || last.Abs() > time.Microsecond {
				t.Errorf("%s: %+v, opened %v and last %v off; want %+v", when, got, opened, last, want)
			}
		}
		check("open")
		s.b.send(wstest.Close(4000, "enough"))
		s.c.receive(wstest.Close(4000, "enough"))
		synctest.Wait()
		want.Cause, want.By, want.Code, want.FromBackend.Controls = Closed, Backend, 4000, 1
		check("closing")
		<-time.After(closeTimeout / 2)
		check("still closing")
		<-time.After(closeTimeout / 2)
		synctest.Wait()
		s.Each(func(v View) bool { t.Errorf("%+v is seen behind its end", v); return true })
		if r := s.report(); r.Reason != "enough" || r.Duration != 2*time.Minute+closeTimeout {
			t.Errorf("report = %q after %v", r.Reason, r.Duration)
		}
	})
}

// Groups count apart.
func TestGroupsCountApart(t *testing.T) {
	t.Parallel()
	h := newFixture(t)
	var groups [2]Group
	groups[1].Set(Rules{Client: Traffic{Frame: 1}})
	for i := range groups {
		c, b := &peer{t: t, side: Client}, &peer{t: t, side: Backend}
		o := Session{ID: uint64(i), Group: &groups[i]}
		o.Client.Conn, c.Conn = loopback(t, Client)
		o.Backend.Conn, b.Conn = loopback(t, Backend)
		h.Join(o)
		c.send(wstest.Text("ab"))
		if i == 0 {
			b.receive(wstest.Text("ab"))
			c.send(wstest.Close(1000, ""))
		}
		var both sync.WaitGroup
		both.Go(func() { c.readRest(); c.Close() })
		both.Go(func() { io.Copy(io.Discard, io.LimitReader(b, 8)); b.send(wstest.Close(1001, "")); b.Close() })
		c.Write(encode(Client, wstest.Close(1009, "")))
		both.Wait()
		h.report()
	}
	h.Drained(t.Context())
	if a, b := groups[0].Past(), groups[1].Past(); a.Sessions != 1 || a.FromClient.Messages != 1 || b.Sessions != 1 || b.FromClient.Messages != 0 {
		t.Errorf("the groups count %+v and %+v", a, b)
	}
}
