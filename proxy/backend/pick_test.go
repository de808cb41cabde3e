package backend

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// many returns settings with n endpoints and their weights.
func many(n int, weight func(i int) int) Settings {
	var s Settings
	for i := range n {
		s.Endpoints = append(s.Endpoints, Endpoint{Name: fmt.Sprint("e", i), Network: "tcp", Address: "127.0.0.1:1", Weight: weight(i)})
	}
	return s
}

func equally(int) int { return 1 }

// Long sessions are spread by weight, whatever Balance is.
func TestSessionsAreSpreadByWeight(t *testing.T) {
	weights := []int{1, 2, 3, 4}
	tests := []struct {
		name    string
		balance Balance
		within  float64 // of the fair share
	}{
		{"least connections", LeastConnections, 0.001},
		{"round robin", RoundRobin, 0.001},
		{"random two", RandomTwo, 0.05},
		{"hash", Hash, hashFactor - 1 + 0.02},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := many(len(weights), func(i int) int { return weights[i] })
			s.Balance = tt.balance
			p := pool(s)
			const sessions = 10000
			for i := range sessions {
				acquire(t, p, Need{Kind: Sessions, Hash: HashOf(strconv.Itoa(i))})
			}
			got := busy(p)
			for i, w := range weights {
				fair := float64(sessions * w / 10)
				if n := float64(got[fmt.Sprint("e", i)]); n < fair*(1-2*tt.within)-1 || n > fair*(1+tt.within)+hashSlack {
					t.Errorf("%d sessions are spread as %v; want %v at e%d, within a share of %v", sessions, got, fair, i, tt.within)
				}
			}
		})
	}
}

// As in a deployment: three endpoints, then a fourth.
func TestTenThousandSessions(t *testing.T) {
	p := pool(many(3, equally))
	hold(t, p, 10_000, Need{Kind: Sessions})
	expect(t, "10,000 sessions", busy(p), map[string]int{"e0": 3334, "e1": 3333, "e2": 3333})
	p.Configure(many(4, equally))
	hold(t, p, 3333, Need{Kind: Sessions})
	expect(t, "with 3,333 more and a fourth", busy(p), map[string]int{"e0": 3334, "e1": 3333, "e2": 3333, "e3": 3333})
	hold(t, p, 3, Need{Kind: Sessions})
	expect(t, "with three more", busy(p), map[string]int{"e0": 3334, "e1": 3334, "e2": 3334, "e3": 3334})
}

// In round robin an endpoint that joins does not catch up on the others.
func TestAJoiningEndpointTakesTurns(t *testing.T) {
	s := many(3, equally)
	s.Balance = RoundRobin
	p := pool(s)
	hold(t, p, 300, Need{})
	s = many(4, equally)
	s.Balance = RoundRobin
	p.Configure(s)
	hold(t, p, 40, Need{})
	expect(t, "300 and, with a fourth, 40 more", busy(p), map[string]int{"e0": 110, "e1": 110, "e2": 110, "e3": 10})
}

// The heap finds what a search of all endpoints finds, after any history.
func TestPickIsTheBestOfAll(t *testing.T) {
	for _, b := range []Balance{LeastConnections, RoundRobin} {
		r := rand.New(rand.NewPCG(1, uint64(b)))
		s := many(20, func(i int) int { return 1 + i%3 })
		s.Balance = b
		p := pool(s)
		var held []*Lease
		for step := range 20000 {
			switch k := r.IntN(100); {
			case k == 0:
				p.Drain(fmt.Sprint("e", r.IntN(20)), r.IntN(2) == 0)
			case k < 40 && len(held) > 0:
				i := r.IntN(len(held))
				held[i].Release()
				held[i] = held[len(held)-1]
				held = held[:len(held)-1]
			default:
				if len(p.ready) == 0 {
					continue
				}
				want, _ := p.search(Need{}, &Tried{})
				got, _ := p.pick(Need{}, &Tried{})
				if got != want {
					t.Fatalf("step %d: picked %s with key %v; want %s with key %v", step, got.name, p.key(got), want.name, p.key(want))
				}
				held = append(held, acquire(t, p, Need{Kind: Kind(r.IntN(2))}))
			}
		}
		for _, l := range held {
			l.Release()
		}
		expect(t, "busy at the end", busy(p), map[string]int{})
	}
}

