//go:build linux && !portable

package http1

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/loop"
	"sluice/internal/message"
)

// loopConns is the connections of clients on one loop, and the loop's [loop.Handler] for them.
type loopConns struct {
	*loop.Loop
	number    int // among the loops
	slots     loop.Slots[slot, refs, *slot]
	upstreams *upstreams

	tls loop.TLSStates

	beginning Exchange // that is neither a forwarding nor a goroutine's; nil without one

	request, answer, chunks, sealed []byte        // memory for what is written at once
	fields                          header.Fields // the same for header sections
	head                            h1.Head       // the same for the head of an answer
	over, spare                     []*forwarding // those that were over in this batch, and those that can be used again
}

func newLoopConns(l *loop.Loop, number int) *loopConns {
	conns := &loopConns{Loop: l, number: number}
	conns.slots.Kind = l.AddHandler(conns)
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
	closingPhase                 // a goroutine, which waits for the client's end
	movingPhase                  // nobody: another process may get it
)

// slot is the part of a connection without pointers.
type slot struct {
	loop.Entry
	since    int64 // the moment at which the head began or, before its first byte, the wait for it
	phase    phase
	begun    bool // some of the head has come
	readable bool // there may be something to read of which epoll has told
	ended    bool // the end of the stream has come, behind what is to be read
	stays    bool // it was offered to another process, which does not get it
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
	defer l.guard(c)
	if p.phase == servingPhase || p.phase == closingPhase {
		c.sock.Notify(events)
	}
	p.ended = p.ended || events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	if events&^unix.EPOLLOUT != 0 {
		if p.readable = true; p.phase == readingPhase {
			l.read(p, r)
		}
	}
	if p.phase == forwardingPhase && p.readable && !c.forward.request.over() {
		l.sendBody(c)
	}
	switch { // the end may have come with the request
	case p.Retired() || p.phase == readingPhase || p.phase == closingPhase || p.phase == movingPhase:
	case p.phase == forwardingPhase && events&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		l.clientLeft(c, errClientLeft)
	case p.phase == forwardingPhase && p.ended && c.forward.unread():
		c.forward.leaveAt = l.Now() + leaveTime
		l.setTimer(p, c)
	case p.phase == forwardingPhase && !c.forward.request.over() && !c.forward.blocked():
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

// leaveTime is how long an endpoint may take nothing of a request whose client has ended its
// stream: then the client has left.
const leaveTime = int64(time.Second)

var errClientLeft = errors.New("the client went away")

// Due ends a wait that has taken too long. The timer is not stopped while a goroutine has the
// connection, and not set again for each request.
func (l *loopConns) Due(id loop.SlotID) {
	p, r, ok := l.slots.At(id)
	if !ok {
		return
	}
	defer l.guard(r.conn)
	switch {
	case p.phase == servingPhase || p.phase == closingPhase || p.phase == movingPhase:
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

// setTimerOf is setTimer for a connection, if it still waits.
func (l *loopConns) setTimerOf(c *conn) {
	if p, _, ok := l.slots.At(c.slot); ok && c.forward != nil {
		l.setTimer(p, c)
	}
}

// BatchDone frees the slots of connections that are closed.
func (l *loopConns) BatchDone() {
	if n := l.slots.FreeRetired(); n > 0 {
		l.Leave(n)
	}
	l.recycle()
}

// Stop closes all connections. Their requests were answered before, or are cut.
func (l *loopConns) Stop() {
	l.slots.Each(l.cut)
}

// cut closes a connection, whatever it does.
func (l *loopConns) cut(p *slot, r *refs) {
	defer l.guard(r.conn)
	switch p.phase {
	case servingPhase, closingPhase:
		r.conn.Wire.Cut()
	case forwardingPhase:
		l.clientLeft(r.conn, errCut)
	case movingPhase: // nothing may be sent; see stay
	default:
		l.close(p, r)
	}
}

var errCut = errors.New("the gateway stops")

// start begins to read a connection. Since and begun are those of its slot; since 0 means now.
func (l *loopConns) start(c *conn, since int64, begun bool) {
	p, r := l.slots.Alloc()
	r.conn, c.slot, p.since, p.begun = c, p.SlotID(), cmp.Or(since, l.Now()), begun
	defer l.guard(c)
	ended := l.takeBack(c)
	err := error(unix.ECANCELED)
	if !l.Stopping() {
		err = l.Add(c.sock, &p.Entry, c)
	}
	if err != nil {
		l.close(p, r)
		l.forget(c) // it has no owner to be told
		return
	}
	if ended != nil {
		l.close(p, r)
		return
	}
	l.setTimer(p, c)
	if len(c.ahead) > 0 && l.take(p, r, c.ahead, 0) {
		return
	}
	p.readable = true // epoll will tell too, but not of what was read with the handshake
	l.read(p, r)
}

// read reads until the head of a request is there, or nothing more has come.
func (l *loopConns) read(p *slot, r *refs) {
	c := r.conn
	for p.readable {
		in, err := l.recv(p, c, 0, len(l.Buffer))
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			l.close(p, r)
			return
		case len(in) == 0: // the rest of a TLS record is to come
			l.begin(p, c)
			l.setTimer(p, c)
			continue
		}
		seen := len(c.ahead)
		if seen > 0 {
			c.ahead = append(c.ahead, in...)
			in = c.ahead
		}
		if l.take(p, r, in, seen) {
			return
		}
	}
}

// begin notes that a head has begun.
func (l *loopConns) begin(p *slot, c *conn) {
	if p.begun {
		return
	}
	p.begun = true
	if c.requests > 0 { // else the time has begun with the connection
		p.since = l.Now()
	}
}

// take looks for the head of a request in in, of which seen bytes were looked at before. It
// gives the connection to a goroutine if there is one, or what is none, and reports whether
// it did. Otherwise it keeps in.
func (l *loopConns) take(p *slot, r *refs, in []byte, seen int) bool {
	c := r.conn
	if len(in) > 0 {
		l.begin(p, c)
	}
	for len(in) >= 2 && in[0] == '\r' && in[1] == '\n' { // RFC 9112, section 2.2
		in, seen = in[2:], max(seen-2, 0)
	}
	end, refusal := h1.EndOfHead(in, seen), (*h1.Refusal)(nil)
	if end == 0 {
		if len(in) <= c.server.limits.Size {
			c.ahead = append(c.ahead[:0], in...)
			l.setTimer(p, c)
			return false
		}
		end, refusal = len(in), h1.TooLarge(in, c.server.limits)
	}
	l.dispatch(p, c, in[:end], in[end:], refusal)
	return true
}

// dispatch begins a request, or refuses what is none.
func (l *loopConns) dispatch(p *slot, c *conn, head, rest []byte, refusal *h1.Refusal) {
	f := l.newForwarding()
	h, wrong := h1.ParseRequest(head, f.fields, c.server.limits)
	if refusal == nil {
		refusal = wrong
	}
	f.fields = h.Fields
	p.begun, c.ahead = false, nil
	c.EndHead()
	if c.requests++; c.requests == 1 {
		c.server.used()
	}
	if refusal != nil {
		c.keep(rest)
		l.refuse(p, c, &h, refusal)
		return
	}
	trailer := announced(&h)
	r := message.FromHead(&h, c.Wire.Peer(), trailer)
	r.TLS = c.about
	x := c.server.options.Begin(c.Conn, r)
	l.beginning = x
	if !h.Expects && x.Forward() {
		f.trailer = trailer
		l.beginForward(p, c, x, &h, f, rest)
		return
	}
	c.keep(rest)
	l.serve(p, c, x, newWriterFor(c, &h, trailer))
}

// refuse gives a connection to a goroutine, which answers what is no request. H is what could be
// read of it.
func (l *loopConns) refuse(p *slot, c *conn, h *h1.Head, why *h1.Refusal) {
	w := newWriterFor(c, h, announced(h))
	w.closes = true
	r := message.FromHead(h, c.Wire.Peer(), w.body.trailer)
	r.TLS = c.about
	l.hand(p, c, w, func(ctx context.Context) {
		r.Carry(ctx, &w.body, &w.body.trailer)
		c.server.options.Refuse(ctx, c.Conn, w, r, why)
	})
}

// serve gives a connection to a goroutine, which serves a request.
func (l *loopConns) serve(p *slot, c *conn, x Exchange, w *writer) {
	var body io.ReadCloser = &w.body
	if w.body.frame.Done() {
		body = http.NoBody
	}
	l.hand(p, c, w, func(ctx context.Context) { x.Serve(ctx, w, body, &w.body.trailer) })
}

// hand gives a connection to a goroutine.
func (l *loopConns) hand(p *slot, c *conn, w *writer, handle func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	p.phase, c.cancel, l.beginning = servingPhase, cancel, nil
	w.body.left = cancel
	l.lend(c)
	go c.serve(w, func() { handle(ctx) })
}

// resume takes a connection back from its goroutine, unless it was cut meanwhile.
func (l *loopConns) resume(c *conn) {
	defer l.guard(c)
	p, r, ok := l.slots.At(c.slot)
	if !ok {
		return
	}
	c.cancel()
	c.cancel = nil
	c.sock.Unused()
	if l.takeBack(c) != nil {
		l.close(p, r)
		return
	}
	p.readable = p.readable || c.over
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
	l.read(p, r)
	switch {
	case p.phase != readingPhase || p.Retired():
	case l.Stopping() || c.server.draining.Load():
		l.close(p, r)
	default:
		l.setTimer(p, c)
	}
}

// close closes a connection that no goroutine has. It may linger, on a goroutine.
func (l *loopConns) close(p *slot, r *refs) {
	p.phase = closingPhase
	l.StopTimer(&p.Entry)
	l.endTLS(r.conn, true)
	r.conn.server.remove(r.conn)
	r.conn.Conn.Close()
}

// forget forgets a connection whose socket is closed, or was taken.
func (l *loopConns) forget(c *conn) {
	p, _, ok := l.slots.At(c.slot)
	if !ok {
		return
	}
	if c.cancel != nil {
		c.cancel()
	}
	l.endTLS(c, false)
	l.StopTimer(&p.Entry)
	l.slots.Retire(p)
	c.server.remove(c)
}
