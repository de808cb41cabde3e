package wire

import (
	"errors"
	"io"
	"testing"
)

// meter permits some bytes. Then it fails.
type meter struct {
	left   int // bytes
	err    error
	closed bool
}

func (m *meter) CountRead(n int) error {
	if m.left -= n; m.left < 0 {
		return m.err
	}
	return nil
}

func (m *meter) SocketClosed() { m.closed = true }

func TestMeterBoundsReads(t *testing.T) {
	near, far := pair(t, "tcp")
	c, m := New(near), &meter{left: 100, err: errors.New("too much")}
	c.SetMeter(m)
	if c.Meter() != m {
		t.Error("Meter is not what SetMeter was given")
	}
	if _, err := far.Write(make([]byte, 101)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(c, make([]byte, 100)); n != 100 || err != nil || m.closed {
		t.Fatalf("reading what the meter permits: %d, %v; the socket is closed: %t", n, err, m.closed)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != m.err || !m.closed {
		t.Errorf("reading more: %d, %v; the socket is closed: %t; want 0, %v, true", n, err, m.closed, m.err)
	}
}
