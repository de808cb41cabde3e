//go:build linux && !portable

package http1

import (
	"slices"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/internal/record"
	"sluice/proxy/clientio"
)

// Stopped is connections of one loop that wait to go on, here or in another process. Nothing happens to them meanwhile.
type Stopped struct {
	loop  *loopConns
	conns []loop.SlotID
}

// An Offer is a connection that was stopped, and its socket, which stays open. It is good during the call that it is
// passed to.
type Offer struct {
	*Moved
	Client *clientio.Conn
	FD     int
}

// StopIdle stops connections of one loop that wait for a request, and calls add with each, on that loop. If it is not
// taken it goes on at once, and with more it is not offered again before [Engine.OfferAgain]. Without more that was the
// last call. StopIdle returns nil if no connection was taken. Who has stopped connections must call [Stopped.Settle]
// before the engine ends.
func (e *Engine) StopIdle(add func(Offer) (taken, more bool)) *Stopped {
	for _, l := range e.loops {
		s := &Stopped{loop: l}
		if l.Call(func() { l.stopIdle(s, add) }); len(s.conns) > 0 {
			return s
		}
	}
	return nil
}

// OfferAgain makes [Engine.StopIdle] offer all connections again.
func (e *Engine) OfferAgain() {
	for _, l := range e.loops {
		l.Call(func() { l.slots.Each(func(p *slot, _ *refs) { p.stays = false }) })
	}
}

func (l *loopConns) stopIdle(s *Stopped, add func(Offer) (taken, more bool)) {
	more := true
	l.slots.Each(func(p *slot, r *refs) {
		if !more || p.phase != readingPhase || p.stays || r.conn.over {
			return
		}
		if err := r.conn.sock.Unwatch(); err != nil { // it is closed
			return
		}
		l.StopTimer(&p.Entry)
		p.phase = movingPhase
		var taken bool
		switch taken, more = l.offer(p, r, add); {
		case taken:
			s.conns = append(s.conns, p.SlotID())
			return
		case more:
			p.stays = true
		}
		l.stay(p, r)
	})
}

// offer calls add with a connection that was stopped. A panic in it is no fault of the connection's, which stays.
func (l *loopConns) offer(p *slot, r *refs, add func(Offer) (taken, more bool)) (taken, more bool) {
	c := r.conn
	defer func() {
		if cause := recover(); cause != nil {
			l.panicked(c, cause)
			taken, more = false, true
		}
	}()
	in, out := c.Wire.Moved()
	m := &Moved{in: in, out: out, About: c.about, partial: c.partial, ahead: c.ahead, requests: c.requests, since: p.since, begun: p.begun}
	if c.cell != noTLS {
		m.state, _ = l.tls.At(c.cell)
	}
	fd, err := c.sock.Descriptor()
	if err != nil {
		return false, true
	}
	return add(Offer{m, c.Conn, fd})
}

// stay lets a connection that was stopped go on.
func (l *loopConns) stay(p *slot, r *refs) {
	c := r.conn
	defer l.guard(c)
	err := error(unix.ECANCELED)
	if !l.Stopping() && !c.server.ending.Load() && (c.requests == 0 || !c.server.draining.Load()) {
		err = l.Add(c.sock, &p.Entry, c)
	}
	if p.phase = readingPhase; err != nil {
		l.close(p, r)
		return
	}
	l.setTimer(p, c)
	p.readable = true // of what came meanwhile, epoll may not tell
	l.read(p, r)
}

// Settle ends what StopIdle has begun. Gone says of each connection, in the order in which it was offered, whether another
// process has it now: it is forgotten here, with its secrets, and its socket is closed, which stays open in that process.
// The others go on, and are not offered again before [Engine.OfferAgain].
func (s *Stopped) Settle(gone []bool) {
	l := s.loop
	l.Call(func() {
		for i, id := range s.conns {
			p, r, ok := l.slots.At(id)
			switch {
			case !ok: // it was cut
			case gone[i]:
				l.giveAway(r.conn)
			default:
				p.stays = true
				l.stay(p, r)
			}
		}
	})
}

// giveAway drops a connection that is another process's: nothing is sent.
func (l *loopConns) giveAway(c *conn) {
	defer l.guard(c)
	l.wipe(&c.records)
	clear(c.ahead)
	c.Wire.Cut() // tells forget
}

// Resume takes over a connection that another process has had, as [Server.Serve] does one that is new: client is a
// *[wire.Conn].
func (s *Server) Resume(client *clientio.Conn, m *Moved) bool {
	ahead := slices.Clone(m.ahead)
	if m.About != nil {
		client.Conn = record.NewConn(client.Wire, m.About, m.state, m.partial)
	}
	client.Wire.Continue(m.in, m.out)
	if s.take(client, beginning{ahead, m.requests, m.since, m.begun}) {
		return true
	}
	if t, ok := client.Conn.(*record.Conn); ok {
		state, _, _ := t.Release()
		state.Wipe()
	}
	return false
}
