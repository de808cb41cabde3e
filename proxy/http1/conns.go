//go:build linux && !portable

package http1

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/sys/unix"

	"sluice/internal/h1"
	"sluice/internal/loop"
	"sluice/internal/message"
)

// loopConns is the connections of clients on one loop, and the loop's [loop.Handler] for them.
type loopConns struct {
	*loop.Loop
	slots     loop.Slots[slot, refs, *slot]
	upstreams *upstreams

	readSocket  func(fd uintptr) // reads once into Buffer, for a RawConn
	writeSocket func(fd uintptr) // writes pending once
	pending     []byte
	n           int // what it has read or written
	err         error

	request, answer, chunks []byte // memory for what is written at once
}

func newLoopConns(l *loop.Loop) *loopConns {
	conns := &loopConns{Loop: l}
	conns.slots.Kind = l.AddHandler(conns)
	conns.readSocket = func(fd uintptr) { conns.n, conns.err = loop.Read(int32(fd), conns.Buffer[:]) }
	conns.writeSocket = func(fd uintptr) { conns.n, conns.err = loop.Write(int32(fd), conns.pending) }
	conns.upstreams = &upstreams{Loop: l, clients: conns}
	conns.upstreams.slots.Kind = l.AddHandler(conns.upstreams)
	return conns
}

// phase is who has a connection, and what for.
type phase uint8

const (
	readingPhase    phase = iota // the loop, which waits for a head
	forwardingPhase              // the loop, which forwards a request
	servingPhase                 // a goroutine, which serves a request
)

// slot is the part of a connection without pointers.
type slot struct {
	loop.Entry
	since    int64 // the moment at which the head began or, before its first byte, the wait for it
	phase    phase
	begun    bool // some of the head has come
	readable bool // there may be something to read of which epoll has told
	ended    bool // the end of the stream has come, behind what is to be read
}

// refs is the part of a connection with pointers.
type refs struct{ conn *conn }

// Ready handles what epoll reports of a socket. Epoll reports each change once.
func (l *loopConns) Ready(id loop.SlotID, _ uint8, events uint32) {
	p, r, ok := l.slots.At(id)
	if !ok {
		return
	}
	c := r.conn
	p.ended = p.ended || events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	if events&^unix.EPOLLOUT != 0 {
		if p.phase == readingPhase {
			l.read(p, r)
		} else {
			p.readable = true
		}
	}
	switch { // the end may have come with the request
	case p.Retired() || p.phase == readingPhase:
	case p.ended && c.gone():
		if p.phase == servingPhase {
			c.cancel()
		} else {
			l.clientLeft(c, errClientLeft)
		}
	case p.phase == forwardingPhase && events&unix.EPOLLOUT != 0:
		l.writable(p, c)
	}
}

var errClientLeft = errors.New("the client went away")

// Due ends a wait that has taken too long. The timer is not stopped while a goroutine has the
// connection, and not set again for each request.
func (l *loopConns) Due(id loop.SlotID) {
	p, r, ok := l.slots.At(id)
	switch {
	case !ok || p.phase == servingPhase:
	case p.phase == forwardingPhase:
		l.forwardDue(p, r.conn)
	case l.deadline(p, r.conn) <= l.Now():
		l.close(p, r)
	default:
		l.setTimer(p, r.conn)
	}
}

// deadline returns the moment until which the connection waits; 0 means none.
func (l *loopConns) deadline(p *slot, c *conn) int64 {
	o := &c.server.options
	switch {
	case p.phase == forwardingPhase:
		return c.forward.deadline()
	case p.begun || c.requests == 0:
		return p.since + int64(o.HeaderTimeout)
	}
	return p.since + int64(o.IdleTimeout)
}

// setTimer makes the timer fire early enough for the deadline.
func (l *loopConns) setTimer(p *slot, c *conn) {
	if when := l.deadline(p, c); when != 0 && (p.Timer() == 0 || when < p.Timer()) {
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
	l.slots.Each(l.cut)
}

// cut closes a connection, whatever it does.
func (l *loopConns) cut(p *slot, r *refs) {
	switch p.phase {
	case servingPhase:
		r.conn.Wire.Cut()
	case forwardingPhase:
		l.clientLeft(r.conn, errCut)
	default:
		l.close(p, r)
	}
}

var errCut = errors.New("the gateway stops")

// start begins to read a connection.
func (l *loopConns) start(c *conn) {
	p, r := l.slots.Alloc()
	r.conn, c.slot, p.since = c, p.SlotID(), l.Now()
	err := error(unix.ECANCELED)
	if !l.Stopping() {
		if failed := c.raw.Control(func(fd uintptr) {
			err = l.Control(unix.EPOLL_CTL_ADD, int32(fd), &p.Entry, 0, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET)
		}); failed != nil {
			err = failed
		}
	}
	if err != nil {
		l.close(p, r)
		return
	}
	l.setTimer(p, c)
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
			l.setTimer(p, c)
			return false
		}
		end, refusal = len(in), h1.TooLarge(in)
	}
	l.dispatch(p, c, in[:end], in[end:], refusal)
	return true
}

// dispatch begins a request, or refuses what is none.
func (l *loopConns) dispatch(p *slot, c *conn, head, rest []byte, refusal *h1.Refusal) {
	h, wrong := h1.ParseRequest(head, nil, c.server.limits)
	if refusal == nil {
		refusal = wrong
	}
	if c.ahead = nil; len(rest) > 0 {
		c.ahead = append([]byte(nil), rest...)
	}
	p.begun = false
	c.EndHead()
	if c.requests++; c.requests == 1 {
		c.server.used()
	}
	o := &c.server.options
	if refusal == nil && h.Length == 0 {
		x := o.Begin(c.Conn, message.FromHead(context.Background(), &h, c.Wire.Peer(), http.NoBody, new(http.Header)))
		if x.Forward() {
			l.beginForward(p, c, x, h.Close)
			return
		}
		l.serve(p, c, x, newWriter(c, &h))
		return
	}
	w := newWriter(c, &h)
	r := message.FromHead(context.Background(), &h, c.Wire.Peer(), &w.body, &w.body.trailer)
	if refusal == nil {
		l.serve(p, c, o.Begin(c.Conn, r), w)
		return
	}
	w.closes = true
	l.hand(p, c, w, func(ctx context.Context) { o.Refuse(ctx, c.Conn, w, r, refusal) })
}

// serve gives a connection to a goroutine, which serves a request.
func (l *loopConns) serve(p *slot, c *conn, x Exchange, w *writer) {
	l.hand(p, c, w, func(ctx context.Context) { x.Serve(ctx, w) })
}

// hand gives a connection to a goroutine.
func (l *loopConns) hand(p *slot, c *conn, w *writer, handle func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	p.phase, c.cancel = servingPhase, cancel
	go c.serve(w, func() { handle(ctx) })
}

// resume takes a connection back from its goroutine.
func (l *loopConns) resume(c *conn) {
	c.cancel()
	p, r, _ := l.slots.At(c.slot)
	l.goOn(p, r)
}

// goOn waits for the next request of a connection.
func (l *loopConns) goOn(p *slot, r *refs) {
	c := r.conn
	p.phase, p.since = readingPhase, l.Now()
	c.BeginHead()
	if len(c.ahead) > 0 && l.take(p, r, c.ahead, 0) {
		return
	}
	if p.readable {
		p.readable = false
		l.read(p, r)
	}
	switch {
	case p.phase != readingPhase || p.Retired():
	case l.Stopping() || c.server.stopping.Load():
		l.close(p, r)
	default:
		l.setTimer(p, c)
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
