//go:build linux

package loop

import (
	"net"
	"net/netip"
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

// WriteMore is [Write] of b before more is written at once: the system may wait for it, so that
// both go in the same segments. [Push] ends the wait.
func WriteMore(fd int32, b []byte) (int, error) {
	return transfer(unix.SYS_SENDTO, fd, b, unix.MSG_NOSIGNAL|unix.MSG_MORE)
}

// Push makes the system send what [WriteMore] has written, if nothing comes after it.
func Push(fd int32) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// WriteBoth is [Write] of a and then of b, in one call.
func WriteBoth(fd int32, a, b []byte) (int, error) {
	parts := [2]unix.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
	parts[0].SetLen(len(a))
	parts[1].SetLen(len(b))
	message := unix.Msghdr{Iov: &parts[0]}
	message.SetIovlen(len(parts))
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&message)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0, 0)
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, e
		}
	}
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

// Close is close(2) of a socket that does not linger.
func Close(fd int32) { syscall.RawSyscall6(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0, 0, 0) }

// control is epoll_ctl(2).
func control(epoll, op, fd int, event *unix.EpollEvent) error {
	if _, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(event)), 0, 0); e != 0 {
		return e
	}
	return nil
}

// accept is accept4(2) of a non-blocking connection. The address is invalid for a unix socket.
func accept(listener int) (fd int32, from netip.AddrPort, err error) {
	var raw unix.RawSockaddrInet6
	size := uint32(unsafe.Sizeof(raw))
	n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, netip.AddrPort{}, e
	}
	port := raw.Port<<8 | raw.Port>>8
	switch raw.Family {
	case unix.AF_INET:
		from = netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&raw)).Addr), port)
	case unix.AF_INET6:
		ip := netip.AddrFrom16(raw.Addr)
		if raw.Scope_id != 0 && !ip.Is4In6() {
			if i, err := net.InterfaceByIndex(int(raw.Scope_id)); err == nil {
				ip = ip.WithZone(i.Name)
			}
		}
		from = netip.AddrPortFrom(ip, port)
	}
	return int32(n), from, nil
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
