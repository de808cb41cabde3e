//go:build unix

package wire

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Detach takes the socket out of the Go runtime. The descriptor is a new,
// non-blocking one that the caller owns; unread are the bytes that were read
// ahead and handed to nobody, and belong to the caller too. The Conn is closed
// afterwards, without a byte to the peer. On an error nothing has changed.
func (c *Conn) Detach() (fd int, unread []byte, err error) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return -1, nil, fmt.Errorf("%T has no descriptor to detach", c.Conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, nil, err
	}
	if ctl := raw.Control(func(s uintptr) {
		fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
	}); ctl != nil {
		err = ctl
	}
	if err != nil {
		return -1, nil, fmt.Errorf("duplicate descriptor: %w", err)
	}
	if c.ahead != nil {
		unread = append(unread, *c.ahead...)
		c.release()
	}
	c.Conn.Close()
	return fd, unread, nil
}
