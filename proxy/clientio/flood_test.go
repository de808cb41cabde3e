package clientio

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// clientConn returns the connection of a client, and the client's end of it.
func clientConn(t *testing.T, heads *HeadBudget) (c *Conn, far net.Conn) {
	t.Helper()
	far, near := wstest.Sockets(t, "tcp")
	deadline := time.Now().Add(wstest.LongGuard)
	near.SetDeadline(deadline)
	far.SetDeadline(deadline)
	return NewConn(wire.New(near), heads), far
}

// readSome makes far send n bytes, and reads them.
func (c *Conn) readSome(far net.Conn, n int) (int, error) {
	go far.Write(make([]byte, n))
	return io.ReadFull(c, make([]byte, n))
}

func TestAllowLimitsReads(t *testing.T) {
	c, far := clientConn(t, nil)
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
	c, far := clientConn(t, nil)
	c.Allow(1)
	c.allowAll()
	if _, err := c.readSome(far, 1<<20); err != nil || c.Flooded() {
		t.Errorf("after allowAll: %v", err)
	}
}

func TestAllowIsRaisedAndLowered(t *testing.T) {
	c, far := clientConn(t, nil)
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
