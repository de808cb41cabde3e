package backend

import (
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// named returns settings with endpoints that the test does not dial.
func named(names ...string) Settings {
	var s Settings
	for _, n := range names {
		s.Endpoints = append(s.Endpoints, Endpoint{Name: n, Network: "tcp", Address: "127.0.0.1:1"})
	}
	return s
}

// pool returns a pool with the settings s, changed by set.
func pool(s Settings, set ...func(*Settings)) *Pool {
	for _, f := range set {
		f(&s)
	}
	return New("app", s, nil)
}

func acquire(t testing.TB, p *Pool, n Need) *Lease {
	t.Helper()
	l, err := p.Acquire(t.Context(), n, &Tried{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// hold acquires n leases, and returns them by endpoint.
func hold(t testing.TB, p *Pool, n int, need Need) map[string][]*Lease {
	t.Helper()
	held := make(map[string][]*Lease)
	for range n {
		l := acquire(t, p, need)
		held[l.Endpoint()] = append(held[l.Endpoint()], l)
	}
	return held
}

// busy returns the load of each endpoint that has work.
func busy(p *Pool) map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := make(map[string]int)
	for _, e := range p.endpoints {
		if e.load() != 0 {
			counts[e.name] = e.load()
		}
	}
	return counts
}

func expect(t testing.TB, what string, got, want map[string]int) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s = %v; want %v", what, got, want)
	}
}

func TestAcquirePicksTheLeastBusyEndpoint(t *testing.T) {
	p := pool(named("a", "b", "c"))
	held := hold(t, p, 9, Need{})
	expect(t, "nine leases", busy(p), map[string]int{"a": 3, "b": 3, "c": 3})
	for _, l := range held["b"][:2] {
		l.Release()
	}
	for range 2 {
		if l := acquire(t, p, Need{Kind: Sessions}); l.Endpoint() != "b" || l.Backend() != "app" {
			t.Errorf("with %v busy the pick was %s of %s; want b of app", busy(p), l.Endpoint(), l.Backend())
		}
	}
}

func TestAcquireTakesTurnsOnTies(t *testing.T) {
	for _, b := range []Balance{LeastConnections, RoundRobin} {
		p := pool(named("a", "b", "c"), func(s *Settings) { s.Balance = b })
		picks := make(map[string]int)
		for range 300 {
			l := acquire(t, p, Need{})
			picks[l.Endpoint()]++
			l.Release()
		}
		expect(t, "300 requests one after the other", picks, map[string]int{"a": 100, "b": 100, "c": 100})
	}
}

func TestAcquireSkipsTriedEndpoints(t *testing.T) {
	for _, b := range []Balance{LeastConnections, RoundRobin, RandomTwo, Hash} {
		p := pool(named("a", "b", "c"), func(s *Settings) { s.Balance = b })
		tried := Tried{Began: time.Now()}
		var last error
		seen := make(map[string]bool)
		for range 3 {
			l, err := p.Acquire(t.Context(), Need{}, &tried)
			if err != nil || seen[l.Endpoint()] {
				t.Fatalf("Acquire = %v, %v after %v had failed", l, err, seen)
			}
			seen[l.Endpoint()] = true
			last = errors.New(l.Endpoint() + " is down")
			l.Fail(&tried, last)
		}
		if l, err := p.Acquire(t.Context(), Need{}, &tried); l != nil || err != last {
			t.Fatalf("Acquire when all were tried = %v, %v; want the last error, %v", l, err, last)
		}
		expect(t, "busy after every lease failed", busy(p), map[string]int{})
		acquire(t, p, Need{}) // another request has tried nothing
	}
}

func TestRetriesAreBounded(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	tests := []struct {
		name  string
		set   func(*Settings)
		began time.Time
		want  int // tries
	}{
		{"by default", func(*Settings) {}, time.Now(), 3},
		{"tries", func(s *Settings) { s.Retry.Tries = 5 }, time.Now(), 5},
		{"one try", func(s *Settings) { s.Retry.Tries = 1 }, time.Now(), 1},
		{"time", func(s *Settings) { s.Retry.Timeout = time.Minute }, time.Now().Add(-time.Hour), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := pool(named(names...), tt.set)
			tried, n := Tried{Began: tt.began}, 0
			for ; n <= len(names); n++ {
				l, err := p.Acquire(t.Context(), Need{}, &tried)
				if err != nil {
					break
				}
				l.Fail(&tried, io.EOF)
			}
			if n != tt.want {
				t.Errorf("%d tries; want %d", n, tt.want)
			}
		})
	}
}

