//go:build linux && !portable

package epoll

import (
	"golang.org/x/sys/unix"

	"sluice/proxy/relay/core"
)

// Stopped is sessions of one loop that wait to go on, here or in another process. Nothing happens to them meanwhile:
// their sockets are not read or written, their timers stand still, and no call of the engine finds them.
type Stopped struct {
	loop     *loopSessions
	sessions []handle
}

// An Offer is a session that was stopped, and its sockets, which stay open. It is good during the call that it is
// passed to.
type Offer struct {
	*Carried
	View            core.View
	Client, Backend int // descriptors
}

// StopSome stops sessions of one loop and calls add with each, on that loop. If it is not taken it goes on at
// once, and with more it is not offered again before [Engine.OfferAgain]. Without more that was the last call. StopSome
// returns nil if no session was taken. Who has stopped sessions must call [Stopped.Settle] before the engine ends.
func (e *Engine) StopSome(add func(Offer) (taken, more bool)) *Stopped {
	for _, l := range e.loops {
		s := &Stopped{loop: l}
		if l.Call(func() { l.stopSome(s, add) }); len(s.sessions) > 0 {
			return s
		}
	}
	return nil
}

func (l *loopSessions) stopSome(s *Stopped, add func(Offer) (taken, more bool)) {
	more := true
	l.each(func(h handle) {
		if client := &h.sockets[core.Client]; !more || client.is(stays) || client.fd < 0 || h.sockets[core.Backend].fd < 0 || !h.Movable() {
			return
		}
		taken := false
		defer func() { // after a panic too
			if !taken {
				l.goOn(h)
			}
		}()
		l.stop(h)
		switch taken, more = l.offer(h, add); {
		case taken:
			s.sessions = append(s.sessions, h)
		case more:
			h.sockets[core.Client].state |= stays
		}
	})
}

// offer calls add with a session that was stopped. A panic in it is no fault of the session's, which stays.
func (l *loopSessions) offer(h handle, add func(Offer) (taken, more bool)) (taken, more bool) {
	defer func() {
		if cause := recover(); cause != nil {
			l.logPanic(h, cause)
			taken, more = false, true
		}
	}()
	return add(Offer{l.carried(h), l.view(h), int(h.sockets[core.Client].fd), int(h.sockets[core.Backend].fd)})
}

// OfferAgain makes [Engine.StopSome] offer all sessions again.
func (e *Engine) OfferAgain() {
	for _, l := range e.loops {
		l.Call(func() { l.each(func(h handle) { h.sockets[core.Client].state &^= stays }) })
	}
}

// stop stops a session. What is in a pipe waits outside it from now on: a pipe stays with its process.
func (l *loopSessions) stop(h handle) {
	l.StopTimer(&h.Entry)
	for side := range h.sockets {
		l.emptyPipe(h, core.Side(side))
		s := &h.sockets[side]
		if s.is(watched) { // before it is closed: epoll reports it for as long as any process has it open
			l.Control(unix.EPOLL_CTL_DEL, s.fd, &h.Entry, uint8(side), 0)
		}
		s.state, s.events = s.state&^watched|stopped, 0
	}
}

// goOn lets a session that was stopped go on.
func (l *loopSessions) goOn(h handle) {
	for side := range h.sockets {
		h.sockets[side].state &^= stopped
	}
	l.step(h, l.proceed)
}

// emptyPipe makes what is in the pipe to a side wait outside it.
func (l *loopSessions) emptyPipe(h handle, to core.Side) {
	if h.pending == nil || h.pending[to].pipe == nil {
		return
	}
	p := &h.pending[to]
	pipe, n := p.pipe, len(p.out)
	p.out = append(p.out, make([]byte, pipe.Len())...)
	if err := pipe.Read(p.out[n:]); err != nil {
		l.writeFailed(h, to, err) // a part of a frame is missing
		return
	}
	p.pipe = nil
	l.Pipes.Return(pipe)
}

// Settle ends what StopSome has begun. Gone says of each session, in the order in which it was offered, whether
// another process has it now: it is forgotten here, with its secrets, and its sockets are closed, which stay open in that
// process. The others go on, and are not offered again before [Engine.OfferAgain].
func (s *Stopped) Settle(gone []bool) {
	s.loop.Call(func() {
		for i, h := range s.sessions {
			if gone[i] {
				s.loop.forget(h)
			} else {
				h.sockets[core.Client].state |= stays
				s.loop.goOn(h)
			}
		}
	})
}

// forget drops a session that is another process's.
func (l *loopSessions) forget(h handle) {
	defer l.guardEnd(h)
	h.Forget()
	l.sink.Gone(l.view(h))
	l.release(h)
}