// Equal hashes get the same endpoint, and only hashes move that have to.
func TestHashIsConsistent(t *testing.T) {
	const keys, endpoints = 10000, 10
	picks := func(p *Pool) []string {
		all := make([]string, keys)
		for i := range all {
			l := acquire(t, p, Need{Hash: HashOf(strconv.Itoa(i))})
			all[i] = l.Endpoint()
			l.Release()
		}
		return all
	}
	hashed := func(n int) Settings { s := many(n, equally); s.Balance = Hash; return s }
	p := pool(hashed(endpoints))
	before := picks(p)
	counts := make(map[string]int)
	for i, e := range picks(pool(hashed(endpoints))) {
		counts[e]++
		if e != before[i] {
			t.Fatal("another pool with the same endpoints picks differently")
		}
	}
	for e, n := range counts {
		if n < keys/endpoints/2 || n > keys/endpoints*2 {
			t.Errorf("%d of %d keys get %s; want a tenth, within a factor of 2", n, keys, e)
		}
	}
	p.Configure(hashed(endpoints + 1))
	moved := 0
	for i, e := range picks(p) {
		if e != before[i] {
			moved++
			if e != "e10" {
				t.Fatalf("key %d moved from %s to %s when e10 joined", i, before[i], e)
			}
		}
	}
	if fair := keys / (endpoints + 1); moved < fair/2 || moved > 2*fair {
		t.Errorf("%d of %d keys moved to an eleventh endpoint; want about %d", moved, keys, fair)
	}
	p.Configure(hashed(endpoints))
	p.Drain("e3", true)
	for i, e := range picks(p) {
		if (before[i] != e) != (before[i] == "e3") {
			t.Fatalf("key %d moved from %s to %s when e3 was drained", i, before[i], e)
		}
	}
}

// One hash cannot bring all the work to one endpoint.
func TestHashIsBounded(t *testing.T) {
	s := many(4, equally)
	s.Balance = Hash
	p := pool(s)
	for n := 1; n <= 4000; n++ {
		acquire(t, p, Need{Kind: Sessions, Hash: 7})
		for e, load := range busy(p) {
			if float64(load) > hashFactor*float64(n)/4+hashSlack+1 {
				t.Fatalf("%s has %d of %d sessions of four endpoints; want at most its bound", e, load, n)
			}
		}
	}
	if few := pool(s); len(hold(t, few, hashSlack, Need{Hash: 7})) != 1 {
		t.Error("a few requests with one hash get several endpoints; want one")
	}
}

func TestAPickAllocatesNothing(t *testing.T) {
	for _, b := range []Balance{LeastConnections, RoundRobin, RandomTwo, Hash} {
		s := many(1000, equally)
		s.Balance = b
		p := pool(s)
		tried := Tried{Began: time.Now()}
		pick := func() {
			e, _ := p.pick(Need{Hash: rand.Uint64()}, &tried)
			p.assign(e, Requests)
			p.unassign(e, Requests)
		}
		if n := testing.AllocsPerRun(1000, pick); n != 0 {
			t.Errorf("balance %d: a pick makes %v allocations; want none", b, n)
		}
		if n := testing.AllocsPerRun(1000, func() { l, _ := p.Acquire(t.Context(), Need{}, &tried); l.Release() }); n > 1 {
			t.Errorf("balance %d: Acquire makes %v allocations; want 1 for the lease", b, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, balance := range []struct {
		name string
		Balance
	}{{"least_connections", LeastConnections}, {"round_robin", RoundRobin}, {"random_two", RandomTwo}, {"hash", Hash}} {
		b.Run(balance.name, func(b *testing.B) {
			s := many(1000, equally)
			s.Balance = balance.Balance
			p := pool(s)
			for i := range 10000 { // sessions that stay
				acquire(b, p, Need{Kind: Sessions, Hash: uint64(i)})
			}
			tried := Tried{}
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				p.mu.Lock()
				e, _ := p.pick(Need{Hash: i}, &tried)
				p.assign(e, Requests)
				p.mu.Unlock()
				p.unassign(e, Requests)
			}
		})
	}
}
