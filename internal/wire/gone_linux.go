package wire

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Gone reports whether the peer has closed the connection or its half of it,
// without reading: bytes that wait in front of the end stay where they are. It
// is false where that cannot be told.
func (c *Conn) Gone() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(s uintptr) {
		fds := []unix.PollFd{{Fd: int32(s), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		gone = err == nil && n > 0
	})
	return gone || err != nil
}
