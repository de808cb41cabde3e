package listen

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/wire"
)

// openSocket is [net.Listen] with options. Accepted connections have TCP keep-alive and
// TCP_NODELAY as Go sets them, but inherit them from the listening socket, which saves five system
// calls for each. The caller owns the listener.
func openSocket(network, address string, o socketOptions) (net.Listener, error) {
	l, err := bindSocket(network, address, o.mode, false)
	if errors.Is(err, unix.EADDRINUSE) && network == "tcp" && len(o.replaces) > 0 {
		l, err = bindOverlapping(address, o.replaces)
	}
	if err != nil || o.mode == 0 {
		return l, err
	}
	if err := setSocketMode(address, o.mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// bindSocket opens an address, with SO_REUSEPORT if share is set. If mode is not 0, the
// file of a unix socket never has a bit more than mode, whatever the umask is: the file
// gets the mode that the socket has when it is bound.
func bindSocket(network, address string, mode fs.FileMode, share bool) (net.Listener, error) {
	prepare := func(socket int) error {
		switch {
		case network == "tcp" && share:
			return errors.Join(setInherited(socket), unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		case network == "tcp":
			return setInherited(socket)
		case mode != 0:
			return unix.Fchmod(socket, uint32(mode))
		}
		return nil
	}
	l := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error { return control(c, prepare) }}
	return l.Listen(context.Background(), network, address)
}

// bindOverlapping opens a TCP address that overlaps those of other listeners of this
// process. The kernel allows it while all of them have SO_REUSEPORT, so they have it for
// this moment alone: later nothing else can share the address.
func bindOverlapping(address string, others []net.Listener) (net.Listener, error) {
	share := func(all []net.Listener, on int) {
		for _, l := range all {
			// If it cannot be set, bindSocket fails; if it cannot be reset, l is closed.
			_ = setOption(l, unix.SO_REUSEPORT, on)
		}
	}
	share(others, 1)
	defer share(others, 0)
	l, err := bindSocket("tcp", address, 0, true)
	if err == nil {
		share([]net.Listener{l}, 0)
	}
	return l, err
}

// noInterface is the index of a network interface that does not exist.
const noInterface = 1 << 30

// stopNewConnections makes the kernel give no new connections to l, a TCP listener of
// [openSocket]: one that overlaps it gets them all. Connections that wait to be accepted,
// and those whose TCP handshake has begun, still come, so that unlike Close it loses none.
// It cannot be undone. It needs Linux 5.7.
func stopNewConnections(l net.Listener) error {
	return setOption(l, unix.SO_BINDTOIFINDEX, noInterface)
}

// setOption sets an option of a listening socket.
func setOption(l net.Listener, name, value int) error {
	s, ok := l.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	c, err := s.SyscallConn()
	if err != nil {
		return err
	}
	return control(c, func(socket int) error { return unix.SetsockoptInt(socket, unix.SOL_SOCKET, name, value) })
}

// control calls f with the descriptor of c. It returns the error of f, or that c is closed.
func control(c syscall.RawConn, f func(socket int) error) (err error) {
	if failed := c.Control(func(s uintptr) { err = f(int(s)) }); failed != nil {
		return failed
	}
	return err
}

// setSocketMode changes the mode of the file of a unix socket; 0 means 0777 less the umask.
func setSocketMode(file string, mode fs.FileMode) error {
	if mode == 0 {
		mask, err := umask()
		if err != nil {
			return err
		}
		mode = fs.ModePerm &^ mask
	}
	return os.Chmod(file, mode)
}

// umask returns the umask of the process. It does not use umask(2), which changes the umask
// for a moment, in which other files would get too open a mode.
func umask() (fs.FileMode, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nUmask:")
	digits, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(digits), 8, 9)
	return fs.FileMode(mask), err
}

// prepareSocket gives a TCP listener that [openSocket] has not opened what it would have given it.
func prepareSocket(l net.Listener) error {
	if l.Addr().Network() != "tcp" {
		return nil
	}
	c, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	return control(c, setInherited)
}

// setInherited gives a listening socket the options that Go gives to connections.
func setInherited(socket int) error {
	const seconds, count = int(wire.DefaultKeepAlive / time.Second), 9
	for _, o := range [...]struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, count},
	} {
		if err := unix.SetsockoptInt(socket, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}
