//go:build linux

package loop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/clock"
)

const guard = 30 * time.Second

// running returns a loop that runs until the test ends.
func running(t *testing.T) *Loop {
	l := New(clock.New(), NewPipes(0))
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-over })
	return l
}

// hostedPair returns a connection that a loop hosts, and its peer.
func hostedPair(t *testing.T) (c *Conn, peer net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := NewAcceptor(ln)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if peer, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	peer.SetDeadline(time.Now().Add(guard))
	accepted, err := a.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c = ConnOf(accepted)
	t.Cleanup(func() { c.Close() })
	if got, want := c.RemoteAddr().String(), peer.LocalAddr().String(); got != want {
		t.Errorf("the peer's address is %s, want %s", got, want)
	}
	if got, want := c.LocalAddr().String(), peer.RemoteAddr().String(); got != want {
		t.Errorf("the local address is %s, want %s", got, want)
	}
	running(t).Host(c)
	return c, peer
}

// Much more goes both ways at once than the sockets hold.
func TestGoroutinesReadAndWrite(t *testing.T) {
	c, peer := hostedPair(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	go io.Copy(struct{ io.Writer }{peer}, struct{ io.Reader }{peer})
	c.SetDeadline(time.Now().Add(guard))
	go func() {
		c.Write(data)
		c.CloseWrite()
	}()
	got := make([]byte, len(data))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d of %d bytes, %v, the same: %v", n, len(data), err, bytes.Equal(got, data))
	}
}

func TestWhatEndsAWait(t *testing.T) {
	tests := []struct {
		name string
		end  func(c *Conn, peer net.Conn)
		want error
	}{
		{"a deadline", func(c *Conn, _ net.Conn) { c.SetReadDeadline(time.Now().Add(time.Millisecond)) }, os.ErrDeadlineExceeded},
		{"a deadline that has passed", func(c *Conn, _ net.Conn) { c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"Close", func(c *Conn, _ net.Conn) { c.Close() }, net.ErrClosed},
		{"the end of the stream", func(_ *Conn, peer net.Conn) { peer.Close() }, io.EOF},
		{"a reset", func(_ *Conn, peer net.Conn) { peer.(*net.TCPConn).SetLinger(0); peer.Close() }, unix.ECONNRESET},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, peer := hostedPair(t)
			failed := make(chan error)
			go func() {
				_, err := c.Read(make([]byte, 1))
				failed <- err
			}()
			tt.end(c, peer)
			if err := <-failed; !errors.Is(err, tt.want) {
				t.Errorf("Read: %v; want %v", err, tt.want)
			}
		})
	}
}

func TestADeadlineEndsAWrite(t *testing.T) {
	c, peer := hostedPair(t)
	began := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(peer, make([]byte, 1))
		c.SetWriteDeadline(time.Now())
		began <- err
	}()
	n, err := c.Write(make([]byte, 64<<20))
	if err := <-began; err != nil {
		t.Fatal(err)
	}
	if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d bytes, %v; want some, and the deadline", n, err)
	}
}

// After Detach the descriptor is open, and reports nothing to the loop.
func TestDetach(t *testing.T) {
	c, peer := hostedPair(t)
	peer.Write([]byte("hello"))
	c.SetDeadline(time.Now().Add(guard))
	got := make([]byte, 2)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "he" {
		t.Fatalf("read %q, %v", got, err)
	}
	fd, err := c.Detach()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := Read(int32(fd), make([]byte, 10)); n != 3 || err != nil {
		t.Errorf("the descriptor has %d bytes, %v; want 3", n, err)
	}
	if _, err := c.Read(got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Detach: %v", err)
	}
	if _, err := c.Detach(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Detach after Detach: %v", err)
	}
}

// A descriptor that is in use stays open when the connection is closed.
func TestCloseWaitsForUses(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	c := NewConn(int32(fds[0]), netip.AddrPort{})
	if err := c.control("test", func(fd int) error {
		c.Close()
		_, err := unix.Write(fd, []byte("x"))
		return err
	}); err != nil {
		t.Errorf("in the middle of a use: %v", err)
	}
	if _, err := c.Send([]byte("x")); err != net.ErrClosed {
		t.Errorf("Send after Close: %v", err)
	}
	if n, err := unix.Read(fds[1], make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("the peer read %d, %v", n, err)
	}
	if n, err := unix.Read(fds[1], make([]byte, 10)); n != 0 || err != nil {
		t.Errorf("the peer read %d, %v; want the end", n, err)
	}
}

func TestAcceptorIsClosed(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := NewAcceptor(ln)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c, err := a.Accept()
	if err != nil || c.RemoteAddr().Network() != "unix" || !strings.HasSuffix(c.LocalAddr().String(), "/s") {
		t.Fatalf("accepted %v, %v", c, err)
	}
	c.Close()
	failed := make(chan error)
	go func() {
		_, err := a.Accept()
		failed <- err
	}()
	a.Close()
	if err := <-failed; err != net.ErrClosed {
		t.Errorf("Accept: %v", err)
	}
}
