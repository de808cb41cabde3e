//go:build linux && !portable

package http1

import (
	"context"

	"golang.org/x/sys/unix"

	"sluice/internal/h1"
	"sluice/internal/loop"
)

// loopConns is the connections of one loop, and the loop's [loop.Handler] for them.
type loopConns struct {
	*loop.Loop
	slots loop.Slots[slot, refs, *slot]

	readSocket func(fd uintptr) // reads once into Buffer, for a RawConn
	n          int              // what it has read
	err        error
}

func newLoopConns(l *loop.Loop) *loopConns {
	conns := &loopConns{Loop: l}
	conns.slots.Kind = l.AddHandler(conns)
	conns.readSocket = func(fd uintptr) { conns.n, conns.err = loop.Read(int32(fd), conns.Buffer[:]) }
	return conns
}

// slot is the part of a connection without pointers. The loop has the connection while it is
// not busy.
type slot struct {
	loop.Entry
	since    int64 // the moment at which the head began or, before its first byte, the wait for it
	busy     bool  // a goroutine has it
	begun    bool  // some of the head has come
	readable bool  // there may be something to read of which epoll has told
	ended    bool  // the end of the stream has come, behind what is to be read
}

// refs is the part of a connection with pointers.
type refs struct{ conn *conn }

// Ready handles what epoll reports of a socket. Epoll reports each arrival once.
func (l *loopConns) Ready(id loop.SlotID, _ uint8, events uint32) {
	p, r, ok := l.slots.At(id)
	if !ok {
		return
	}
	p.ended = p.ended || events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	if p.busy {
		p.readable = true
	} else {
		l.read(p, r)
	}
	if p.busy && p.ended { // the end may have come with the request
		r.conn.left()
	}
}

// Due ends a wait that has taken too long. The timer is not stopped while a goroutine has the
// connection, and not set again for each request.
func (l *loopConns) Due(id loop.SlotID) {
	p, r, ok := l.slots.At(id)
	if !ok || p.busy {
		return
	}
	if l.deadline(p, r) <= l.Now() {
		l.close(p, r)
		return
	}
	l.setTimer(p, r)
}

// deadline returns the moment until which the connection waits.
func (l *loopConns) deadline(p *slot, r *refs) int64 {
	o := &r.conn.server.options
	if p.begun || r.conn.requests == 0 {
		return p.since + int64(o.HeaderTimeout)
	}
	return p.since + int64(o.IdleTimeout)
}

// setTimer makes the timer fire early enough for the deadline.
func (l *loopConns) setTimer(p *slot, r *refs) {
	if when := l.deadline(p, r); p.Timer() == 0 || when < p.Timer() {
		l.SetTimer(&p.Entry, when)
	}
}

// BatchDone frees the slots of connections that are closed.
func (l *loopConns) BatchDone() {
	if n := l.slots.FreeRetired(); n > 0 {
		l.Leave(n)
	}
}

// Stop closes all connections. Their requests were answered before, or are cut.
func (l *loopConns) Stop() {
	l.slots.Each(func(p *slot, r *refs) {
		if p.busy {
			r.conn.Wire.Cut()
		} else {
			l.close(p, r)
		}
	})
}

// start begins to read a connection.
func (l *loopConns) start(c *conn) {
	p, r := l.slots.Alloc()
	r.conn, c.slot, p.since = c, p.SlotID(), l.Now()
	err := error(unix.ECANCELED)
	if !l.Stopping() {
		if failed := c.raw.Control(func(fd uintptr) {
			err = l.Control(unix.EPOLL_CTL_ADD, int32(fd), &p.Entry, 0, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLET)
		}); failed != nil {
			err = failed
		}
	}
	if err != nil {
		l.close(p, r)
		return
	}
	l.setTimer(p, r)
	if len(c.ahead) > 0 {
		l.take(p, r, c.ahead, 0)
	}
}

// read reads until the head of a request is there, or nothing more has come.
func (l *loopConns) read(p *slot, r *refs) {
	c := r.conn
	for {
		if err := c.raw.Control(l.readSocket); err != nil {
			l.err = err // it was closed
		}
		switch {
		case l.err == unix.EAGAIN:
			return
		case l.err != nil || l.n == 0 || c.Wire.Received(l.n) != nil:
			l.close(p, r)
			return
		}
		in, seen := l.Buffer[:l.n], len(c.ahead)
		if seen > 0 {
			c.ahead = append(c.ahead, in...)
			in = c.ahead
		}
		if l.take(p, r, in, seen) {
			p.readable = l.n == len(l.Buffer) || p.ended // no event tells of what came before
			return
		}
	}
}

// take looks for the head of a request in in, of which seen bytes were looked at before. It
// gives the connection to a goroutine if there is one, or what is none, and reports whether
// it did. Otherwise it keeps in.
func (l *loopConns) take(p *slot, r *refs, in []byte, seen int) bool {
	c := r.conn
	for len(in) >= 2 && in[0] == '\r' && in[1] == '\n' { // RFC 9112, section 2.2
		in, seen = in[2:], max(seen-2, 0)
	}
	if !p.begun && len(in) > 0 {
		p.begun = true
		if c.requests > 0 { // else the time has begun with the connection
			p.since = l.Now()
		}
	}
	end, refusal := h1.EndOfHead(in, seen), (*h1.Refusal)(nil)
	if end == 0 {
		if len(in) <= c.server.limits.Size {
			c.ahead = append(c.ahead[:0], in...)
			l.setTimer(p, r)
			return false
		}
		end, refusal = len(in), h1.TooLarge(in)
	}
	l.dispatch(p, c, in[:end], in[end:], refusal)
	return true
}

// dispatch gives a connection to a goroutine.
func (l *loopConns) dispatch(p *slot, c *conn, head, rest []byte, refusal *h1.Refusal) {
	h, wrong := h1.ParseRequest(head, nil, c.server.limits)
	if refusal == nil {
		refusal = wrong
	}
	if c.ahead = nil; len(rest) > 0 {
		c.ahead = append([]byte(nil), rest...)
	}
	p.busy, p.begun = true, false
	c.EndHead()
	if c.requests++; c.requests == 1 {
		c.server.used()
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go c.serve(ctx, h, refusal)
}

// resume takes a connection back from its goroutine.
func (l *loopConns) resume(c *conn) {
	p, r, _ := l.slots.At(c.slot)
	c.cancel()
	p.busy, p.since = false, l.Now()
	c.BeginHead()
	if len(c.ahead) > 0 && l.take(p, r, c.ahead, 0) {
		return
	}
	if p.readable {
		p.readable = false
		l.read(p, r)
	}
	switch {
	case p.busy || p.Retired():
	case l.Stopping() || c.server.stopping.Load():
		l.close(p, r)
	default:
		l.setTimer(p, r)
	}
}

// close closes a connection that no goroutine has.
func (l *loopConns) close(p *slot, r *refs) {
	c := r.conn
	l.retire(p, c)
	c.Conn.Close()
}

// forget forgets a connection whose goroutine has closed it, or taken it for itself.
func (l *loopConns) forget(c *conn) {
	c.cancel()
	p, _, _ := l.slots.At(c.slot)
	l.retire(p, c)
}

func (l *loopConns) retire(p *slot, c *conn) {
	l.StopTimer(&p.Entry)
	l.slots.Retire(p)
	c.server.remove(c)
}
