//go:build linux

package loop

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Conn is a stream socket whose events a loop reports. Handlers use [Conn.Recv], [Conn.Peek],
// [Conn.Send], [Conn.SendMore], [Conn.Push] and [Conn.Drain], which never wait. For goroutines it is a [net.Conn], whose
// Reads and Writes wait for [Conn.Notify]. The Go runtime does not know of the socket: that
// would tell it of every event once more.
//
// One goroutine may read while another one writes. Close may be called at any time.
type Conn struct {
	descriptor descriptor
	waits      atomic.Pointer[waits] // nil until a goroutine uses the connection
	remote     netip.AddrPort        // invalid for a unix socket

	mu    sync.Mutex
	loop  *Loop // that reports its events, or will
	added bool  // it is in the epoll set
	owner Owner
	slot  SlotID // while the loop hosts it
}

// An Owner of a connection is told when its socket is closed or was taken: epoll reports
// nothing of it any more. Any goroutine may call Closed.
type Owner interface{ Closed() }

// waits is the goroutines that wait for a connection.
type waits struct{ read, write waiter }

// NewConn returns a connection on a connected, non-blocking socket, which it owns. Remote
// is the address of the peer; it is invalid for a unix socket.
func NewConn(fd int32, remote netip.AddrPort) *Conn {
	return &Conn{descriptor: descriptor{fd: fd}, remote: remote}
}

// ConnOf returns the connection that c is, or nil.
func ConnOf(c net.Conn) *Conn {
	switch c := c.(type) {
	case *Conn:
		return c
	case *TCPConn:
		return &c.Conn
	}
	return nil
}

