//go:build unix

package wire

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/internal/wstest"
)

func TestPeerDoesNotSeeDetach(t *testing.T) {
	half := record(50)[:20]
	tests := []struct {
		name       string
		network    string
		wrap       func(net.Conn) *Conn
		sent       []byte
		read, want []byte // returned by one Read before; returned by Detach
	}{
		{"TCP, nothing read", "tcp", New, nil, nil, nil},
		{"Unix, nothing read", "unix", New, nil, nil, nil},
		{"plain bytes are never held", "tcp", New, half, half, nil},
		{"whole records", "tcp", NewTLS, record(9), record(9), nil},
		{"a record and a part over TCP", "tcp", NewTLS, slices.Concat(record(9), half), record(9), half},
		{"a record and a part over Unix", "unix", NewTLS, slices.Concat(record(9), half), record(9), half},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near, far := pair(t, tt.network)
			c := tt.wrap(near)
			if tt.sent != nil {
				if _, err := far.Write(tt.sent); err != nil {
					t.Fatal(err)
				}
				p := make([]byte, 1000)
				if n, err := c.Read(p); !bytes.Equal(p[:n], tt.read) || err != nil {
					t.Fatalf("Read = %x, %v; want %x", p[:n], err, tt.read)
				}
			}
			fd, unread, err := c.Detach()
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			if !bytes.Equal(unread, tt.want) {
				t.Errorf("Detach returned %x as unread; want %x", unread, tt.want)
			}
			if c.ahead != nil {
				t.Error("a buffer is held")
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
				t.Errorf("the descriptor blocks (%#x, %v)", flags, err)
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("children inherit the descriptor (%#x, %v)", flags, err)
			}
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("the Conn still writes")
			}

			// A FIN or RST for the old descriptor would come before these bytes.
			if _, err := unix.Write(fd, []byte("out")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 3)
			if _, err := io.ReadFull(far, got); string(got) != "out" || err != nil {
				t.Errorf("the peer read %q, %v; want %q", got, err, "out")
			}
			if _, err := far.Write([]byte("in")); err != nil {
				t.Fatal(err)
			}
			wait(t, fd)
			if n, err := unix.Read(fd, got); string(got[:max(n, 0)]) != "in" || err != nil {
				t.Errorf("reading the descriptor: %d, %v; want %q", n, err, "in")
			}
			if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
				t.Fatal(err)
			}
			if n, err := far.Read(got); n != 0 || err != io.EOF {
				t.Errorf("the peer read %d, %v; want the end that the descriptor sent", n, err)
			}
		})
	}
}

// wait returns when fd is readable.
func wait(t *testing.T, fd int) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		switch n, err := unix.Poll(fds, int(wstest.LongGuard.Milliseconds())); {
		case err == unix.EINTR:
		case err != nil || n == 0:
			t.Fatalf("nothing to read: %v", err)
		default:
			return
		}
	}
}

// The bytes of one connection must not appear in the next one that uses the buffer.
func TestDetachEmptiesTheBuffer(t *testing.T) {
	near, far := pair(t, "tcp")
	c := NewTLS(near)
	if _, err := far.Write(slices.Concat(record(1), record(60)[:30])); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if c.ahead == nil { // the record came alone
		c.ahead = recordBuffers.Get().(*[]byte)
		*c.ahead = append(*c.ahead, record(60)[:30]...)
	}
	held := c.ahead
	fd, _, err := c.Detach()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if len(*held) != 0 {
		t.Errorf("the buffer was given back with %d bytes in it", len(*held))
	}
}

func TestDetachFailsWithoutChange(t *testing.T) {
	t.Run("no descriptor", func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := New(near)
		if fd, unread, err := c.Detach(); fd != -1 || unread != nil || err == nil {
			t.Errorf("Detach() = %d, %x, %v; want -1, nothing and an error", fd, unread, err)
		}
		go far.Write([]byte("x"))
		if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("Read after Detach = %d, %v; want 1", n, err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		near, _ := pair(t, "tcp")
		c := New(near)
		near.Close()
		if fd, unread, err := c.Detach(); fd != -1 || unread != nil || err == nil {
			t.Errorf("Detach() = %d, %x, %v; want -1, nothing and an error", fd, unread, err)
		}
	})
}
