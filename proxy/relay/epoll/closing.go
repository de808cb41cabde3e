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

// closeSockets closes both sockets and retires the slot. It wipes the session's secrets.
func (l *loopSessions) closeSockets(h handle) {
	l.StopTimer(&h.Entry)
	l.slots.Retire(h.slot)
	for side := range h.sockets {
		if h.pending != nil && h.pending[side].pipe != nil {
			l.pipes.Return(h.pending[side].pipe)
			h.pending[side].pipe = nil
		}
		if !h.writePending(core.Side(side)) {
			l.sendCloseNotify(h, core.Side(side))
		}
		loop.Close(h.sockets[side].fd)
		if n := h.sockets[side].tlsCell; n >= 0 {
			l.tls.Remove(n)
		}
	}
	l.dropNote(h)
	l.sink.Closed(h.owner)
}
