package limit

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

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
		{"the first of the burst", a, 0, 0},
		{"the second", a, 0, 0},
		{"the third", a, 0, 0},
		{"over the burst", a, 0, 100 * time.Millisecond},
		{"a refusal costs nothing", a, 60 * time.Millisecond, 40 * time.Millisecond},
		{"another key", b, 60 * time.Millisecond, 0},
		{"one token is back", a, 100 * time.Millisecond, 0},
		{"no second token is back", a, 100 * time.Millisecond, 100 * time.Millisecond},
		{"the clock went back", a, 0, 200 * time.Millisecond},
		{"all tokens are back", a, time.Second, 0},
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
		t.Errorf("%d full buckets are remembered; want none", n)
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
