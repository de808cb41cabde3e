package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"sluice/internal/wstest"
)

func ip(s string) wstest.Record { return wstest.Record{IP: netip.MustParseAddr(s), TTL: 20} }

func srv(target string, port, priority, weight uint16) wstest.Record {
	return wstest.Record{Target: target, Port: port, Priority: priority, Weight: weight, TTL: 20}
}

func TestLookup(t *testing.T) {
	d := wstest.NewDNS(t)
	d.Set("one.test", ip("10.0.0.1"))
	d.Set("dual.test", ip("10.0.0.1"), ip("2001:db8::1"))
	d.Set("three.test", ip("10.0.0.3"), ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.1"))
	d.Set("mixed.test", ip("10.0.0.1"), ip("10.0.0.2"), ip("2001:db8::1"))
	d.Set("short.test", wstest.Record{IP: netip.MustParseAddr("10.0.0.1"), TTL: 7}, ip("10.0.0.2"))
	d.Set("_ws._tcp.test", srv("three.test.", 1, 20, 3), srv("one.test.", 2, 10, 5), srv("dual.test.", 3, 10, 0))
	d.Set("_part._tcp.test", srv("none.test.", 1, 10, 1), srv("one.test.", 2, 20, 1))
	d.Set("_none._tcp.test", srv("none.test.", 1, 10, 1))
	d.Set("empty.test")
	var crowd []wstest.Record
	for i := range 300 {
		crowd = append(crowd, ip(fmt.Sprintf("10.1.%d.%d", i/256, i%256)))
	}
	d.Set("crowd.test", crowd...)
	tests := []struct {
		network, address string
		want             []string // first and second address, weight and rank
		ttl              time.Duration
	}{
		{"tcp", "one.test:80", []string{"10.0.0.1:80  0 0"}, 20 * time.Second},
		{"tcp", "dual.test:80", []string{"[2001:db8::1]:80 10.0.0.1:80 0 0"}, 20 * time.Second},
		{"tcp", "three.test:80", []string{"10.0.0.1:80  0 0", "10.0.0.2:80  0 0", "10.0.0.3:80  0 0"}, 20 * time.Second},
		{"tcp", "mixed.test:80", []string{"10.0.0.1:80  0 0", "10.0.0.2:80  0 0", "[2001:db8::1]:80  0 0"}, 20 * time.Second},
		{"tcp", "short.test:80", []string{"10.0.0.1:80  0 0", "10.0.0.2:80  0 0"}, 7 * time.Second},
		{"srv", "_ws._tcp.test", []string{
			"[2001:db8::1]:3 10.0.0.1:3 1 0", "10.0.0.1:2  5 0",
			"10.0.0.1:1  1 1", "10.0.0.2:1  1 1", "10.0.0.3:1  1 1",
		}, 20 * time.Second},
		{"srv", "_part._tcp.test", []string{"10.0.0.1:2  1 1"}, 20 * time.Second},
		{"srv", "_none._tcp.test", nil, 0},
		{"srv", "_nothing._tcp.test", nil, 0},
		{"tcp", "none.test:80", nil, 0},
		{"tcp", "empty.test:80", nil, 0},
		{"tcp", "crowd.test:80", nil, -1},
	}
	for _, stream := range []bool{false, true} {
		if stream {
			d.Truncate()
		}
		for _, tt := range tests {
			t.Run(fmt.Sprint(tt.address, " ", stream), func(t *testing.T) {
				e := Endpoint{Name: "e", Network: tt.network, Address: tt.address}
				targets, ttl, err := DNS{Server: d.Address, MaxTTL: time.Hour}.lookup(t.Context(), &e)
				if tt.ttl < 0 {
					if len(targets) != maxTargets || err != nil {
						t.Errorf("lookup = %d targets, %v; want %d", len(targets), err, maxTargets)
					}
					return
				}
				var got []string
				for _, o := range targets {
					got = append(got, fmt.Sprintf("%s %s %v %d", o.first, o.second, o.weight, o.rank))
				}
				slices.Sort(got)
				want := slices.Sorted(slices.Values(tt.want))
				if !slices.Equal(got, want) || ttl != tt.ttl || (err == nil) != (tt.want != nil) {
					t.Errorf("lookup(%s) = %q for %v, %v; want %q for %v", tt.address, got, ttl, err, want, tt.ttl)
				}
			})
		}
	}
}

// until waits for a pool to have some endpoints.
func until(t *testing.T, p *Pool, want ...string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	guard := time.After(wstest.Guard)
	for {
		var got []string
		for _, s := range p.Status() {
			got = append(got, s.Endpoint)
		}
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-tick.C:
		case <-guard:
			t.Fatalf("the endpoints are %q, want %q", got, want)
		}
	}
}

