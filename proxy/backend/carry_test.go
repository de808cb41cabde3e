package backend

import (
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/internal/codec"
	"sluice/proxy/backend/dns"
)

// carried returns a pool with settings that has read what another one has written down.
func carried(t *testing.T, from *Pool, s Settings) *Pool {
	t.Helper()
	w := codec.Writer(make([]byte, 0, 1<<20))
	if from.Carry(w); w.End() != nil {
		t.Fatal(w.Err())
	}
	to := New(from.name, s, nil)
	r := codec.Reader(w.Written())
	if to.Carry(r); r.End() != nil {
		t.Fatal(r.Err())
	}
	return to
}

// stateOf returns the state of an endpoint as operators see it, "" if there is none.
func (p *Pool) stateOf(name string) string {
	for _, s := range p.Status() {
		if s.Endpoint == name {
			return s.State
		}
	}
	return ""
}

func TestWhatAPoolHasLearnedGoesOn(t *testing.T) {
	s := Settings{
		Endpoints: []Endpoint{{Name: "a:1", Network: "tcp", Address: "192.0.2.1:1"}, {Name: "b:1", Network: "tcp", Address: "192.0.2.2:1"}, {Name: "c:1", Network: "tcp", Address: "192.0.2.3:1"}},
		Passive:   Passive{Failures: 1, Window: time.Hour, Eject: time.Hour, MaxEject: time.Hour},
	}
	p := New("app", s, nil)
	p.Drain("c:1", true)
	var l Lease
	if !p.TryAcquire(&l, Need{Kind: Sessions}, &Tried{}) {
		t.Fatal("no endpoint")
	}
	ejected := l.Endpoint()
	l.Report(&Tried{}, errors.New("it has failed"))
	l.Release()
	if p.stateOf(ejected) == "up" {
		t.Fatalf("%s is up after its failure", ejected)
	}
	gone := slices.DeleteFunc(slices.Clone(s.Endpoints), func(e Endpoint) bool { return e.Name == "c:1" })
	for name, settings := range map[string]Settings{"the same settings": s, "without one": {Endpoints: gone, Passive: s.Passive}} {
		t.Run(name, func(t *testing.T) {
			to := carried(t, p, settings)
			for _, e := range settings.Endpoints {
				if got, want := to.stateOf(e.Name), p.stateOf(e.Name); got != want {
					t.Errorf("%s is %s; want %s", e.Name, got, want)
				}
			}
		})
	}
}

// A name that has an answer needs no other one before it is used.
func TestAnswersOfDNSGoOn(t *testing.T) {
	s := Settings{Endpoints: []Endpoint{{Name: "_ws._tcp.app.test", Network: "srv", Address: "_ws._tcp.app.test"}}}
	p := New("app", s, nil)
	p.mu.Lock()
	p.names["_ws._tcp.app.test"].targets = []target{{"_ws._tcp.app.test (192.0.2.1:80)", "tcp", dns.Target{
		Address: "192.0.2.1:80", Authority: "one.app.test:80", Host: "one.app.test", Weight: 2.5, Rank: 1,
	}}}
	p.reconcile(time.Now())
	p.mu.Unlock()
	to := carried(t, p, s)
	l := to.Resume("_ws._tcp.app.test (192.0.2.1:80)", "_ws._tcp.app.test")
	if l == nil || l.Authority() != "one.app.test:80" || l.Configured() != "_ws._tcp.app.test" {
		t.Fatalf("Resume() = %+v; want a lease of the host that the name stands for", l)
	}
	if st := to.Status(); len(st) != 1 || st[0].Sessions != 1 {
		t.Errorf("the pool has %+v; want one session", st)
	}
	l.Release()
}

