package wire

import (
	"io"
	"testing"
)

// A peer has taken what its system has acknowledged.
func TestProgressIsThatOfThePeer(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	far.Write(make([]byte, 500))
	if _, err := io.ReadFull(c, make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 700)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 700)); err != nil {
		t.Fatal(err)
	}
	for taken, received := c.Progress(); taken < 700; taken, received = c.Progress() { // an acknowledgement may be late
		if received != 500 || taken > 702 {
			t.Fatalf("Progress = %d, %d; want 700, 500", taken, received)
		}
	}
}
