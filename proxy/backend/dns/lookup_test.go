package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

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
		want             []string // address, fallback, weight and rank
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
	for _, overTCP := range []bool{false, true} {
		if overTCP {
			d.Truncate()
		}
		for _, tt := range tests {
			t.Run(fmt.Sprint(tt.address, " over TCP: ", overTCP), func(t *testing.T) {
				look := LookupHost
				if tt.network == "srv" {
					look = LookupSRV
				}
				targets, ttl, err := look(t.Context(), d.Address, tt.address)
				if tt.ttl < 0 {
					if len(targets) != maxTargets || err != nil {
						t.Errorf("lookup = %d targets, %v; want %d", len(targets), err, maxTargets)
					}
					return
				}
				var got []string
				for _, o := range targets {
					got = append(got, fmt.Sprintf("%s %s %v %d", o.Address, o.Fallback, o.Weight, o.Rank))
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
