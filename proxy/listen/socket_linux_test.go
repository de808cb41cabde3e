package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The options that package net sets for each connection are inherited by those that are accepted
// without it.
func TestAcceptedConnectionsInheritOptions(t *testing.T) {
	options := func(socket int) (all [5]int) {
		all[0], _ = unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		for i, name := range [...]int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT, unix.TCP_NODELAY} {
			all[i+1], _ = unix.GetsockoptInt(socket, unix.IPPROTO_TCP, name)
		}
		return all
	}
	descriptor := func(c any, use func(socket int)) {
		raw, err := c.(syscall.Conn).SyscallConn()
		if err == nil {
			err = raw.Control(func(s uintptr) { use(int(s)) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	connect := func(l net.Listener) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	theirs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	connect(theirs)
	c, err := theirs.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var want, got [5]int
	descriptor(c, func(s int) { want = options(s) })

	ours, err := openSocket("tcp", "127.0.0.1:0", socketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	connect(ours)
	descriptor(ours, func(s int) {
		unix.Poll([]unix.PollFd{{Fd: int32(s), Events: unix.POLLIN}}, -1)
		accepted, _, err := unix.Accept(s)
		if err != nil {
			t.Error(err)
			return
		}
		got = options(accepted)
		unix.Close(accepted)
	})
	if got != want || got[0] != 1 || got[4] != 1 {
		t.Errorf("options of an accepted connection: %v; with package net: %v", got, want)
	}
}

// open listens until the test ends.
func open(t *testing.T, address string, replaces ...net.Listener) net.Listener {
	t.Helper()
	l, err := tryOpen(t, address, replaces...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tryOpen listens until the test ends, unless that fails.
func tryOpen(t *testing.T, address string, replaces ...net.Listener) (net.Listener, error) {
	l, err := openSocket("tcp", address, socketOptions{replaces: replaces})
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, err
}

// onFreePort calls listen again while it fails for an address in use: a port that the
// system chose for one address may be in use at another one.
func onFreePort(t *testing.T, listen func() error) {
	t.Helper()
	var err error
	for range 10 {
		if err = listen(); !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// overlapping returns listening addresses with one port. Each overlaps every other one, but
// the two loopback addresses do not overlap each other.
func overlapping(port int) []string {
	var all []string
	for _, host := range []string{"", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"} {
		all = append(all, fmt.Sprintf("%s:%d", host, port))
	}
	return all
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func TestAddressMayOverlapReplacedListeners(t *testing.T) {
	for i := range overlapping(0) {
		for j := range overlapping(0) {
			var first, second net.Listener
			var from, to string
			onFreePort(t, func() (err error) {
				first = open(t, overlapping(0)[i])
				from, to = overlapping(portOf(first))[i], overlapping(portOf(first))[j]
				second, err = tryOpen(t, to, first)
				return err
			})
			for _, address := range []string{from, to} {
				if third, err := net.Listen("tcp", address); !errors.Is(err, unix.EADDRINUSE) {
					third.Close()
					t.Errorf("%s can be opened again while %s and %s are open: %v", address, from, to, err)
				}
			}
			first.Close()
			second.Close()
		}
	}
}

func TestAddressInUseByOthersIsRefused(t *testing.T) {
	var theirs, ours net.Listener
	onFreePort(t, func() (err error) {
		if theirs, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		t.Cleanup(func() { theirs.Close() })
		ours, err = tryOpen(t, fmt.Sprintf("[::1]:%d", portOf(theirs)))
		return err
	})
	address := fmt.Sprintf(":%d", portOf(theirs))
	if l, err := openSocket("tcp", address, socketOptions{replaces: []net.Listener{ours}}); !errors.Is(err, unix.EADDRINUSE) {
		l.Close()
		t.Errorf("%s can be opened while another has its port: %v", address, err)
	}
	accepts(t, ours, connect(t, ours.Addr().String()))
}

// Connections that came before still arrive at the old listener, later ones at the new one.
func TestStopNewConnectionsLosesNone(t *testing.T) {
	for _, from := range overlapping(0) {
		for j := range overlapping(0) {
			if strings.HasPrefix(from, "[::1]") != strings.HasPrefix(overlapping(0)[j], "[::1]") {
				continue // no client reaches both
			}
			host := "127.0.0.1"
			if strings.HasPrefix(from, "[::1]") {
				host = "::1"
			}
			t.Run(fmt.Sprint(from, " to ", overlapping(0)[j]), func(t *testing.T) {
				var old, next net.Listener
				var before net.Conn
				var address string
				onFreePort(t, func() (err error) {
					old = open(t, from)
					address = net.JoinHostPort(host, fmt.Sprint(portOf(old)))
					before = connect(t, address)
					next, err = tryOpen(t, overlapping(portOf(old))[j], old)
					return err
				})
				if err := stopNewConnections(old); err != nil {
					t.Skip(err)
				}
				after := connect(t, address)
				accepts(t, old, before)
				accepts(t, next, after)
				old.Close()
				accepts(t, next, connect(t, address))
			})
		}
	}
}

// A TCP handshake that has begun at the old listener ends there.
func TestStopNewConnectionsFinishesHandshakes(t *testing.T) {
	var old, next net.Listener
	var begun net.Conn
	onFreePort(t, func() (err error) {
		old = open(t, "127.0.0.1:0")
		raw, err := old.(syscall.Conn).SyscallConn()
		if err != nil {
			return err
		}
		// With this option the handshake ends for the server only when data comes.
		if err := control(raw, func(s int) error { return unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 20) }); err != nil {
			return err
		}
		begun = connect(t, old.Addr().String())
		next, err = tryOpen(t, fmt.Sprintf(":%d", portOf(old)), old)
		return err
	})
	if err := stopNewConnections(old); err != nil {
		t.Skip(err)
	}
	if _, err := begun.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	accepts(t, old, begun)
	accepts(t, next, connect(t, old.Addr().String()))
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// accepts checks that l accepts the connection whose client end is c.
func accepts(t *testing.T, l net.Listener, c net.Conn) {
	t.Helper()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("%s accepted %s, want %s", l.Addr(), s.RemoteAddr(), c.LocalAddr())
	}
}

func TestSocketModes(t *testing.T) {
	modeOf := func(file string) fs.FileMode {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	for _, mask := range []int{0, 0o022, 0o177} {
		old := syscall.Umask(mask)
		for _, mode := range []fs.FileMode{0, 0o600, 0o660, 0o666, 0o777} {
			file := filepath.Join(t.TempDir(), "s")
			// The file is made with no more than its mode.
			first, err := bindSocket("unix", file, mode, false)
			if err != nil {
				t.Fatal(err)
			}
			want := mode &^ fs.FileMode(mask)
			if mode == 0 {
				want = 0o777 &^ fs.FileMode(mask)
			}
			if got := modeOf(file); got != want {
				t.Errorf("umask %03o, mode %03o: made with %03o, want %03o", mask, mode, got, want)
			}
			first.Close()

			l, err := openSocket("unix", file, socketOptions{mode: mode})
			if err != nil {
				t.Fatal(err)
			}
			if mode != 0 {
				want = mode
			}
			if got := modeOf(file); got != want {
				t.Errorf("umask %03o, mode %03o: listens with %03o, want %03o", mask, mode, got, want)
			}
			if err := setSocketMode(file, 0); err != nil || modeOf(file) != 0o777&^fs.FileMode(mask) {
				t.Errorf("umask %03o: setSocketMode(0) = %v, and the mode is %03o", mask, err, modeOf(file))
			}
			l.Close()
		}
		syscall.Umask(old)
	}
}
