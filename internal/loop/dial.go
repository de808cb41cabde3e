//go:build linux

package loop

import (
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sluice/internal/wire"
)

// dialOptions is how package net makes connections.
var dialOptions = [...]struct{ level, name, value int32 }{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int32(wire.DefaultKeepAlive / time.Second)},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int32(wire.DefaultKeepAlive / time.Second)},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
}

// Dial begins to open a TCP connection, and returns its non-blocking socket, which is the
// caller's. Unless it is connected already, it can be written to as soon as it is; a socket
// that has failed has an error (SO_ERROR) then.
func Dial(to netip.AddrPort) (fd int32, connected bool, err error) {
	family, address, size := rawAddress(to)
	if fd, err = socket(family); err != nil {
		return -1, false, err
	}
	for i := range dialOptions { // best effort
		o := &dialOptions[i]
		syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(o.level), uintptr(o.name), uintptr(unsafe.Pointer(&o.value)), unsafe.Sizeof(o.value), 0)
	}
	return connect(fd, unsafe.Pointer(&address), size)
}

// DialUnix is [Dial] for a unix socket. A path that begins with @ is an abstract one, as in package
// net.
func DialUnix(path string) (fd int32, connected bool, err error) {
	var address unix.RawSockaddrUnix
	if len(path) == 0 || len(path) >= len(address.Path) {
		return -1, false, os.NewSyscallError("connect", unix.EINVAL)
	}
	address.Family = unix.AF_UNIX
	for i := range len(path) {
		address.Path[i] = int8(path[i])
	}
	size := unsafe.Offsetof(address.Path) + uintptr(len(path)) + 1
	if path[0] == '@' {
		address.Path[0] = 0
		size--
	}
	if fd, err = socket(unix.AF_UNIX); err != nil {
		return -1, false, err
	}
	return connect(fd, unsafe.Pointer(&address), size)
}

func socket(family int) (int32, error) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0, 0, 0)
	if e != 0 {
		return -1, os.NewSyscallError("socket", e)
	}
	return int32(n), nil
}

// connect begins to connect a socket, which it closes if that fails.
func connect(fd int32, address unsafe.Pointer, size uintptr) (_ int32, connected bool, err error) {
	switch _, _, e := syscall.RawSyscall6(unix.SYS_CONNECT, uintptr(fd), uintptr(address), size, 0, 0, 0); e {
	case 0:
		return fd, true, nil
	case unix.EINPROGRESS, unix.EINTR: // it goes on after a signal too
		return fd, false, nil
	default:
		Close(fd)
		return -1, false, os.NewSyscallError("connect", e)
	}
}

// rawAddress returns an address as the system has it.
func rawAddress(a netip.AddrPort) (family int, raw unix.RawSockaddrInet6, size uintptr) {
	port := a.Port()<<8 | a.Port()>>8
	if ip := a.Addr().Unmap(); ip.Is4() {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&raw))
		four.Family, four.Port, four.Addr = unix.AF_INET, port, ip.As4()
		return unix.AF_INET, raw, unix.SizeofSockaddrInet4
	}
	raw.Family, raw.Port, raw.Addr = unix.AF_INET6, port, a.Addr().As16()
	return unix.AF_INET6, raw, unix.SizeofSockaddrInet6
}
