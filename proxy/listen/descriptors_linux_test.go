package listen

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/limit"
	"sluice/internal/telemetry"
	"sluice/internal/wstest"
)

// Clients leave the last descriptors to operators. Those that come then wait in the queue of the socket.
func TestTheLastDescriptorsAreNotForClients(t *testing.T) {
	logger := zerolog.Nop()
	shortages := telemetry.NewShortages(func() *zerolog.Logger { return &logger })
	defer shortages.Stop()
	set := NewSet(Env{Shortages: shortages})
	listener := func() (l *Listener, dial func() net.Conn) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		ln.(*net.TCPListener).SetDeadline(time.Now().Add(wstest.Guard)) // where nobody waits any more
		return &Listener{set: set, name: "test", net: ln, closed: make(chan struct{})}, func() net.Conn {
			t.Helper()
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
	}
	l, dial := listener()
	another, dialAnother := listener()
	first, waiting := dial(), dial()
	served := dialAnother() // another has seen no want of descriptors itself
	if c, err := another.acceptOne(); err != nil {
		t.Fatal(err)
	} else {
		defer c.Close()
	}
	defer served.Close()
	waitsToo := dialAnother()

	all, one := wstest.TakeDescriptors(t, 20) // of 1024, as many as are for operators
	defer all()
	if m := limit.NextMargin(); m != 0 {
		t.Fatalf("NextMargin with 20 descriptors left: %d; want 0", m)
	}
	set.margin.Store(nearLast) // as behind a connection with a lower number
	if c, err := l.acceptOne(); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("acceptOne with a descriptor for operators: %v, %v; want EMFILE", c, err)
	}
	if n, err := first.Read(make([]byte, 1)); err == nil {
		t.Errorf("the client whose connection had such a descriptor reads %d bytes; want an end", n)
	}
	for range 3 {
		if c, err := another.acceptOne(); !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("acceptOne of another listener: %v, %v; want EMFILE", c, err)
		}
		if c, err := l.acceptOne(); !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("acceptOne: %v, %v; want EMFILE", c, err)
		}
	}
	for _, tt := range []struct {
		on     *Listener
		client net.Conn
	}{{l, waiting}, {another, waitsToo}} {
		one()
		c, err := tt.on.next()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if m := limit.Margin(c); m <= 0 {
			t.Errorf("Margin of what was accepted: %d; want more than 0", m)
		}
		if _, err := c.Write([]byte("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(tt.client, make([]byte, 1)); err != nil {
			t.Errorf("the client that waited: %v", err)
		}
	}
}
