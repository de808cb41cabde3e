package wire

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
)

// Listen is [net.Listen]. What it accepts has TCP keep-alive as Go sets it, but
// inherits that from the listening socket, which saves four system calls for
// each connection.
func Listen(network, address string, o ListenOptions) (net.Listener, error) {
	l, err := listen(network, address, o.Mode, false)
	if errors.Is(err, unix.EADDRINUSE) && network == "tcp" && len(o.Beside) > 0 {
		l, err = listenBeside(address, o.Beside)
	}
	if err != nil || o.Mode == 0 {
		return l, err
	}
	if err := SetSocketMode(address, o.Mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// listen opens an address. Where mode is set, the file of a unix socket has no
// bit more than that, whatever the umask is: it is made with the mode that the
// socket has when it is bound.
func listen(network, address string, mode fs.FileMode, share bool) (net.Listener, error) {
	prepare := func(socket int) error {
		switch {
		case network == "tcp" && share:
			return errors.Join(keepAlive(socket), unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		case network == "tcp":
			return keepAlive(socket)
		case mode != 0:
			return unix.Fchmod(socket, uint32(mode))
		}
		return nil
	}
	l := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error { return control(c, prepare) }}
	return l.Listen(context.Background(), network, address)
}

// listenBeside opens an address that only others of this process are in the way
// of. The kernel lets sockets of one user overlap that all say so; they say it
// for this moment alone.
func listenBeside(address string, others []net.Listener) (net.Listener, error) {
	share := func(all []net.Listener, on int) {
		for _, l := range all {
			// Where it cannot be said, listening fails or nothing is left to unsay.
			_ = option(l, unix.SO_REUSEPORT, on)
		}
	}
	share(others, 1)
	defer share(others, 0)
	l, err := listen("tcp", address, 0, true)
	if err == nil {
		share([]net.Listener{l}, 0)
	}
	return l, err
}

// noInterface is the index of a network interface that does not exist.
const noInterface = 1 << 30

// Deafen has a TCP listener of [Listen] get no new connections, so that another
// one that overlaps it gets all of them. Those that wait to be accepted, and
// those whose handshake has begun, still come: unlike Close it loses none. It
// cannot be undone. It fails before Linux 5.7.
func Deafen(l net.Listener) error { return option(l, unix.SO_BINDTOIFINDEX, noInterface) }

// option sets an option of a listening socket.
func option(l net.Listener, name, value int) error {
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

// control calls f with the descriptor of c.
func control(c syscall.RawConn, f func(socket int) error) (err error) {
	if failed := c.Control(func(s uintptr) { err = f(int(s)) }); failed != nil {
		return failed
	}
	return err
}

// SetSocketMode changes the mode of the file of a unix socket; 0 means what the
// umask leaves.
func SetSocketMode(file string, mode fs.FileMode) error {
	if mode == 0 {
		mask, err := umask()
		if err != nil {
			return err
		}
		mode = fs.ModePerm &^ mask
	}
	return os.Chmod(file, mode)
}

// umask returns the process's umask without changing it, as umask(2) would for
// a moment in which files would be made with too open a mode.
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

func keepAlive(socket int) error {
	const seconds, count = int(DefaultKeepAlive / time.Second), 9
	for _, o := range [...]struct{ level, name, value int }{
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
