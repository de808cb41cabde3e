package wire

import (
	"errors"
	"io"
	"net"
	"testing"
)

func TestAllowLimitsReads(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	if _, err := c.readSome(far, 1000); err != nil {
		t.Fatalf("without a limit: %v", err)
	}
	c.Allow(5000)
	if n, err := c.readSome(far, 5000); n != 5000 || err != nil {
		t.Fatalf("what was allowed: %d, %v", n, err)
	}
	c.Allow(1000)
	if n, err := c.readSome(far, 1000); n != 1000 || err != nil {
		t.Fatalf("what was allowed besides: %d, %v", n, err)
	}
	if _, err := c.readSome(far, 1<<20); !errors.Is(err, errFlood) {
		t.Fatalf("beyond it: %v; want %v", err, errFlood)
	}
	if !c.Flooded() {
		t.Error("Flooded() = false; want true")
	}
}

func TestAllowAllRemovesTheLimit(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	c.Allow(1)
	c.AllowAll()
	if _, err := c.readSome(far, 1<<20); err != nil || c.Flooded() {
		t.Errorf("after AllowAll: %v", err)
	}
}

func TestAllowIsRaisedAndLowered(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	c.Allow(1000)
	c.AllowAtLeast(500_000)
	if n, err := c.readSome(far, 500_000); err != nil {
		t.Fatalf("after AllowAtLeast: %d, %v", n, err)
	}
	c.AllowAtLeast(500_000)
	c.AllowAtMost(1000)
	if _, err := c.readSome(far, 500_000); !errors.Is(err, errFlood) {
		t.Fatalf("after AllowAtMost: %v; want %v", err, errFlood)
	}
}

// readSome makes far send n bytes, and reads them.
func (c *Conn) readSome(far net.Conn, n int) (int, error) {
	go far.Write(make([]byte, n))
	return io.ReadFull(c, make([]byte, n))
}

// headBytes is a HeadMemory of this many bytes.
type headBytes int

func (h *headBytes) Acquire(n int) bool {
	if int(*h) < n {
		return false
	}
	*h -= headBytes(n)
	return true
}

func (h *headBytes) Release(n int) { *h += headBytes(n) }

func TestLargeHeadsNeedMemory(t *testing.T) {
	tests := []struct {
		name         string
		memory, size int // bytes
		left         int // bytes of memory while the head is read
		err          error
	}{
		{"a small head", 0, headUnit, 0, nil},
		{"a larger one", 2 * headUnit, headUnit + 1, headUnit, nil},
		{"one that takes all", 2 * headUnit, 3 * headUnit, 0, nil},
		{"one that is too large", 2 * headUnit, 3*headUnit + 1, 0, errNoRoom},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near, far := pair(t, "tcp")
			c, m := New(near), headBytes(tt.memory)
			c.BeginHead(&m)
			if _, err := c.readSome(far, tt.size); !errors.Is(err, tt.err) {
				t.Fatalf("reading a head of %d bytes: %v; want %v", tt.size, err, tt.err)
			}
			if tt.err == nil && int(m) != tt.left {
				t.Errorf("%d bytes of memory are left; want %d", m, tt.left)
			}
			c.EndHead()
			c.EndHead()
			if int(m) != tt.memory {
				t.Errorf("%d bytes of memory are left after the head; want %d", m, tt.memory)
			}
			if _, err := c.readSome(far, tt.memory+2*headUnit); tt.err == nil && err != nil {
				t.Errorf("reading after the head: %v", err)
			}
		})
	}
}

func TestClosedConnectionHoldsNoHeadMemory(t *testing.T) {
	near, far := pair(t, "tcp")
	c, m := New(near), headBytes(headUnit)
	c.BeginHead(&m)
	if _, err := c.readSome(far, headUnit+1); err != nil || m != 0 {
		t.Fatalf("%v, and %d bytes of memory are left; want none", err, m)
	}
	c.Close()
	if m != headUnit {
		t.Errorf("%d bytes of memory are left; want %d", m, headUnit)
	}
}
