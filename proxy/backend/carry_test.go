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
	l := to.Resume("_ws._tcp.app.test (192.0.2.1:80)")
	if l == nil || l.Authority() != "one.app.test:80" || l.Configured() != "_ws._tcp.app.test" {
		t.Fatalf("Resume() = %+v; want a lease of the host that the name stands for", l)
	}
	if st := to.Status(); len(st) != 1 || st[0].Sessions != 1 {
		t.Errorf("the pool has %+v; want one session", st)
	}
	l.Release()
	if to.Resume("_ws._tcp.app.test (192.0.2.2:80)") != nil {
		t.Error("there is a lease of an endpoint that there is not")
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
