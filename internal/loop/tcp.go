//go:build linux

package loop

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// A TCPConn is a Conn over TCP.
type TCPConn struct{ Conn }

// SetLinger is as that of [net.TCPConn].
func (c *TCPConn) SetLinger(seconds int) error {
	l := unix.Linger{Onoff: 1, Linger: int32(seconds)}
	if seconds < 0 {
		l = unix.Linger{}
	}
	return c.control("setsockopt", func(fd int) error { return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l) })
}

// SetKeepAlive is as that of [net.TCPConn].
func (c *TCPConn) SetKeepAlive(on bool) error {
	value := 0
	if on {
		value = 1
	}
	return c.control("setsockopt", func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, value) })
}

// SetKeepAliveConfig is as that of [net.TCPConn]. Times are rounded up to whole seconds;
// what is not above 0 stays as it is.
func (c *TCPConn) SetKeepAliveConfig(k net.KeepAliveConfig) error {
	if err := c.SetKeepAlive(k.Enable); err != nil || !k.Enable {
		return err
	}
	seconds := func(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
	return c.control("setsockopt", func(fd int) error {
		for _, o := range [...]struct{ name, value int }{
			{unix.TCP_KEEPIDLE, seconds(k.Idle)},
			{unix.TCP_KEEPINTVL, seconds(k.Interval)},
			{unix.TCP_KEEPCNT, k.Count},
		} {
			if o.value <= 0 {
				continue
			}
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, o.name, o.value); err != nil {
				return err
			}
		}
		return nil
	})
}
