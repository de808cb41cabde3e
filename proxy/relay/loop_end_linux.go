//go:build !portable

package relay

import (
	"time"

	"golang.org/x/sys/unix"
)

// finish reports the session; its sockets linger.
func (l *loop) finish(k handle, linger time.Duration) {
	if !k.ended {
		k.ended = true
		k.group.countEnded(k.core)
		l.sink.Ended(k.core.report(k.owner, l.slots.note(k), l.clock, l.now))
	}
	k.deadline = l.now + int64(linger)
	l.timers.set(k.slot, k.deadline)
}

// abort ends the session at once, or its lingering; who can be told still is.
func (l *loop) abort(k handle) {
	k.end(Shutdown, Gateway)
	l.advance(k)
	if !k.closed {
		k.expire()
		l.abandon(k, cutTime)
	}
}

// abandon is for a session that is waited for no more.
func (l *loop) abandon(k handle, linger time.Duration) {
	l.advance(k)
	if k.closed {
		return
	}
	l.finish(k, linger)
	l.advance(k)
}

// closeSockets closes the sockets.
func (l *loop) closeSockets(k handle) {
	k.closed = true
	for side := range k.sockets {
		if k.pending != nil && k.pending[side].pipe != nil {
			l.pipes.release(k.pending[side].pipe)
			k.pending[side].pipe = nil
		}
		if !k.writePending(Side(side)) {
			l.sendCloseNotify(k, Side(side))
		}
		unix.Close(int(k.sockets[side].fd))
		if n := k.sockets[side].tlsCell; n >= 0 {
			l.tlsStates.remove(n)
		}
	}
	l.timers.remove(k.slot)
	l.sink.Closed(k.owner)
	l.closed = append(l.closed, k)
}

// freeClosed gives back the places of sessions whose sockets are closed. Nobody has
// them at hand between events.
func (l *loop) freeClosed() {
	for _, k := range l.closed {
		l.slots.release(k)
		l.load.Add(-1)
	}
	l.closed = l.closed[:0]
}
