//go:build linux && !portable

package epoll

import (
	"golang.org/x/sys/unix"

	"sluice/proxy/relay/core"
)

// advance does what the last change of a session has made possible: it sends the gateway's
// own frames, finishes and closes the session when it is over, and tells epoll and the
// timer what to wait for next. It is called after everything that changes a session.
func (l *loopSessions) advance(h handle) {
	l.resume(h, core.Client)
	l.resume(h, core.Backend)
	if h.Closing() {
		h.AwaitAnswers(l.Now())
	}
	for side := core.Client; side <= core.Backend; side++ {
		if h.writePending(side) {
			continue
		}
		if b := h.AppendOwn(side, l.ownFrame[:0], l.Now()); len(b) > 0 {
			l.writing[side] = true
			l.send(h, side, b, false)
			l.writing[side] = false
		}
	}
	if !h.Finished() && h.Over() && !h.writePending(core.Client) && !h.writePending(core.Backend) {
		l.finish(h, core.LingerTime)
	}
	if h.Finished() {
		l.closeWrites(h)
		if h.sockets[core.Client].is(readEnded) && h.sockets[core.Backend].is(readEnded) && !h.writePending(core.Client) && !h.writePending(core.Backend) {
			l.closeSockets(h)
			return
		}
	}
	l.watch(h)
	if !h.Retired() {
		l.releasePending(h)
		l.setTimer(h)
	}
}

// watch tells epoll which events of the sockets are of use now.
func (l *loopSessions) watch(h handle) {
	for side := range h.sockets {
		s := &h.sockets[side]
		var want uint8
		if !s.is(readEnded) && !h.paused(core.Side(side), l.Now()) {
			want |= unix.EPOLLIN
			if h.pending != nil && s.events&unix.EPOLLIN == 0 {
				h.pending[side].recordSince = l.Now() // the rest of a record could not come before
			}
		}
		if h.writePending(core.Side(side)) {
			want |= unix.EPOLLOUT
		}
		op := unix.EPOLL_CTL_MOD
		switch {
		case want == 0 && s.is(readEnded):
			s.events = 0 // what epoll still reports is left alone
			continue
		case want == 0 && s.is(hungUp):
			if op = unix.EPOLL_CTL_DEL; !s.is(watched) { // epoll would report the error again and again
				continue
			}
		case want == s.events && s.is(watched):
			continue
		case !s.is(watched):
			op = unix.EPOLL_CTL_ADD
		}
		if err := l.Control(op, s.fd, &h.Entry, uint8(side), uint32(want)|unix.EPOLLET|unix.EPOLLRDHUP); err != nil && !s.is(readEnded) {
			l.writeFailed(h, core.Side(side), err) // no memory, or no watches left
			s.state |= readEnded
			h.ReadEnded(core.Side(side), err)
			l.advance(h)
			return
		}
		s.events = want
		if s.state |= watched; op == unix.EPOLL_CTL_DEL {
			s.state &^= watched
		}
	}
}

// setTimer sets the timer of a session to the moment at which something is due. A timer
// that fires too early is set again then.
func (l *loopSessions) setTimer(h handle) {
	when := h.LingersUntil()
	if !h.Finished() {
		when = h.NextDue(l.Now(), h.blockedSince(), h.partialSince())
	}
	if when != 0 && (h.Timer() == 0 || when < h.Timer()) {
		l.SetTimer(&h.Entry, when)
	}
}

// tick does what is due in a session.
func (l *loopSessions) tick(h handle) {
	if h.Finished() {
		if h.LingersUntil() <= l.Now() {
			l.closeSockets(h)
		} else {
			l.setTimer(h)
		}
		return
	}
	for side := core.Client; side <= core.Backend && !h.Retired(); side++ {
		// Epoll reports room only when a third of the send buffer is free: a side
		// that takes little has made some room all the same.
		if h.writePending(side) {
			l.flush(h, side)
		}
	}
	switch {
	case h.Retired():
	case h.Tick(l.Now(), h.blockedSince(), h.partialSince()):
		l.abandon(h, core.LingerTime)
	default:
		l.advance(h)
	}
}

// blockedSince returns by side the moment since which it takes nothing of the bytes that
// wait for it; 0 where none wait.
func (h handle) blockedSince() (since [2]int64) {
	for side := core.Client; side <= core.Backend; side++ {
		if h.writePending(side) {
			since[side] = h.pending[side].blockedSince
		}
	}
	return since
}

// partialSince returns by side the moment since which the loop waits for the rest of a TLS
// record that the side has begun; 0 where none is begun, or while the side is not read.
func (h handle) partialSince() (since [2]int64) {
	for side := core.Client; side <= core.Backend; side++ {
		if h.pending != nil && len(h.pending[side].partialRecord) > 0 && h.sockets[side].events&unix.EPOLLIN != 0 {
			since[side] = h.pending[side].recordSince
		}
	}
	return since
}
