package clientio

import (
	"errors"
	"testing"

	"sluice/internal/limit"
)

// headBudget returns a budget in which one client has this many bytes.
func headBudget(bytes int) *HeadBudget {
	return &HeadBudget{most: 2 * int64(bytes), byClient: limit.NewSums()}
}

// left returns how many bytes of the budget a single client has left.
func (b *HeadBudget) left() int { return int(b.most/2 - b.used.Load()) }

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
			m := headBudget(tt.memory)
			c, far := clientConn(t, m)
			c.BeginHead()
			if _, err := c.readSome(far, tt.size); !errors.Is(err, tt.err) {
				t.Fatalf("reading a head of %d bytes: %v; want %v", tt.size, err, tt.err)
			}
			if tt.err == nil && m.left() != tt.left {
				t.Errorf("%d bytes of memory are left; want %d", m.left(), tt.left)
			}
			c.EndHead()
			c.EndHead()
			if m.left() != tt.memory {
				t.Errorf("%d bytes of memory are left after the head; want %d", m.left(), tt.memory)
			}
			if _, err := c.readSome(far, tt.memory+2*headUnit); tt.err == nil && err != nil {
				t.Errorf("reading after the head: %v", err)
			}
		})
	}
}

func TestClosedConnectionHoldsNoHeadMemory(t *testing.T) {
	m := headBudget(headUnit)
	c, far := clientConn(t, m)
	c.BeginHead()
	if _, err := c.readSome(far, headUnit+1); err != nil || m.left() != 0 {
		t.Fatalf("%v, and %d bytes of memory are left; want none", err, m.left())
	}
	c.Close()
	if m.left() != headUnit {
		t.Errorf("%d bytes of memory are left; want %d", m.left(), headUnit)
	}
}

// One client cannot use the memory of all.
func TestOneClientHasHalfOfTheHeadMemory(t *testing.T) {
	m := headBudget(headUnit)
	first, firstFar := clientConn(t, m)
	second, secondFar := clientConn(t, m)
	first.BeginHead()
	if _, err := first.readSome(firstFar, 2*headUnit); err != nil {
		t.Fatalf("the first connection of a client: %v", err)
	}
	second.BeginHead()
	if _, err := second.readSome(secondFar, 2*headUnit); !errors.Is(err, errNoRoom) {
		t.Errorf("the second connection of a client: %v; want %v", err, errNoRoom)
	}
}