func TestNamesAreLookedUpAgain(t *testing.T) {
	d := wstest.NewDNS(t)
	d.Set("app.test", ip("127.0.0.1"))
	told := make(chan Event, 100)
	s := Settings{
		Endpoints: []Endpoint{{Name: "app.test:1", Network: "tcp", Address: "app.test:1"}, {Name: "127.0.0.9:1", Network: "tcp", Address: "127.0.0.9:1"}},
		DNS:       DNS{Server: d.Address, MinTTL: 10 * time.Millisecond, MaxTTL: 20 * time.Millisecond},
	}
	p := New("app", s, func(e Event) { told <- e })
	until(t, p, "127.0.0.9:1") // nobody else knows the name
	run(t, p)
	until(t, p, "app.test:1 (127.0.0.1:1)", "127.0.0.9:1")
	held := hold(t, p, 4, Need{Kind: Sessions})
	d.Set("app.test", ip("127.0.0.1"), ip("127.0.0.2"))
	until(t, p, "app.test:1 (127.0.0.1:1)", "app.test:1 (127.0.0.2:1)", "127.0.0.9:1")
	hold(t, p, 2, Need{Kind: Sessions})
	expect(t, "busy", busy(p), map[string]int{"app.test:1 (127.0.0.1:1)": 2, "app.test:1 (127.0.0.2:1)": 2, "127.0.0.9:1": 2})
	d.Set("app.test", ip("127.0.0.2"))
	until(t, p, "app.test:1 (127.0.0.2:1)", "127.0.0.9:1")
	if l := held["app.test:1 (127.0.0.1:1)"][0]; !p.Has(l.Endpoint()) {
		t.Error("what DNS no longer has is not the backend's any more, though it may work")
	}
	d.Break(true)
	asked := d.Asked("app.test")
	for d.Asked("app.test") < asked+6 { // three lookups at least
		<-time.After(time.Millisecond)
	}
	until(t, p, "app.test:1 (127.0.0.2:1)", "127.0.0.9:1")
	e := <-told
	if e.Endpoint != "app.test:1" || !strings.Contains(e.What, "last answer stays") || e.Err == nil || len(told) > 0 {
		t.Errorf("told %+v and %d more, want one failure", e, len(told))
	}
	d.Set("app.test", ip("127.0.0.1"))
	d.Break(false)
	until(t, p, "app.test:1 (127.0.0.1:1)", "127.0.0.9:1")
	expect(t, "busy at the end", busy(p), map[string]int{"app.test:1 (127.0.0.1:1)": 2, "app.test:1 (127.0.0.2:1)": 2, "127.0.0.9:1": 2})
}

// Services have no address before the first answer: who comes early waits for it.
func TestServicesByPriority(t *testing.T) {
	d := wstest.NewDNS(t)
	d.Set("_ws._tcp.test", srv("a.test.", 1, 10, 3), srv("b.test.", 2, 10, 1), srv("c.test.", 3, 20, 1))
	for i, name := range []string{"a.test", "b.test", "c.test"} {
		d.Set(name, ip(fmt.Sprint("127.0.0.", i+1)))
	}
	p := New("app", Settings{
		Endpoints: []Endpoint{{Name: "srv:x", Network: "srv", Address: "_ws._tcp.test"}}, DNS: DNS{Server: d.Address}, SlowStart: time.Hour,
	}, nil)
	early := make(chan error, 1)
	go func() {
		l, err := p.Acquire(t.Context(), Need{}, &Tried{})
		if err == nil {
			l.Release()
		}
		early <- err
	}()
	run(t, p)
	if err := <-early; err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	if p.warming() {
		t.Error("the first there are begin slowly")
	}
	p.mu.Unlock()
	hold(t, p, 40, Need{Kind: Sessions})
	expect(t, "40 sessions", busy(p), map[string]int{"srv:x (127.0.0.1:1)": 30, "srv:x (127.0.0.2:2)": 10})
	p.Drain("srv:x (127.0.0.1:1)", true)
	p.Drain("srv:x (127.0.0.2:2)", true)
	if l := acquire(t, p, Need{}); l.Endpoint() != "srv:x (127.0.0.3:3)" {
		t.Errorf("the pick was %s, want the one of the next priority", l.Endpoint())
	}

	none := New("app", Settings{Endpoints: []Endpoint{{Name: "srv:y", Network: "srv", Address: "_y._tcp.test"}}, DNS: DNS{Server: d.Address}}, nil)
	run(t, none)
	var u *UnavailableError
	if _, err := none.Acquire(t.Context(), Need{}, &Tried{}); !errors.As(err, &u) || u.Full {
		t.Errorf("Acquire without records = %v, want that nothing is up", err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	unasked := New("app", Settings{Endpoints: none.settings.Endpoints}, nil)
	if _, err := unasked.Acquire(gone, Need{}, &Tried{}); err == nil || err.Error() != "gone" {
		t.Errorf("Acquire with a context that has ended = %v", err)
	}
}

// response packs answers with TTLs in seconds.
func response(t testing.TB, ttls ...uint32) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}}
	for _, ttl := range ttls {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("a.test."), Class: dnsmessage.ClassINET, TTL: ttl},
			Body:   &dnsmessage.AResource{},
		})
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessageTTL(t *testing.T) {
	whole := response(t, 30, 10, 20)
	tests := map[string]struct {
		in   []byte
		want time.Duration
		ok   bool
	}{
		"the least":           {whole, 10 * time.Second, true},
		"none":                {response(t), 0, false},
		"zero":                {response(t, 5, 0), 0, true},
		"cut":                 {whole[:len(whole)-1], 0, false},
		"empty":               {nil, 0, false},
		"a question":          {append([]byte{0, 1, 0}, whole[3:]...), 0, false},
		"negative (RFC 2181)": {response(t, 1<<31|5), 5 * time.Second, true},
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		tt := tests[name]
		if got, ok := messageTTL(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("%s: messageTTL = %v, %v; want %v, %v", name, got, ok, tt.want, tt.ok)
		}
	}
}

// A TTL is that of some answer which the message really has.
func FuzzMessageTTL(f *testing.F) {
	f.Add(response(f))
	f.Add(response(f, 1, 2, 3))
	f.Add(response(f, 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		ttl, ok := messageTTL(b)
		var m dnsmessage.Message
		if !ok || m.Unpack(b) != nil {
			return
		}
		if !slices.ContainsFunc(m.Answers, func(r dnsmessage.Resource) bool {
			return time.Duration(r.Header.TTL&^(1<<31))*time.Second == ttl
		}) {
			t.Fatalf("messageTTL(%q) = %v, which no answer has", b, ttl)
		}
	})
}
