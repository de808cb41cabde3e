//go:build unix

package wire

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Detach takes the socket out of the Go runtime. It returns a new, non-blocking
// descriptor of it and the bytes that were read ahead and not returned by a Read: the
// caller owns both. The Conn can no longer be used, but the peer sees nothing of it. What
// [Conn.OnClose] was given is not released, since the socket stays open: the caller must
// take it first, with [Conn.TakeOnClose].
//
// On an error nothing has changed, and fd is -1.
func (c *Conn) Detach() (fd int, unread []byte, err error) {
	if d, ok := c.Conn.(interface{ Detach() (int, error) }); ok { // it is not in the Go runtime
		if fd, err = d.Detach(); err != nil {
			return -1, nil, err
		}
		return fd, c.TakeAhead(), nil
	}
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
	unread = c.TakeAhead()
	c.Conn.Close()
	return fd, unread, nil
}
