//go:build linux && !portable

package epoll

import (
	"fmt"
	"runtime/debug"

	"sluice/proxy/relay/core"
)

// step calls f with a session. A panic in it ends that session alone.
func (l *loopSessions) step(h handle, f func(handle)) {
	defer l.guard(h)
	f(h)
}

// guard is deferred in every step of a session on the loop. A panic ends that session alone: a
// side that was not being written to gets its Close frame, and the loop goes on.
func (l *loopSessions) guard(h handle) {
	if cause := recover(); cause != nil {
		defer l.guardEnd(h)
		l.logPanic(h, cause)
		l.fail(h, cause)
	}
}

// guardEnd is guard for what ends a session: after a panic there is no Close frame.
func (l *loopSessions) guardEnd(h handle) {
	if cause := recover(); cause != nil {
		defer l.guardEnd(h)
		l.logPanic(h, cause)
		l.cut(h)
	}
}

// logPanic tells the sink of a panic. One of the sink itself, of which nothing could tell, must
// not keep the session from its end.
func (l *loopSessions) logPanic(h handle, cause any) {
	defer func() { recover() }()
	l.sink.Panicked(l.view(h), cause, debug.Stack())
}

// fail ends a session in whose step there was a panic. What comes from its sides from now on is
// dropped.
func (l *loopSessions) fail(h handle, cause any) {
	torn := l.writing
	l.writing = [2]bool{}
	if h.Failed() || h.Finished() { // it could not even end
		l.cut(h)
		return
	}
	h.Fail(fmt.Sprintf("panic: %v", cause), torn)
	for side := core.Client; side <= core.Backend; side++ {
		if torn[side] {
			l.dropUnwritten(h, side)
		}
		if h.pending != nil {
			p := &h.pending[side]
			p.held, p.partialRecord, p.readErr = nil, nil, nil
		}
	}
	l.proceed(h)
}

// cut ends a session at once, without Close frames.
func (l *loopSessions) cut(h handle) {
	l.writing = [2]bool{}
	if !h.Finished() {
		l.finish(h, 0)
	}
	l.release(h)
}
