//go:build linux

package loop

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// An Acceptor accepts connections for loops from a listening socket of package net.
type Acceptor struct {
	file *os.File // of a duplicate of the socket's descriptor
	raw  syscall.RawConn
}

// NewAcceptor returns an acceptor for a listener, which stays open and the caller's.
func NewAcceptor(l net.Listener) (*Acceptor, error) {
	s, ok := l.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	if failed := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); failed != nil || err != nil {
		return nil, errors.Join(failed, os.NewSyscallError("fcntl", err))
	}
	a := &Acceptor{file: os.NewFile(uintptr(fd), "listener")}
	if a.raw, err = a.file.SyscallConn(); err != nil {
		a.file.Close()
		return nil, err
	}
	return a, nil
}

// Close makes Accept return [net.ErrClosed].
func (a *Acceptor) Close() { a.file.Close() }

// Accept waits for a connection: a *TCPConn, or a *Conn on a unix socket.
func (a *Acceptor) Accept() (net.Conn, error) {
	var (
		fd     int32
		remote netip.AddrPort
		err    error
	)
	if failed := a.raw.Read(func(s uintptr) bool {
		fd, remote, err = accept(int(s))
		return err != unix.EAGAIN
	}); failed != nil {
		return nil, net.ErrClosed
	}
	if err != nil {
		return nil, os.NewSyscallError("accept4", err)
	}
	return newStream(fd, remote), nil
}

// newStream returns a connection as [Acceptor.Accept] does.
func newStream(fd int32, remote netip.AddrPort) net.Conn {
	if !remote.IsValid() {
		return NewConn(fd, remote)
	}
	return &TCPConn{Conn{descriptor: descriptor{fd: fd}, remote: remote}}
}

// Open returns a connection on a connected, non-blocking socket: a *TCPConn, or a *Conn on a unix socket. It owns the
// descriptor, and closes it if it fails: the peer has gone.
func Open(descriptor int) (net.Conn, error) {
	peer, err := unix.Getpeername(descriptor)
	if err != nil {
		unix.Close(descriptor)
		return nil, os.NewSyscallError("getpeername", err)
	}
	var remote netip.AddrPort
	if _, local := peer.(*unix.SockaddrUnix); !local {
		remote = addrPort(peer)
	}
	return newStream(int32(descriptor), remote), nil
}

// addrPort returns a socket address as package net does. It is invalid for a unix socket.
func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr)
		if a.ZoneId != 0 && !ip.Is4In6() {
			if i, err := net.InterfaceByIndex(int(a.ZoneId)); err == nil {
				ip = ip.WithZone(i.Name)
			}
		}
		return netip.AddrPortFrom(ip, uint16(a.Port))
	}
	return netip.AddrPort{}
}
