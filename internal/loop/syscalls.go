//go:build linux

package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These calls never wait, so the Go scheduler is not told of them: that would cost about
// as much as a small call itself. All of them start again when they are interrupted.

// Read is recv(2) of a non-blocking socket into b, which is not empty. It is cheaper than
// read(2), as Write is than write(2): these go through the layer of files first.
func Read(fd int32, b []byte) (int, error) { return transfer(unix.SYS_RECVFROM, fd, b, 0) }

// Peek is Read that leaves the bytes in the socket.
func Peek(fd int32, b []byte) (int, error) { return transfer(unix.SYS_RECVFROM, fd, b, unix.MSG_PEEK) }

// Write is send(2) of b, which is not empty, to a non-blocking socket.
func Write(fd int32, b []byte) (int, error) {
	return transfer(unix.SYS_SENDTO, fd, b, unix.MSG_NOSIGNAL)
}

func transfer(call uintptr, fd int32, b []byte, flags uintptr) (int, error) {
	for {
		n, _, e := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags|unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, e
		}
	}
}

// pollEvents is epoll_wait(2) that does not wait.
func pollEvents(epoll int, events []unix.EpollEvent) (int, error) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, e
		}
	}
}

// splice is splice(2) that does not wait.
func splice(from, to, n int) (int, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if err != unix.EINTR {
			return int(moved), err
		}
	}
}