// A session at an address that its name does not stand for any more goes on, and the address gets no other work.
func TestSessionsAtFormerAddressesGoOn(t *testing.T) {
	const name = "app.test:80"
	p := New("app", Settings{Endpoints: []Endpoint{{Name: name, Network: "tcp", Address: name}}}, nil)
	answer := func(address string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.names[name].targets = []target{{name + " (" + address + ")", "tcp", dns.Target{Address: address, Authority: name}}}
		p.reconcile(time.Now())
	}
	answer("192.0.2.1:80")
	former, now := name+" (192.0.2.9:80)", name+" (192.0.2.1:80)"
	l := p.Resume(former, name)
	if l == nil || l.Endpoint() != former {
		t.Fatalf("Resume() = %+v; want a lease of the address", l)
	}
	for range 10 {
		var other Lease
		if !p.TryAcquire(&other, Need{Kind: Sessions}, &Tried{}) || other.Endpoint() != now {
			t.Fatalf("work goes to %s; want %s", other.Endpoint(), now)
		}
		other.Release()
	}
	p.Configure(p.settings) // it has no part in what comes later
	l.Release()
	if len(p.endpoints) != 1 {
		t.Errorf("%d endpoints are kept; want the current one", len(p.endpoints))
	}
	l = p.Resume(former, name)
	answer("192.0.2.9:80")
	if st := p.Status(); len(st) != 1 || st[0].Endpoint != former || st[0].Sessions != 1 {
		t.Errorf("the pool has %+v; want the address that is one again, with its session", st)
	}
	l.Release()
	if p.Resume("b:1", "b:1") != nil {
		t.Error("there is a lease of an endpoint that is not configured")
	}
}

// An address that comes back gets its share again, although a session of another process is there.
func TestFormerAddressesThatComeBackGetTheirShare(t *testing.T) {
	const name = "app.test:80"
	at := func(address string) target {
		return target{name + " (" + address + ")", "tcp", dns.Target{Address: address, Authority: name}}
	}
	p := New("app", Settings{Balance: RoundRobin, Endpoints: []Endpoint{{Name: name, Network: "tcp", Address: name}}}, nil)
	answer := func(targets ...target) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.names[name].targets = targets
		p.reconcile(time.Now())
	}
	one, two := at("192.0.2.1:80"), at("192.0.2.2:80")
	answer(one)
	defer p.Resume(two.name, name).Release()
	answer(one, two)
	work := make(map[string]int)
	for range 100 {
		var l Lease
		if !p.TryAcquire(&l, Need{Kind: Requests}, &Tried{}) {
			t.Fatal("no endpoint")
		}
		work[l.Endpoint()]++
		l.Release()
	}
	if n := work[two.name]; n < 45 || n > 55 {
		t.Errorf("%d of 100 requests go to the address that has come back; want about half: %v", n, work)
	}
}

// What a name stood for in the other process are no endpoints that have just been added.
func TestCarriedAddressesDoNotJoin(t *testing.T) {
	const name = "app.test:80"
	s := Settings{Endpoints: []Endpoint{{Name: name, Network: "tcp", Address: name}}, SlowStart: time.Hour}
	p := New("app", s, nil)
	p.mu.Lock()
	p.names[name].targets = []target{{name + " (192.0.2.1:80)", "tcp", dns.Target{Address: "192.0.2.1:80", Authority: name}}, {name + " (192.0.2.2:80)", "tcp", dns.Target{Address: "192.0.2.2:80", Authority: name}}}
	p.reconcile(time.Now())
	p.mu.Unlock()
	to := carried(t, p, s)
	if len(to.current) != 2 || to.uneven {
		t.Errorf("%d endpoints, uneven %t; want 2 and false", len(to.current), to.uneven)
	}
	for _, e := range to.current {
		if !e.joined.IsZero() {
			t.Errorf("%s has joined", e.name)
		}
	}
}

// FuzzCarry states that a pool takes any input without a panic, and writes down what it has taken.
func FuzzCarry(f *testing.F) {
	s := Settings{Endpoints: []Endpoint{{Name: "a:1", Network: "tcp", Address: "192.0.2.1:1"}}}
	p := New("app", s, nil)
	w := codec.Writer(make([]byte, 0, 1<<20))
	p.Carry(w)
	f.Add(w.Written())
	f.Fuzz(func(t *testing.T, b []byte) {
		p := New("app", s, nil)
		c := codec.Reader(b)
		if p.Carry(c); c.Err() != nil {
			return
		}
		w := codec.Writer(make([]byte, 0, 1<<20+2*len(b)))
		if p.Carry(w); w.End() != nil {
			t.Fatalf("what was read cannot be written: %v", w.End())
		}
	})
}
