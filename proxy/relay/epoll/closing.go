//go:build linux && !portable

package epoll

import (
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/proxy/relay/core"
)

// finish reports a session, unless it is reported, and lets its sockets linger.
func (l *loopSessions) finish(h handle, linger time.Duration) {
	if !h.Finished() {
		l.sink.Ended(h.Core.Finish(h.owner, l.note(h), l.clock, l.Now()))
	}
	h.Linger(l.Now() + int64(linger))
	l.SetTimer(&h.Entry, h.LingersUntil())
}

// abort ends a session at once, or cuts its lingering short. A side that can still be reached
// gets its Close frame.
func (l *loopSessions) abort(h handle) {
	h.End(core.Ending{Cause: core.Shutdown}, core.Gateway)
	l.advance(h)
	if !h.Retired() {
		h.Expire()
		l.abandon(h, core.AbortLingerTime)
	}
}

// abandon finishes a session that is not waited for any more.
func (l *loopSessions) abandon(h handle, linger time.Duration) {
	l.advance(h)
	if h.Retired() {
		return
	}
	l.finish(h, linger)
	l.advance(h)
}

// closeWrites ends the gateway's stream to the sides of a finished session where the
// gateway is first to close.
func (l *loopSessions) closeWrites(h handle) {
	for side := range h.sockets {
		s, to := &h.sockets[side], core.Side(side)
		if s.is(writeClosed) || h.writePending(to) || !h.ClosesFirst(to) {
			continue
		}
		if l.sendCloseNotify(h, to); !h.writePending(to) {
			s.state |= writeClosed
			unix.Shutdown(int(s.fd), unix.SHUT_WR)
		}
	}
}

// closeSockets closes both sockets and retires the slot.
func (l *loopSessions) closeSockets(h handle) {
	for side := range h.sockets {
		if !h.writePending(core.Side(side)) {
			l.sendCloseNotify(h, core.Side(side))
		}
	}
	l.release(h)
}

// release gives back all that a session holds, and wipes its secrets. Each thing is marked as
// given back before it is: after a panic, the next call goes on with the next thing.
func (l *loopSessions) release(h handle) {
	l.StopTimer(&h.Entry)
	for side := range h.sockets {
		l.dropUnwritten(h, core.Side(side))
		s := &h.sockets[side]
		if cell := s.tlsCell; cell >= 0 {
			s.tlsCell = noTLS
			l.tls.Remove(cell)
		}
		if fd := s.fd; fd >= 0 {
			s.fd = closedFD
			loop.Close(fd)
		}
	}
	l.dropNote(h)
	if !h.Retired() {
		l.slots.Retire(h.slot)
		l.sink.Closed(h.owner)
	}
}
