//go:build linux && !portable && !race

package proxy

import (
	"fmt"
	"testing"
)

// A request that a loop forwards costs few objects, and the pieces of its answer none.
func TestForwardingAllocates(t *testing.T) {
	for _, size := range []int{1 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			f := newForwarded(t, "loops", size)
			if n := testing.AllocsPerRun(1000, func() { f.once(t, size) }); n > 4 {
				t.Errorf("a GET of %d bytes costs %v objects, want 4 at most", size, n)
			}
		})
	}
}

// With tracing, a request that is not sampled costs one more: the trace context for the backend.
func TestForwardingUnsampledAllocates(t *testing.T) {
	f := newForwarded(t, "loops", 1<<10, "tracing: {endpoint: 'http://127.0.0.1:1', sample: 0%}")
	if n := testing.AllocsPerRun(1000, func() { f.once(t, 1<<10) }); n > 5 {
		t.Errorf("a GET costs %v objects, want 5 at most", n)
	}
}
