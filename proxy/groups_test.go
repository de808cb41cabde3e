package proxy

import (
	"fmt"
	"testing"

	"sluice/proxy/relay"
	"sluice/proxy/serve"
)

// A route that comes back has its group again. Of routes that are gone and have no label of their own
// only some groups are kept, and none with a session is dropped, nor one that a handshake may still be
// on its way to.
func TestGroups(t *testing.T) {
	g := newGroups()
	never := func(string) bool { return false }
	serving := func(names ...string) map[string]*serve.Service {
		now := make(map[string]*serve.Service)
		for _, n := range names {
			now[n] = &serve.Service{Group: g.of(n)}
		}
		return now
	}
	busy := serving("busy", "idle")
	g.keep(busy, never)
	busy["busy"].Group.SessionJoined()
	for i := range maxOldGroups + 2 {
		if dropped := g.keep(serving(fmt.Sprint(i)), never); len(dropped) > 0 && i < maxOldGroups-2 {
			t.Fatalf("%d groups were dropped with %d", len(dropped), i)
		}
	}
	if g.of("busy") != busy["busy"].Group {
		t.Error("a group with a session was dropped")
	}
	if n := len(g.byRoute); n > maxOldGroups+1 {
		t.Errorf("%d groups are kept; want at most %d", n, maxOldGroups+1)
	}
	if same := g.of("busy"); same.Name != "busy" {
		t.Errorf("the group of busy is called %s", same.Name)
	}

	labelled := newGroups()
	for i := range maxOldGroups + 10 {
		now := map[string]*serve.Service{fmt.Sprint(i): {Group: &relay.Group{Name: fmt.Sprint(i)}}}
		if dropped := labelled.keep(now, func(string) bool { return true }); len(dropped) > 0 {
			t.Fatalf("%d groups with a label were dropped", len(dropped))
		}
	}
	if (*groups)(nil).of("x").Name != "x" {
		t.Error("a check has no groups")
	}
}
