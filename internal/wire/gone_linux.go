package wire

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Gone reports whether the peer has closed the connection or its half of it,
// without reading: bytes that wait in front of the end stay where they are. It
// is false where that cannot be told.
func (c *Conn) Gone() bool { return c.poll(unix.POLLRDHUP) }

// Readable reports whether a Read of the socket would not wait. It is false
// where that cannot be told.
func (c *Conn) Readable() bool { return c.poll(unix.POLLIN) }

// poll reports whether one of the events holds now, or an error does.
func (c *Conn) poll(events int16) bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	holds := false
	err = raw.Control(func(s uintptr) {
		fds := []unix.PollFd{{Fd: int32(s), Events: events}}
		n, err := unix.Poll(fds, 0)
		holds = err == nil && n > 0
	})
	return holds || err != nil
}
