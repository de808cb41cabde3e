package wire

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/wstest"
)

// options are the socket options that Tune sets.
type options struct{ alive, idle, interval, user int }

func optionsOf(t *testing.T, c net.Conn) (o options) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(s uintptr) {
		for _, option := range []struct {
			to           *int
			level, which int
		}{
			{&o.alive, unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {&o.idle, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
			{&o.interval, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, {&o.user, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
		} {
			if *option.to, err = unix.GetsockoptInt(int(s), option.level, option.which); err != nil {
				t.Error(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTune(t *testing.T) {
	const keep = -1 // the option is unchanged
	tests := []struct {
		name            string
		keepalive, user time.Duration
		want            options
	}{
		{"both", 45 * time.Second, 90 * time.Second, options{1, 45, 45, 90_000}},
		{"no keep-alive", 0, time.Second, options{0, keep, keep, 1000}},
		{"negative", -1, -1, options{0, keep, keep, 0}},
		{"no user timeout", time.Second, 0, options{1, 1, 1, 0}},
		{"rounded up", 1500 * time.Millisecond, 1500 * time.Microsecond, options{1, 2, 2, 2}},
		{"more than fits", time.Hour, 30 * 24 * time.Hour, options{1, 3600, 3600, 1<<31 - 1}},
	}
	for _, tt := range tests {
		for _, layer := range []struct {
			name  string
			under func(net.Conn) net.Conn
		}{
			{"socket", func(c net.Conn) net.Conn { return c }},
			{"Conn", func(c net.Conn) net.Conn { return New(c) }},
			{"TLS", func(c net.Conn) net.Conn { return tls.Server(NewTLS(c), &tls.Config{}) }},
		} {
			t.Run(tt.name+", "+layer.name, func(t *testing.T) {
				c, _ := pair(t, "tcp")
				before, want := optionsOf(t, c), tt.want
				if want.idle == keep {
					want.idle, want.interval = before.idle, before.interval
				}
				if err := Tune(layer.under(c), tt.keepalive, tt.user); err != nil {
					t.Fatalf("Tune(%v, %v) = %v", tt.keepalive, tt.user, err)
				}
				if got := optionsOf(t, c); got != want {
					t.Errorf("Tune(%v, %v) sets %+v; want %+v", tt.keepalive, tt.user, got, want)
				}
			})
		}
	}
}

func TestTuneWithoutTCP(t *testing.T) {
	socket, _ := pair(t, "unix")
	pipe, far := net.Pipe()
	defer pipe.Close()
	defer far.Close()
	for _, c := range []net.Conn{socket, New(socket), pipe} {
		if err := Tune(c, time.Second, time.Second); err != nil {
			t.Errorf("Tune of a %T = %v; want nil: there is nothing to set", c, err)
		}
	}
}

func TestTuneOfAClosedConnection(t *testing.T) {
	c, _ := pair(t, "tcp")
	c.Close()
	if err := Tune(New(c), time.Second, 0); err == nil {
		t.Error("Tune of a closed connection = nil; want an error")
	}
}

func TestGone(t *testing.T) {
	tests := []struct {
		name string
		far  func(net.Conn) error
		want bool
	}{
		{"open", func(net.Conn) error { return nil }, false},
		{"bytes wait", func(c net.Conn) error { _, err := c.Write([]byte("x")); return err }, false},
		{"the peer ended its direction", func(c net.Conn) error { return CloseWrite(c) }, true},
		{"the peer closed", func(c net.Conn) error { return c.Close() }, true},
		{"bytes wait before the end", func(c net.Conn) error {
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
					runtime.Gosched() // the packets of the peer are on their way
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
		t.Errorf("read %q, %v after Gone; want %q", got, err, "kept")
	}
}

func TestGoneWithoutASocket(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	far.Close()
	if New(near).Gone() {
		t.Error("Gone() of a pipe = true; want false, it cannot be known")
	}
	closed, _ := pair(t, "tcp")
	closed.Close()
	if !New(closed).Gone() {
		t.Error("Gone() of a closed Conn = false; want true")
	}
}
