package backend

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/wstest"
)

func ip(s string) wstest.Record { return wstest.Record{IP: netip.MustParseAddr(s), TTL: 20} }

func srv(target string, port, priority, weight uint16) wstest.Record {
	return wstest.Record{Target: target, Port: port, Priority: priority, Weight: weight, TTL: 20}
}

// waitForEndpoints waits until the pool has the endpoints.
func waitForEndpoints(t *testing.T, p *Pool, want ...string) {
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
			t.Fatalf("the endpoints are %q; want %q", got, want)
		}
	}
}

// A backend whose only name has no answer yet is waited for: 10 seconds, or until the
// caller's time is up.
func TestTheFirstAnswerIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool(Settings{Endpoints: []Endpoint{{Name: "app.test", Network: "srv", Address: "app.test"}}})
		began := time.Now()
		_, err := p.Acquire(t.Context(), Need{Kind: Sessions}, &Tried{})
		if none, ok := errors.AsType[*UnavailableError](err); !ok || time.Since(began) != 10*time.Second {
			t.Errorf("Acquire = %v (%+v) after %v; want an UnavailableError after 10s", err, none, time.Since(began))
		}
		slow := errors.New("too slow")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, slow)
		defer cancel()
		if _, err := p.Acquire(ctx, Need{Kind: Sessions}, &Tried{}); err != slow {
			t.Errorf("Acquire = %v; want the cause of its context", err)
		}
	})
}

func TestNamesAreLookedUpAgain(t *testing.T) {
	d := wstest.NewDNS(t)
	d.Set("app.test", ip("127.0.0.1"))
	events := make(chan Event, 100)
	s := Settings{
		Endpoints: []Endpoint{{Name: "app.test:1", Network: "tcp", Address: "app.test:1"}, {Name: "127.0.0.9:1", Network: "tcp", Address: "127.0.0.9:1"}},
		DNS:       DNS{Server: d.Address, MinTTL: 10 * time.Millisecond, MaxTTL: 20 * time.Millisecond},
	}
	p := New("app", s, func(e Event) { events <- e })
	waitForEndpoints(t, p, "127.0.0.9:1") // only the DNS server knows the name
	run(t, p)
	waitForEndpoints(t, p, "app.test:1 (127.0.0.1:1)", "127.0.0.9:1")
	held := hold(t, p, 4, Need{Kind: Sessions})
	d.Set("app.test", ip("127.0.0.1"), ip("127.0.0.2"))
	waitForEndpoints(t, p, "app.test:1 (127.0.0.1:1)", "app.test:1 (127.0.0.2:1)", "127.0.0.9:1")
	hold(t, p, 2, Need{Kind: Sessions})
	expect(t, "busy", busy(p), map[string]int{"app.test:1 (127.0.0.1:1)": 2, "app.test:1 (127.0.0.2:1)": 2, "127.0.0.9:1": 2})
	d.Set("app.test", ip("127.0.0.2"))
	waitForEndpoints(t, p, "app.test:1 (127.0.0.2:1)", "127.0.0.9:1")
	if l := held["app.test:1 (127.0.0.1:1)"][0]; l.Configured() != "app.test:1" {
		t.Errorf("Configured of an address that DNS no longer has = %q; want app.test:1", l.Configured())
	}
	d.Break(true)
	asked := d.Asked("app.test")
	for d.Asked("app.test") < asked+6 { // at least three look-ups
		<-time.After(time.Millisecond)
	}
	waitForEndpoints(t, p, "app.test:1 (127.0.0.2:1)", "127.0.0.9:1")
	e := <-events
	if e.Endpoint != "app.test:1" || !strings.Contains(e.What, "last answer stays") || e.Err == nil || len(events) > 0 {
		t.Errorf("events: %+v and %d more; want one failure", e, len(events))
	}
	d.Set("app.test", ip("127.0.0.1"))
	d.Break(false)
	waitForEndpoints(t, p, "app.test:1 (127.0.0.1:1)", "127.0.0.9:1")
	expect(t, "busy at the end", busy(p), map[string]int{"app.test:1 (127.0.0.1:1)": 2, "app.test:1 (127.0.0.2:1)": 2, "127.0.0.9:1": 2})
}

// SRV records stand for nothing before the first answer: Acquire waits for it.
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
	if p.slowStarting() {
		t.Error("the first endpoints have a slow start; want none")
	}
	p.mu.Unlock()
	hold(t, p, 40, Need{Kind: Sessions})
	expect(t, "40 sessions", busy(p), map[string]int{"srv:x (127.0.0.1:1)": 30, "srv:x (127.0.0.2:2)": 10})
	p.Drain("srv:x (127.0.0.1:1)", true)
	p.Drain("srv:x (127.0.0.2:2)", true)
	if l := acquire(t, p, Need{}); l.Endpoint() != "srv:x (127.0.0.3:3)" {
		t.Errorf("the pick was %s; want the endpoint of the next priority", l.Endpoint())
	}

	none := New("app", Settings{Endpoints: []Endpoint{{Name: "srv:y", Network: "srv", Address: "_y._tcp.test"}}, DNS: DNS{Server: d.Address}}, nil)
	run(t, none)
	var u *UnavailableError
	if _, err := none.Acquire(t.Context(), Need{}, &Tried{}); !errors.As(err, &u) || u.Full {
		t.Errorf("Acquire without records = %v; want an UnavailableError, not full", err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	unanswered := New("app", Settings{Endpoints: none.settings.Endpoints}, nil)
	if _, err := unanswered.Acquire(gone, Need{}, &Tried{}); err == nil || err.Error() != "gone" {
		t.Errorf("Acquire with a context that has ended = %v; want its cause", err)
	}
}
