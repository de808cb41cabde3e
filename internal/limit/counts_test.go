package limit

import (
	"net/netip"
	"sync"
	"testing"
)

func TestCounts(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	c := NewCounts()
	for i, want := range []bool{true, true, false} {
		if got := c.Acquire(a, 2); got != want {
			t.Errorf("Acquire %d = %t; want %t", i, got, want)
		}
	}
	if !c.Acquire(b, 2) {
		t.Error("Acquire of another key = false; want true")
	}
	c.Release(a)
	if !c.Acquire(a, 2) {
		t.Error("Acquire after Release = false; want true")
	}
	if c.Acquire(a, 1) {
		t.Error("Acquire of a third with a most of 1 = true; want false")
	}
	if !c.Acquire(a, 0) {
		t.Error("Acquire of a third without a most = false; want true")
	}
	for range 3 {
		c.Release(a)
	}
	c.Release(b)
	if len(c.sums.used) != 0 {
		t.Errorf("%d keys without a count are remembered; want none", len(c.sums.used))
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
					t.Error("more than three are acquired at once")
				}
				c.Release(a)
			}
		})
	}
	wg.Wait()
	if len(c.sums.used) != 0 {
		t.Errorf("%d keys without a count are remembered; want none", len(c.sums.used))
	}
}
