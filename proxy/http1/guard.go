//go:build linux && !portable

package http1

import (
	"runtime/debug"

	"sluice/internal/loop"
)

// guard is deferred in every step of a connection on the loop. A panic ends that connection
// alone: what its exchange has is given back, the sockets are closed, and the loop goes on.
func (l *loopConns) guard(c *conn) {
	cause := recover()
	if cause == nil {
		return
	}
	l.panicked(c, cause)
	x := l.beginning
	l.beginning = nil
	if f := c.forward; f != nil {
		x = f.x
		if f.up != nil {
			l.upstreams.drop(f.up)
		}
		if f.blocked() { // in the middle of a record
			l.wipe(&c.records)
		}
		l.dropPipe(f)
		c.forward = nil
	}
	if x != nil {
		x.Abort()
	}
	p, r, ok := l.slots.At(c.slot)
	switch {
	case !ok || p.phase == servingPhase || p.phase == closingPhase:
	case p.phase == movingPhase: // another process may have it
		l.wipe(&c.records)
		c.Wire.Cut()
	default:
		l.close(p, r)
	}
}

// panicked tells of a panic.
func (l *loopConns) panicked(c *conn, cause any) {
	c.server.options.Panicked(cause, debug.Stack())
}

// guardIdle is deferred in a look at an endpoint's connection that is idle. After a panic there is
// something wrong with it, and it is closed like one on which something has come.
func (u *upstreams) guardIdle(up *upstream) {
	if cause := recover(); cause != nil {
		up.server.options.Panicked(cause, debug.Stack())
		u.clients.wipe(&up.records) // nothing is sealed with them any more
	}
}

// closeUnless closes sockets that nobody has taken over.
func closeUnless(taken *bool, sockets ...Socket) {
	if *taken {
		return
	}
	for _, s := range sockets {
		loop.Close(s.FD)
		if s.State != nil {
			s.State.Wipe()
		}
	}
}
