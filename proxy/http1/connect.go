//go:build linux && !portable

package http1

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/proxy/backend/dial"
)

// add adds a connection that is not open yet.
func (u *upstreams) add(d *dial.Dialer) *upstream {
	p, r := u.slots.Alloc()
	up := &upstream{slot: p, dialer: d, fd: -1, connecting: true, records: records{cell: noTLS}}
	r.up = up
	u.Join()
	d.Connecting()
	return up
}

// connect opens a connection.
func (u *upstreams) connect(d *dial.Dialer) (*upstream, error) {
	up := u.add(d)
	if err := u.open(up); err != nil {
		u.close(up)
		return nil, err
	}
	return up, nil
}

// open begins to open a connection. After an error it has to be closed.
func (u *upstreams) open(up *upstream) (err error) {
	connected := false
	switch to := up.dialer.Direct(); {
	case to.TCP.IsValid():
		up.fd, connected, err = loop.Dial(to.TCP)
	case to.Unix != "":
		up.fd, connected, err = loop.DialUnix(to.Unix)
	default:
		u.openElsewhere(up)
		return nil
	}
	if err != nil {
		return err
	}
	up.connecting = !connected
	return u.watch(up)
}

// openElsewhere makes a goroutine open a connection: with TLS, or where there are several
// addresses.
func (u *upstreams) openElsewhere(up *upstream) {
	ctx, cancel := context.WithCancel(context.Background())
	up.cancel = cancel
	id, d := up.slot.SlotID(), up.dialer
	go func() {
		s, err := d.Detached(ctx)
		if !u.Post(func() { u.opened(id, s, err) }) && err == nil {
			closeSocket(s)
		}
	}()
}

// opened takes the connection that a goroutine has opened.
func (u *upstreams) opened(id loop.SlotID, s dial.Socket, err error) {
	_, r, ok := u.slots.At(id)
	if !ok {
		if err == nil {
			closeSocket(s)
		}
		return
	}
	up := r.up
	c := up.conn
	defer u.clients.guard(c)
	up.cancel()
	up.cancel = nil
	if err == nil {
		up.fd, up.records = int32(s.FD), u.clients.takeRecords(s.State, s.Unread)
		err = u.watch(up)
	}
	if err != nil {
		u.clients.failForward(c, err, Connecting)
		return
	}
	u.ready(up)
}

// closeSocket closes a socket that nobody wants any more.
func closeSocket(s dial.Socket) {
	loop.Close(int32(s.FD))
	if s.State != nil {
		s.State.Wipe()
	}
}

// watch makes epoll report what happens to a connection.
func (u *upstreams) watch(up *upstream) error {
	if err := u.Control(unix.EPOLL_CTL_ADD, up.fd, &up.slot.Entry, 0, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET); err != nil {
		return syscallError("epoll_ctl", err)
	}
	return nil
}

// syscallError returns an error of the system as package net has it.
func syscallError(call string, err error) error {
	return &callError{call, err}
}

type callError struct {
	call string
	err  error
}

func (e *callError) Error() string { return e.call + ": " + e.err.Error() }

func (e *callError) Unwrap() error { return e.err }

// connected finishes the opening of a connection, and goes on with its request. It is false if
// that has failed, or is not done, or the request is over.
func (u *upstreams) connected(up *upstream, events uint32) bool {
	if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
		return false
	}
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		errno, err := unix.GetsockoptInt(int(up.fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && errno != 0 {
			err = syscall.Errno(errno)
		}
		if err != nil {
			u.clients.failForward(up.conn, syscallError("connect", err), Connecting)
			return false
		}
	}
	c := up.conn
	u.ready(up)
	return up.conn == c
}

// ready sends what waits for a connection that is open now.
func (u *upstreams) ready(up *upstream) {
	c := up.conn
	up.connecting = false
	c.forward.x.Connected()
	c.forward.since = u.Now()
	request := up.waiting
	up.waiting = nil
	if u.send(up, request, nil); up.conn != c {
		return
	}
	if len(up.out) == 0 && !c.forward.request.over() {
		if u.clients.sendBody(c); up.conn != c {
			return
		}
	}
	u.clients.setTimerOf(c)
}
