package wire

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listen is [net.Listen]. What it accepts has TCP keep-alive as Go sets it, but
// inherits that from the listening socket, which saves four system calls for
// each connection.
func Listen(network, address string) (net.Listener, error) {
	l := net.ListenConfig{KeepAlive: -1}
	if network == "tcp" {
		l.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if ctl := c.Control(func(s uintptr) { err = keepAlive(int(s)) }); ctl != nil {
				return ctl
			}
			return err
		}
	}
	return l.Listen(context.Background(), network, address)
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
