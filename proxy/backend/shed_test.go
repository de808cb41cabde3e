package backend

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is sessions of a pool that come back when they are ended.
type crowd struct {
	t  *testing.T
	p  *Pool
	mu sync.Mutex

	held  map[string][]*Lease
	calls int
	moved int
	last  Shed
}

// shed ends sessions as the gateway would.
func (c *crowd) shed(s Shed) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = s
	c.calls++
	n := min(s.Sessions, len(c.held[s.Endpoint]))
	c.moved += n
	for _, l := range c.held[s.Endpoint][:n] {
		l.Release()
	}
	c.held[s.Endpoint] = c.held[s.Endpoint][n:]
	for e, leases := range hold(c.t, c.p, n, Need{Kind: Sessions}) {
		c.held[e] = append(c.held[e], leases...)
	}
	return n
}

// seen waits until nothing moves and returns how many sessions have been moved
// and the last Shed.
func (c *crowd) seen() (int, Shed) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moved, c.last
}

func (c *crowd) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.p.Run(ctx, c.shed) }()
	c.t.Cleanup(func() { cancel(); <-done })
}

func TestRebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions = 9000
		s := many(3, equally)
		s.Rebalance = Rebalance{PerMinute: 0.06, Newest: true}
		p := pool(s)
		c := &crowd{t: t, p: p, held: hold(t, p, sessions, Need{Kind: Sessions})}
		c.run()
		time.Sleep(time.Hour)
		if moved, _ := c.seen(); moved != 0 {
			t.Fatalf("%d sessions moved while nobody came", moved)
		}
		s.Endpoints = append(s.Endpoints, named("new").Endpoints...)
		p.Configure(s)
		time.Sleep(time.Minute)
		moved, last := c.seen()
		if want := sessions * 6 / 100; moved < want*9/10 || moved > want {
			t.Errorf("%d of %d sessions moved in a minute, want 6%%, %d", moved, sessions, want)
		}
		if last.Over != shedSpread || !last.Newest || last.Drain || last.Backend != "app" {
			t.Errorf("Shed = %+v", last)
		}
		time.Sleep(10 * time.Minute)
		want := map[string]int{"new": sessions / 4}
		for i := range 3 {
			want[fmt.Sprint("e", i)] = sessions / 4
		}
		expect(t, "sessions after ten minutes", busy(p), want)
		if moved, _ = c.seen(); moved > sessions/4+1 {
			t.Errorf("%d sessions moved for %d places", moved, sessions/4)
		}
		for _, l := range c.held["e0"][:1000] { // what happens by itself is nobody's business
			l.Release()
		}
		time.Sleep(time.Hour)
		if again, _ := c.seen(); again != moved {
			t.Errorf("%d sessions moved when an endpoint had lost some", again-moved)
		}
	})
}

// What does not come back must not make the others end.
func TestRebalanceStopsAtTheEvenShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := many(1, equally)
		s.Rebalance.PerMinute = 1
		p := pool(s)
		held := hold(t, p, 100, Need{Kind: Sessions})["e0"]
		var told atomic.Int64
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go p.Run(ctx, func(s Shed) int { told.Add(int64(s.Sessions)); return s.Sessions }) // they take their time
		s.Endpoints = append(s.Endpoints, named("new").Endpoints...)
		p.Configure(s)
		time.Sleep(time.Hour)
		if n := told.Load(); n != 50 {
			t.Fatalf("%d of 100 sessions were told to end for two endpoints, want 50", n)
		}
		for _, l := range held[:50] {
			l.Release()
		}
		time.Sleep(time.Hour)
		if n := told.Load(); n > 75 {
			t.Errorf("%d sessions were told to end; 50 that are left are even at 25", n)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := named("a", "b")
		s.DrainTime = time.Minute
		p := pool(s)
		c := &crowd{t: t, p: p, held: hold(t, p, 10, Need{Kind: Sessions})}
		c.run()
		c.seen()
		p.Drain("a", true)
		_, last := c.seen()
		if want := (Shed{Backend: "app", Endpoint: "a", Sessions: 5, Drain: true, Over: time.Minute}); last != want {
			t.Errorf("Shed = %+v, want %+v", last, want)
		}
		expect(t, "busy", busy(p), map[string]int{"b": 10})
		p.Configure(s)
		time.Sleep(time.Hour)
		if c.seen(); c.calls != 1 {
			t.Errorf("sessions were ended %d times, want once", c.calls)
		}
		p.Drain("a", false)
		for _, drain := range []bool{true, false, true} {
			s.Endpoints[1].Drain = drain
			p.Configure(s)
			c.seen()
		}
		if c.calls != 3 {
			t.Errorf("sessions were ended %d times for three drains", c.calls)
		}
		if _, last = c.seen(); last.Endpoint != "b" {
			t.Errorf("Shed = %+v, want b", last)
		}
		expect(t, "busy", busy(p), map[string]int{"a": 10})
	})
}
