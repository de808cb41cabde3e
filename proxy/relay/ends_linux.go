//go:build !portable

package relay

import (
	"time"

	"golang.org/x/sys/unix"
)

// report reports the session; its sockets linger.
func (l *loop) report(k joint, linger time.Duration) {
	if !k.done {
		k.done = true
		k.group.leave(k.core)
		l.sink.Ended(k.core.report(k.owner, l.sessions.note(k), l.clock, l.now))
	}
	k.deadline = l.now + int64(linger)
	l.alarms.set(k.place, k.deadline)
}

// cut ends the session at once, or its lingering; who can be told still is.
func (l *loop) cut(k joint) {
	k.end(Shutdown, Gateway)
	l.settle(k)
	if !k.gone {
		k.expire()
		l.giveUp(k, cutTime)
	}
}

// giveUp is for a session that is waited for no more.
func (l *loop) giveUp(k joint, linger time.Duration) {
	l.settle(k)
	if k.gone {
		return
	}
	l.report(k, linger)
	l.settle(k)
}

// drop closes the sockets.
func (l *loop) drop(k joint) {
	k.gone = true
	for side := range k.sockets {
		if k.hot != nil && k.hot[side].pipe != nil {
			l.pipes.giveBack(k.hot[side].pipe)
			k.hot[side].pipe = nil
		}
		if !k.busy(Side(side)) {
			l.sayGoodbye(k, Side(side))
		}
		unix.Close(int(k.sockets[side].fd))
		if n := k.sockets[side].secret; n >= 0 {
			l.secrets.drop(n)
		}
	}
	l.alarms.remove(k.place)
	l.sink.Closed(k.owner)
	l.dropped = append(l.dropped, k)
}

// bury gives back the places of sessions whose sockets are closed. Nobody has
// them at hand between events.
func (l *loop) bury() {
	for _, k := range l.dropped {
		l.sessions.give(k)
		l.load.Add(-1)
	}
	l.dropped = l.dropped[:0]
}