// A lease knows that its try is the last one: then nothing is left to save time for.
func TestFinalTry(t *testing.T) {
	tests := []struct {
		name  string
		names []string
		set   func(*Settings)
		want  []bool // for each try
	}{
		{"one endpoint", []string{"a"}, func(*Settings) {}, []bool{true}},
		{"two endpoints", []string{"a", "b"}, func(*Settings) {}, []bool{false, true}},
		{"one and a backup", []string{"a", "b"}, func(s *Settings) { s.Endpoints[1].Backup = true }, []bool{false, true}},
		{"one, and a drained one", []string{"a", "b"}, func(s *Settings) { s.Endpoints[1].Drain = true }, []bool{true}},
		{"fewer tries than endpoints", []string{"a", "b", "c"}, func(s *Settings) { s.Retry.Tries = 2 }, []bool{false, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := pool(named(tt.names...), tt.set)
			tried := Tried{Began: time.Now()}
			for i, want := range tt.want {
				l, err := p.Acquire(t.Context(), Need{}, &tried)
				if err != nil || l.Final() != want {
					t.Fatalf("try %d is final: %v, %v; want %v", i, l.Final(), err, want)
				}
				l.Fail(&tried, io.EOF)
			}
		})
	}
}

// A backend where everything fails does not get three times as many requests.
func TestRetryBudget(t *testing.T) {
	p := pool(named("a", "b", "c"), func(s *Settings) { s.Retry.Budget = 0.1 })
	const requests = 1000
	tries := 0
	for range requests {
		tried := Tried{Began: time.Now()}
		for {
			l, err := p.Acquire(t.Context(), Need{}, &tried)
			if err != nil {
				break
			}
			tries++
			l.Fail(&tried, io.EOF)
		}
	}
	if most := requests + requests/10 + firstRetries + retriesPerSecond; tries > most || tries < requests+requests/10 {
		t.Errorf("%d requests that fail took %d tries; want a tenth more and a few", requests, tries)
	}
}

func TestASecondReleaseDoesNothing(t *testing.T) {
	p := pool(named("a"))
	l, other := acquire(t, p, Need{}), acquire(t, p, Need{Kind: Sessions})
	l.Release()
	l.Release()
	l.Fail(&Tried{}, io.EOF)
	expect(t, "busy after one of two leases was released three times", busy(p), map[string]int{"a": 1})
	other.Release()
	expect(t, "busy", busy(p), map[string]int{})
}

// Counts are exact, whatever happens at the same time.
func TestCountsReturnToZero(t *testing.T) {
	one, two := named("a", "b", "c", "d"), named("b", "c", "x")
	two.Balance = Hash
	one.Queue.Length, two.Queue.Length = 100, 100
	for i := range one.Endpoints {
		one.Endpoints[i].MaxRequests = 3
	}
	p := pool(one)
	var running sync.WaitGroup
	for g := range 8 {
		running.Go(func() {
			for i := range 500 {
				tried := Tried{Began: time.Now()}
				for {
					l, err := p.Acquire(t.Context(), Need{Kind: Kind(i % 2), Hash: uint64(i)}, &tried)
					if err != nil {
						break
					}
					if (g+i)%3 == 0 {
						l.Fail(&tried, io.EOF)
						continue
					}
					var ends sync.WaitGroup // both sides of a session may release the lease
					ends.Go(l.Release)
					ends.Go(l.Release)
					ends.Wait()
					break
				}
			}
		})
	}
	running.Go(func() {
		for i := range 100 {
			p.Configure([]Settings{one, two}[i%2])
			p.Drain("b", i%4 == 0)
			p.Drain("b", false)
		}
	})
	running.Wait()
	expect(t, "busy", busy(p), map[string]int{})
	if p.load != 0 || p.waiting[0].Len()+p.waiting[1].Len() != 0 {
		t.Errorf("load %d, %d waiting; want none", p.load, p.waiting[0].Len()+p.waiting[1].Len())
	}
}

func TestCountsSurviveConfigure(t *testing.T) {
	p := pool(named("a", "b"))
	held := hold(t, p, 10, Need{Kind: Sessions})
	p.Configure(named("b", "c"))
	expect(t, "busy after c took the place of a", busy(p), map[string]int{"a": 5, "b": 5})
	hold(t, p, 5, Need{Kind: Sessions})
	expect(t, "busy after five more", busy(p), map[string]int{"a": 5, "b": 5, "c": 5})
	p.Configure(named("a", "b", "c"))
	for _, l := range held["a"][1:] {
		l.Release()
	}
	again := hold(t, p, 4, Need{Kind: Sessions})["a"]
	expect(t, "busy after a came back, lost four and got four", busy(p), map[string]int{"a": 5, "b": 5, "c": 5})
	p.Configure(named("b"))
	for _, l := range append(held["a"], again...) {
		l.Release()
	}
	if len(p.endpoints) != 2 { // b, and c with its five; a has no work left
		t.Errorf("%d endpoints are remembered; want 2", len(p.endpoints))
	}
}

