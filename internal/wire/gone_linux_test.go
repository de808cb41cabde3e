package wire

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"sluice/internal/wstest"
)

func TestGone(t *testing.T) {
	tests := []struct {
		name string
		far  func(net.Conn) error
		want bool
	}{
		{"open", func(net.Conn) error { return nil }, false},
		{"bytes wait", func(c net.Conn) error { _, err := c.Write([]byte("x")); return err }, false},
		{"the peer ended its half", func(c net.Conn) error { return CloseWrite(c) }, true},
		{"the peer closed", func(c net.Conn) error { return c.Close() }, true},
		{"bytes wait in front of the end", func(c net.Conn) error {
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			return CloseWrite(c)
		}, true},
	}
	for _, network := range []string{"tcp", "unix"} {
		for _, tt := range tests {
			t.Run(network+", "+tt.name, func(t *testing.T) {
				near, far := pair(t, network)
				c := New(near)
				if err := tt.far(far); err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(wstest.LongGuard); tt.want && !c.Gone() && time.Now().Before(end); {
					runtime.Gosched() // what the peer did is on its way
				}
				if got := c.Gone(); got != tt.want {
					t.Errorf("Gone() = %v; want %v", got, tt.want)
				}
			})
		}
	}
}

func TestGoneLeavesTheBytes(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	if _, err := far.Write([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := CloseWrite(far); err != nil {
		t.Fatal(err)
	}
	c.Gone()
	if got, err := io.ReadAll(c); string(got) != "kept" || err != nil {
		t.Errorf("read %q, %v behind Gone; want %q", got, err, "kept")
	}
}

func TestGoneOfWhatIsNoSocket(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	far.Close()
	if New(near).Gone() {
		t.Error("Gone() of a pipe = true; want false, it cannot be told")
	}
	closed, _ := pair(t, "tcp")
	closed.Close()
	if !New(closed).Gone() {
		t.Error("Gone() of a closed Conn = false; want true")
	}
}
