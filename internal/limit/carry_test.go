package limit

import (
	"net/netip"
	"testing"
	"time"

	"sluice/internal/codec"
)

// carried writes from down and reads it into to.
func carried(t *testing.T, from, to Limiter, most int) {
	t.Helper()
	w := codec.Writer(make([]byte, 0, 1<<20))
	Carry(w, from, most)
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	r := codec.Reader(w.Written())
	Carry(r, to, most)
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
}

func TestCarry(t *testing.T) {
	rate := Rate{PerSecond: 1e-6, Burst: 3} // nothing comes back while the test runs
	four, six, unknown := netip.MustParseAddr("192.0.2.1"), Key(netip.MustParseAddr("2001:db8::1")), Key(netip.Addr{})
	for name, tt := range map[string]struct {
		from, to Limiter
		keeps    bool
	}{
		"the same rate":       {rate.Limiter(Rate{}, nil), rate.Limiter(Rate{}, nil), true},
		"another rate":        {rate.Limiter(Rate{}, nil), Rate{PerSecond: 2e-6, Burst: 3}.Limiter(Rate{}, nil), false},
		"another burst":       {rate.Limiter(Rate{}, nil), Rate{PerSecond: 1e-6, Burst: 4}.Limiter(Rate{}, nil), false},
		"no rate any more":    {rate.Limiter(Rate{}, nil), Rate{}.Limiter(Rate{}, nil), false},
		"a rate that was not": {Rate{}.Limiter(Rate{}, nil), rate.Limiter(Rate{}, nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			uses := map[netip.Addr]int{four: 3, six: 2, unknown: 1}
			for key, n := range uses {
				for range n {
					tt.from.Take(key, time.Now())
				}
			}
			carried(t, tt.from, tt.to, MostCarried)
			for key, n := range uses {
				want := 3 - n
				if !tt.keeps {
					want = 3
				}
				for range want {
					if _, ok := tt.to.Take(key, time.Now()); !ok {
						t.Fatalf("%v: refused, and %d were left", key, want)
					}
				}
				if _, ok := tt.to.Take(key, time.Now()); ok && tt.keeps {
					t.Errorf("%v: more than the %d that were left", key, want)
				}
			}
		})
	}
}

// Those who have used most are carried first.
func TestCarrySome(t *testing.T) {
	from, to := NewRates(1e-6, 10), NewRates(1e-6, 10)
	keys := [...]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}
	for i, key := range keys {
		for range i + 1 {
			from.Take(key, time.Now())
		}
	}
	carried(t, from, to, 2)
	if _, known := to.full[keys[0]]; known || len(to.full) != 2 {
		t.Errorf("%d keys were carried, the one that has used least among them: %t; want 2 without it", len(to.full), known)
	}
}

// FuzzCarry reads limits from bytes. A limiter that has read any goes on.
func FuzzCarry(f *testing.F) {
	full := NewRates(10, 3)
	for range 3 {
		full.Take(netip.MustParseAddr("192.0.2.1"), time.Now())
	}
	for _, l := range []Limiter{full, NewRates(10, 3), anyNumber{}} {
		w := codec.Writer(make([]byte, 0, 1<<10))
		Carry(w, l, MostCarried)
		f.Add(w.Written())
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		l := NewRates(10, 3)
		Carry(codec.Reader(in), l, MostCarried)
		for key, full := range l.full {
			if rest := full - int64(time.Since(l.epoch)); rest > l.bucket.size {
				t.Errorf("%v is full in %v, and an empty bucket in %v", key, time.Duration(rest), time.Duration(l.bucket.size))
			}
		}
		l.Take(netip.MustParseAddr("192.0.2.2"), time.Now())
	})
}
