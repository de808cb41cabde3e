package portable

import (
	"fmt"
	"runtime/debug"

	"sluice/proxy/relay/core"
)

// leave is deferred in every step of the session that holds the lock, and unlocks it. A panic
// ends the session alone. Writing is the side to which the step writes, whose stream a panic
// leaves anywhere; Gateway means none.
func (s *session) leave(writing core.Side) {
	defer s.mu.Unlock()
	if cause := recover(); cause != nil {
		s.fail(cause, writing)
	}
}

// guard is leave for steps that do not hold the lock.
func (s *session) guard() {
	if cause := recover(); cause != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fail(cause, core.Gateway)
	}
}

// try calls f, and only logs a panic in it. It is called with the lock held.
func (s *session) try(f func()) {
	defer func() {
		if cause := recover(); cause != nil {
			s.logPanic(cause)
		}
	}()
	f()
}

// logPanic tells the sink of a panic. One of the sink itself, of which nothing could tell, must
// not keep the session from its end. It is called with the lock held.
func (s *session) logPanic(cause any) {
	defer func() { recover() }()
	s.engine.sink.Panicked(s.View(s.owner, s.note, s.engine.clock), cause, debug.Stack())
}

// fail ends the session, in one of whose steps there was a panic. A side that was not being
// written to gets its Close frame, and what comes from the sides from now on is dropped. It is
// called with the lock held.
func (s *session) fail(cause any, writing core.Side) {
	s.logPanic(cause)
	var torn [2]bool
	if writing != core.Gateway {
		torn[writing], s.writingSince[writing] = true, 0
	}
	if s.Failed() || s.endedAt != 0 { // it could not even end
		s.cut()
		return
	}
	defer func() {
		if again := recover(); again != nil {
			s.logPanic(again)
			s.cut()
		}
	}()
	s.Fail(fmt.Sprintf("panic: %v", cause), torn)
	s.advance()
	s.changed.Broadcast()
}

// cut ends the session at once, without Close frames.
func (s *session) cut() {
	s.conclude(s.engine.clock.Now(), 0)
	if !s.closed {
		s.closeConns()
	}
}
