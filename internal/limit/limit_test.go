package limit

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestKey(t *testing.T) {
	tests := []struct{ name, address, want string }{
		{"IPv4", "192.0.2.7", "192.0.2.7"},
		{"IPv4 in IPv6", "::ffff:192.0.2.7", "192.0.2.7"},
		{"IPv6 by its network", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"zone", "fe80::1%eth0", "fe80::"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Key(netip.MustParseAddr(tt.address)); got.String() != tt.want {
				t.Errorf("Key(%s) = %s; want %s", tt.address, got, tt.want)
			}
		})
	}
	if got := Key(netip.Addr{}); got.IsValid() {
		t.Errorf("Key of no address = %s; want none", got)
	}
}

func TestCounts(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	c := NewCounts()
	for i, want := range []bool{true, true, false} {
		if got := c.Acquire(a, 2); got != want {
			t.Errorf("Acquire %d = %t; want %t", i, got, want)
		}
	}
	if !c.Acquire(b, 2) {
		t.Error("another key is refused")
	}
	c.Release(a)
	if !c.Acquire(a, 2) {
		t.Error("Acquire after Release is refused")
	}
	if c.Acquire(a, 1) {
		t.Error("Acquire of a third, where one is the most, is granted")
	}
	if !c.Acquire(a, 0) {
		t.Error("Acquire of a third is refused where any number is granted")
	}
	for range 3 {
		c.Release(a)
	}
	c.Release(b)
	if len(c.held) != 0 {
		t.Errorf("%d keys are remembered that hold nothing", len(c.held))
	}
}

func TestCountsNeverExceedTheirMaximum(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	c := NewCounts()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 3)
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if !c.Acquire(a, 3) {
					continue
				}
				select {
				case slots <- struct{}{}:
					<-slots
				default:
					t.Error("more than three at once")
				}
				c.Release(a)
			}
		})
	}
	wg.Wait()
	if len(c.held) != 0 {
		t.Errorf("%d keys are left", len(c.held))
	}
}

func TestRates(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	start := time.Unix(1_000_000, 0)
	r := NewRates(10, 3)
	steps := []struct {
		name string
		key  netip.Addr
		at   time.Duration
		wait time.Duration
	}{
		{"first of the burst", a, 0, 0},
		{"second", a, 0, 0},
		{"third", a, 0, 0},
		{"over it", a, 0, 100 * time.Millisecond},
		{"refused ones cost nothing", a, 60 * time.Millisecond, 40 * time.Millisecond},
		{"another key", b, 60 * time.Millisecond, 0},
		{"one came back", a, 100 * time.Millisecond, 0},
		{"and no more", a, 100 * time.Millisecond, 100 * time.Millisecond},
		{"the clock went back", a, 0, 200 * time.Millisecond},
		{"all came back", a, time.Second, 0},
	}
	for _, s := range steps {
		if wait, ok := r.Take(s.key, start.Add(s.at)); wait != s.wait || ok != (s.wait == 0) {
			t.Errorf("%s: Take at %v = %v, %t; want to wait %v", s.name, s.at, wait, ok, s.wait)
		}
	}
}

func TestRatesRememberABoundedNumberOfKeys(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := NewRates(1, 2)
	var a [4]byte
	for i := range uint32(maxKeys + maxKeys/2) {
		binary.BigEndian.PutUint32(a[:], i)
		if _, ok := r.Take(netip.AddrFrom4(a), now); !ok {
			t.Fatalf("key %d is refused", i)
		}
	}
	if n := len(r.full); n > maxKeys {
		t.Errorf("%d keys are remembered; want at most %d", n, maxKeys)
	}
	later := now.Add(time.Minute)
	r.forget(later)
	if n := len(r.full); n != 0 {
		t.Errorf("%d full buckets are remembered", n)
	}
}

func BenchmarkRatesTake(b *testing.B) {
	r := NewRates(1e9, 1<<30)
	a, now := netip.MustParseAddr("192.0.2.1"), time.Unix(1_000_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		r.Take(a, now)
	}
}
