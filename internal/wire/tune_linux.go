package wire

import (
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

func setUserTimeout(c *net.TCPConn, d time.Duration) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	ms := int(min((d-1)/time.Millisecond+1, math.MaxInt32))
	if ctl := raw.Control(func(s uintptr) {
		err = unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
	}); ctl != nil {
		return ctl
	}
	return err
}
