//go:build unix

package limit

import (
	"math"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// ForOperators returns how many descriptors clients leave to operators: 20, or a tenth of the limit if that is less.
// They are those of the highest numbers. As a new descriptor has the lowest number that is free (POSIX.1, section
// 2.14), none is left for clients when a connection gets one of these.
func ForOperators() int {
	const enough = 20
	most, ok := descriptorLimit()
	if !ok {
		return enough
	}
	return int(min(enough, most/10))
}

// Margin returns how many numbers there are from the descriptor of a connection to the first one that is for
// operators: none or less for one of theirs, and many where the system sets no limit.
func Margin(c net.Conn) int {
	margin := math.MaxInt
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { margin = marginOf(int(fd)) })
		}
	}
	return margin
}

// NextMargin is [Margin] for a descriptor that would be opened now, which takes two system calls more.
func NextMargin() int {
	next, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(next)
	return marginOf(next)
}

func marginOf(descriptor int) int {
	most, ok := descriptorLimit()
	if !ok {
		return math.MaxInt
	}
	return int(most) - ForOperators() - descriptor
}