// Add makes the loop report the events of a connection for a slot, edge-triggered and for
// both directions. From then on the connection tells its owner of its end. A connection that
// is hosted must be so by this loop, and no goroutine may use it meanwhile; it is not hosted
// any more.
func (l *Loop) Add(c *Conn, e *Entry, owner Owner) error {
	if !c.descriptor.acquire() {
		return net.ErrClosed
	}
	defer c.descriptor.release()
	defer func() {
		if c.IsClosed() { // meanwhile: the one before may have been told
			owner.Closed()
		}
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	op := unix.EPOLL_CTL_ADD
	if c.added {
		op = unix.EPOLL_CTL_MOD
	}
	if err := l.Control(op, c.descriptor.fd, e, 0, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET); err != nil {
		return err
	}
	if c.added {
		l.hosted.forget(c.slot)
		c.Unused()
	}
	c.loop, c.added, c.owner = l, true, owner
	return nil
}

// Recv reads once into b, which is not empty. Errors are those of the system, unix.EAGAIN
// among them, and [net.ErrClosed]; 0 without an error is the end of the stream.
func (c *Conn) Recv(b []byte) (int, error) {
	if !c.descriptor.acquire() {
		return 0, net.ErrClosed
	}
	defer c.descriptor.release()
	return Read(c.descriptor.fd, b)
}

// Peek is [Conn.Recv] that leaves the bytes in the socket.
func (c *Conn) Peek(b []byte) (int, error) {
	if !c.descriptor.acquire() {
		return 0, net.ErrClosed
	}
	defer c.descriptor.release()
	return Peek(c.descriptor.fd, b)
}

// Send writes of b, which is not empty, what the socket takes now, and returns how much
// that is. Errors are as those of [Conn.Recv].
func (c *Conn) Send(b []byte) (int, error) { return c.send(b, Write) }

// SendMore is [Conn.Send] of b before more is sent at once; see [WriteMore].
func (c *Conn) SendMore(b []byte) (int, error) { return c.send(b, WriteMore) }

func (c *Conn) send(b []byte, write func(fd int32, b []byte) (int, error)) (int, error) {
	if !c.descriptor.acquire() {
		return 0, net.ErrClosed
	}
	defer c.descriptor.release()
	return write(c.descriptor.fd, b)
}

// Push makes the system send what [Conn.SendMore] has sent, if nothing comes after it.
func (c *Conn) Push() {
	if c.descriptor.acquire() {
		defer c.descriptor.release()
		Push(c.descriptor.fd)
	}
}

// Drain is [Conn.Send] of what is in a pipe.
func (c *Conn) Drain(p *Pipe) (int, error) {
	if !c.descriptor.acquire() {
		return 0, net.ErrClosed
	}
	defer c.descriptor.release()
	return p.Drain(c.descriptor.fd)
}

// Notify wakes the goroutines that wait for what epoll reports.
func (c *Conn) Notify(events uint32) {
	w := c.waits.Load()
	if w == nil {
		return
	}
	if events&^unix.EPOLLOUT != 0 {
		w.read.wake()
	}
	if events&^(unix.EPOLLIN|unix.EPOLLRDHUP) != 0 {
		w.write.wake()
	}
}

// ensureWaits returns what goroutines wait with. It is called before their first look at
// the socket: what changes after that, they are told.
func (c *Conn) ensureWaits() *waits {
	if w := c.waits.Load(); w != nil {
		return w
	}
	w := new(waits)
	w.read.changed, w.write.changed = make(chan struct{}, 1), make(chan struct{}, 1)
	c.waits.CompareAndSwap(nil, w)
	return c.waits.Load()
}

// Unused frees what goroutines wait with: none uses the connection now.
func (c *Conn) Unused() {
	if w := c.waits.Swap(nil); w != nil {
		w.read.setDeadline(time.Time{})
		w.write.setDeadline(time.Time{})
	}
}

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) {
	w := &c.ensureWaits().read
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if w.expired() {
			return 0, c.failed("read", os.ErrDeadlineExceeded)
		}
		switch n, err := c.Recv(p); {
		case err == unix.EAGAIN:
			<-w.changed
		case err != nil:
			return 0, c.failed("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (n int, err error) {
	w := &c.ensureWaits().write
	for n < len(p) {
		if w.expired() {
			return n, c.failed("write", os.ErrDeadlineExceeded)
		}
		switch m, err := c.Send(p[n:]); {
		case err == unix.EAGAIN:
			<-w.changed
		case err != nil:
			return n, c.failed("write", err)
		default:
			n += m
		}
	}
	return n, nil
}

// failed returns the error of an operation as package net has it.
func (c *Conn) failed(op string, err error) error {
	if e, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, e)
	}
	return &net.OpError{Op: op, Net: c.network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Close implements [net.Conn]. It closes the socket at once.
func (c *Conn) Close() error {
	if !c.descriptor.end(false) {
		return net.ErrClosed
	}
	c.ended()
	return nil
}

// Detach takes the socket out of its loop and makes the descriptor the caller's. The
// connection is as one that was closed.
func (c *Conn) Detach() (fd int, err error) {
	if err := c.leaveLoop(); err != nil {
		return -1, err
	}
	if !c.descriptor.end(true) {
		return -1, net.ErrClosed
	}
	c.ended()
	return int(c.descriptor.fd), nil
}

// Unwatch takes the socket out of the epoll set, until the next [Loop.Add]. The owner is still told when it is closed.
func (c *Conn) Unwatch() error { return c.leaveLoop() }

// Descriptor returns the descriptor, which stays the connection's.
func (c *Conn) Descriptor() (fd int, err error) {
	return fd, c.control("descriptor", func(s int) error { fd = s; return nil })
}

// Take makes the descriptor the caller's, which has called Add: it stays in the epoll set. The
// connection is as one that was closed, but its owner is not told. It returns -1 if it was
// closed before.
func (c *Conn) Take() (fd int32) {
	if !c.descriptor.end(true) {
		return -1
	}
	return c.descriptor.fd
}

// leaveLoop takes the socket out of the epoll set.
func (c *Conn) leaveLoop() error {
	if !c.descriptor.acquire() {
		return net.ErrClosed
	}
	defer c.descriptor.release()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.added {
		return nil
	}
	if err := c.loop.Control(unix.EPOLL_CTL_DEL, c.descriptor.fd, new(Entry), 0, 0); err != nil {
		return err
	}
	c.added = false
	return nil
}

// ended wakes who waits, and tells the owner.
func (c *Conn) ended() {
	if w := c.waits.Load(); w != nil {
		w.read.wake()
		w.write.wake()
	}
	c.mu.Lock()
	owner := c.owner
	c.mu.Unlock()
	if owner != nil {
		owner.Closed()
	}
}

// IsClosed reports whether the socket was closed or taken.
func (c *Conn) IsClosed() bool { return c.descriptor.state.Load()&closedBit != 0 }

// CloseWrite sends the end of the stream.
func (c *Conn) CloseWrite() error {
	return c.control("shutdown", func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error {
	w := c.ensureWaits()
	w.read.setDeadline(t)
	w.write.setDeadline(t)
	return nil
}

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.ensureWaits().read.setDeadline(t)
	return nil
}

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.ensureWaits().write.setDeadline(t)
	return nil
}

func (c *Conn) network() string {
	if c.remote.IsValid() {
		return "tcp"
	}
	return "unix"
}

// RemoteAddr implements [net.Conn].
func (c *Conn) RemoteAddr() net.Addr {
	if c.remote.IsValid() {
		return net.TCPAddrFromAddrPort(c.remote)
	}
	return &net.UnixAddr{Net: "unix"}
}

// Remote returns the address of the peer. It is invalid for a unix socket.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// LocalAddr implements [net.Conn]. It is the zero address once the connection is closed.
func (c *Conn) LocalAddr() net.Addr {
	var local unix.Sockaddr
	if c.descriptor.acquire() {
		local, _ = unix.Getsockname(int(c.descriptor.fd))
		c.descriptor.release()
	}
	switch a := local.(type) {
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	case nil:
		if !c.remote.IsValid() {
			return &net.UnixAddr{Net: "unix"}
		}
	}
	return net.TCPAddrFromAddrPort(addrPort(local))
}

// control calls f with the descriptor, which stays open meanwhile.
func (c *Conn) control(op string, f func(fd int) error) error {
	if !c.descriptor.acquire() {
		return c.failed(op, net.ErrClosed)
	}
	defer c.descriptor.release()
	return os.NewSyscallError(op, f(int(c.descriptor.fd)))
}

// SyscallConn implements [syscall.Conn]. The connection cannot be read or written that way.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

type rawConn struct{ *Conn }

// Control implements [syscall.RawConn].
func (r rawConn) Control(f func(uintptr)) error {
	return r.control("control", func(fd int) error { f(uintptr(fd)); return nil })
}

// Read and Write implement [syscall.RawConn].
func (rawConn) Read(func(uintptr) bool) error  { return syscall.EINVAL }
func (rawConn) Write(func(uintptr) bool) error { return syscall.EINVAL }
