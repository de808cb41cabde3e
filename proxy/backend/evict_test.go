package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSessions is sessions of a pool whose clients come back when they are ended.
type fakeSessions struct {
	t  *testing.T
	p  *Pool
	mu sync.Mutex

	held  map[string][]*Lease
	calls int
	moved int
	last  Eviction
}

// evict ends sessions as the gateway does.
func (c *fakeSessions) evict(s Eviction) int {
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

// settled waits until no session moves. It returns how many sessions have moved,
// and the last Eviction.
func (c *fakeSessions) settled() (int, Eviction) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moved, c.last
}

func (c *fakeSessions) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.p.Run(ctx, c.evict) }()
	c.t.Cleanup(func() { cancel(); <-done })
}

func TestRebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions = 9000
		s := many(3, equally)
		s.Rebalance = Rebalance{PerMinute: 0.06, Newest: true}
		p := pool(s)
		c := &fakeSessions{t: t, p: p, held: hold(t, p, sessions, Need{Kind: Sessions})}
		c.run()
		time.Sleep(time.Hour)
		if moved, _ := c.settled(); moved != 0 {
			t.Fatalf("%d sessions moved while no endpoint joined; want none", moved)
		}
		s.Endpoints = append(s.Endpoints, named("new").Endpoints...)
		p.Configure(s)
		time.Sleep(time.Minute)
		moved, last := c.settled()
		if want := sessions * 6 / 100; moved < want*9/10 || moved > want {
			t.Errorf("%d of %d sessions moved in a minute; want 6%%, %d", moved, sessions, want)
		}
		if last.Over != rebalanceSpread || !last.Newest || last.Drain || last.Backend != "app" {
			t.Errorf("Eviction = %+v; want the newest sessions, no drain", last)
		}
		time.Sleep(10 * time.Minute)
		want := map[string]int{"new": sessions / 4}
		for i := range 3 {
			want[fmt.Sprint("e", i)] = sessions / 4
		}
		expect(t, "sessions after ten minutes", busy(p), want)
		if moved, _ = c.settled(); moved > sessions/4+1 {
			t.Errorf("%d sessions moved to an endpoint with a share of %d", moved, sessions/4)
		}
		for _, l := range c.held["e0"][:1000] { // sessions that end by themselves are not rebalanced
			l.Release()
		}
		time.Sleep(time.Hour)
		if again, _ := c.settled(); again != moved {
			t.Errorf("%d sessions moved when an endpoint had lost some; want none", again-moved)
		}
	})
}

// Sessions that do not come back do not make others end.
func TestRebalanceStopsAtTheEvenShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := many(1, equally)
		s.Rebalance.PerMinute = 1
		p := pool(s)
		held := hold(t, p, 100, Need{Kind: Sessions})["e0"]
		var evicted atomic.Int64
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go p.Run(ctx, func(s Eviction) int { evicted.Add(int64(s.Sessions)); return s.Sessions }) // the sessions take their time to end
		s.Endpoints = append(s.Endpoints, named("new").Endpoints...)
		p.Configure(s)
		time.Sleep(time.Hour)
		if n := evicted.Load(); n != 50 {
			t.Fatalf("%d of 100 sessions were evicted for two endpoints; want 50", n)
		}
		for _, l := range held[:50] {
			l.Release()
		}
		time.Sleep(time.Hour)
		if n := evicted.Load(); n > 75 {
			t.Errorf("%d sessions were evicted; want at most 75, because the 50 that are left are even at 25", n)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := named("a", "b")
		s.DrainTime = time.Minute
		p := pool(s)
		c := &fakeSessions{t: t, p: p, held: hold(t, p, 10, Need{Kind: Sessions})}
		c.run()
		c.settled()
		p.Drain("a", true)
		_, last := c.settled()
		if want := (Eviction{Backend: "app", Endpoint: "a", Sessions: 5, Drain: true, Over: time.Minute}); last != want {
			t.Errorf("Eviction = %+v; want %+v", last, want)
		}
		expect(t, "busy", busy(p), map[string]int{"b": 10})
		p.Configure(s)
		time.Sleep(time.Hour)
		if c.settled(); c.calls != 1 {
			t.Errorf("sessions were evicted %d times; want once", c.calls)
		}
		p.Drain("a", false)
		for _, drain := range []bool{true, false, true} {
			s.Endpoints[1].Drain = drain
			p.Configure(s)
			c.settled()
		}
		if c.calls != 3 {
			t.Errorf("sessions were evicted %d times; want 3, once for each drain", c.calls)
		}
		if _, last = c.settled(); last.Endpoint != "b" {
			t.Errorf("Eviction = %+v; want b", last)
		}
		expect(t, "busy", busy(p), map[string]int{"a": 10})
	})
}

// A drain of an operator holds for a name, also when the endpoint was away for a while.
func TestADrainOutlivesItsEndpoint(t *testing.T) {
	p := pool(named("a", "b"))
	p.Drain("a", true)
	p.Configure(named("b"))
	p.Configure(named("a", "b"))
	if s := p.Status()[0]; s.Endpoint != "a" || s.State != "draining" {
		t.Errorf("%s is %s; want a, draining", s.Endpoint, s.State)
	}
	p.Drain("a", false)
	p.Configure(named("b"))
	p.Configure(named("a", "b"))
	if s := p.Status()[0]; s.State != "up" {
		t.Errorf("%s is %s after its drain has ended; want up", s.Endpoint, s.State)
	}
}

// Since is the moment at which the state that is shown began, whatever happens besides.
func TestSinceFollowsTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool(named("a", "b"))
		since := func() time.Duration {
			s := p.Status()[0]
			if s.Since.IsZero() {
				return -1
			}
			return time.Since(s.Since)
		}
		time.Sleep(time.Minute)
		if d := since(); d != -1 {
			t.Errorf("an endpoint whose state never changed is in it for %v", d)
		}
		p.Drain("a", true)
		time.Sleep(time.Minute)
		p.mu.Lock()
		p.applyProbe(p.current[0], errors.New("down"), time.Now()) // which draining hides
		p.mu.Unlock()
		p.Drain("a", true)
		if d := since(); d != time.Minute {
			t.Errorf("draining for %v; want a minute", d)
		}
		p.Drain("a", false)
		time.Sleep(time.Second)
		if s := p.Status()[0]; s.State != "down" || since() != time.Second {
			t.Errorf("%s for %v; want down for a second", s.State, since())
		}
	})
}