func TestBackupsStandBy(t *testing.T) {
	s := named("a", "b", "backup")
	s.Endpoints[2].Backup = true
	p := pool(s)
	hold(t, p, 4, Need{})
	expect(t, "with both up", busy(p), map[string]int{"a": 2, "b": 2})
	p.Drain("a", true)
	acquire(t, p, Need{})
	expect(t, "with one up", busy(p), map[string]int{"a": 2, "b": 3})
	tried := Tried{Began: time.Now()}
	l, _ := p.Acquire(t.Context(), Need{}, &tried)
	l.Fail(&tried, io.EOF)
	if l, err := p.Acquire(t.Context(), Need{}, &tried); err != nil || l.Endpoint() != "backup" {
		t.Errorf("Acquire after b was tried = %v, %v; want the backup", l, err)
	}
	p.Drain("b", true)
	if l := acquire(t, p, Need{}); l.Endpoint() != "backup" {
		t.Errorf("with none up the pick was %s; want the backup", l.Endpoint())
	}
	p.Drain("a", false)
	if l := acquire(t, p, Need{}); l.Endpoint() != "a" {
		t.Errorf("with a up again the pick was %s; want a", l.Endpoint())
	}
}

// A backup gets no work while an endpoint is up but full.
func TestAFullEndpointIsNotDown(t *testing.T) {
	s := named("a", "backup")
	s.Endpoints[0].MaxRequests, s.Endpoints[1].Backup = 1, true
	p := pool(s)
	acquire(t, p, Need{})
	l, err := p.Acquire(t.Context(), Need{}, &Tried{})
	var u *UnavailableError
	if !errors.As(err, &u) || !u.Full || u.Backend != "app" || u.RetryAfter < time.Second {
		t.Fatalf("Acquire = %v, %v; want an UnavailableError that says full", l, err)
	}
	acquire(t, p, Need{Kind: Sessions}) // their number is not limited
}

func TestLimitsPerEndpoint(t *testing.T) {
	s := named("a", "b", "c")
	for i, most := range []int{1, 3, 0} {
		s.Endpoints[i].MaxSessions = most
	}
	for _, b := range []Balance{LeastConnections, RoundRobin, RandomTwo, Hash} {
		s.Balance = b
		p := pool(s)
		for i := range 100 {
			acquire(t, p, Need{Kind: Sessions, Hash: uint64(i)})
			if got := busy(p); got["a"] > 1 || got["b"] > 3 {
				t.Fatalf("balance %d: busy = %v; want at most 1 at a and 3 at b", b, got)
			}
		}
		if got := busy(p); got["a"] != 1 || got["b"] != 3 || got["c"] != 96 {
			t.Errorf("balance %d: 100 sessions are spread as %v; want 1, 3 and the rest", b, got)
		}
	}
}

func TestDrainedEndpointsGetNothing(t *testing.T) {
	s := named("a", "b")
	s.Endpoints[0].Drain = true
	p := pool(s)
	first := acquire(t, p, Need{})
	if first.Endpoint() != "b" || p.Drain("nowhere", true) || !p.Drain("b", true) {
		t.Fatalf("the first pick was %s; want b, and that b can be drained", first.Endpoint())
	}
	if draining, _ := first.Draining(); !draining {
		t.Error("Draining of a lease of b = false; want true")
	}
	if _, err := p.Acquire(t.Context(), Need{Sticky: first.ID()}, &Tried{}); err == nil || err.Error() != "backend app: no endpoint is up" {
		t.Errorf("Acquire with both drained = %v; want that no endpoint is up", err)
	}
	p.Drain("b", false)
	p.Drain("a", false) // the settings still drain it
	expect(t, "four more", map[string]int{"b": len(hold(t, p, 4, Need{})["b"])}, map[string]int{"b": 4})
}

func TestStickyWorkStays(t *testing.T) {
	p := pool(named("a", "b", "c"))
	l := acquire(t, p, Need{})
	for range 10 {
		if o := acquire(t, p, Need{Sticky: l.ID()}); o.Endpoint() != l.Endpoint() {
			t.Fatalf("the pick was %s; want %s", o.Endpoint(), l.Endpoint())
		}
	}
	if again := acquire(t, pool(named("x", l.Endpoint())), Need{Sticky: l.ID()}); again.Endpoint() != l.Endpoint() {
		t.Error("the sticky pick in another pool is another endpoint; want the same")
	}
	p.Drain(l.Endpoint(), true)
	if o := acquire(t, p, Need{Sticky: l.ID()}); o.Endpoint() == l.Endpoint() {
		t.Error("the pick is an endpoint that drains; want another")
	}
	acquire(t, p, Need{Sticky: 12345}) // no endpoint has this ID
}

func TestStatus(t *testing.T) {
	s := named("a", "b", "c")
	s.Endpoints[1].Drain, s.Endpoints[2].Backup, s.Endpoints[0].Weight = true, true, 7
	p := pool(s)
	acquire(t, p, Need{Kind: Sessions})
	want := []Status{
		{Backend: "app", Endpoint: "a", State: "up", Sessions: 1, Weight: 7},
		{Backend: "app", Endpoint: "b", State: "draining", Weight: 1},
		{Backend: "app", Endpoint: "c", State: "up", Standby: true, Weight: 1},
	}
	if got := p.Status(); !slices.Equal(got, want) {
		t.Errorf("Status() = %+v; want %+v", got, want)
	}
}
