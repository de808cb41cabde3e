package portable

import (
	"time"

	"sluice/internal/spread"
	"sluice/internal/wire"
	"sluice/proxy/relay/core"
)

// advance does what the last change of the session has made possible. It is called with
// the lock held and does not wait.
func (s *session) advance() {
	now := s.engine.clock.Now()
	if s.Closing() {
		s.AwaitAnswers(now)
		s.changed.Broadcast() // rates count no more
	}
	for side := range s.writingSince {
		if s.writingSince[side] != 0 {
			continue
		}
		if b := s.AppendOwn(core.Side(side), nil, now); b != nil {
			s.writeOwn(core.Side(side), b)
		}
	}
	if s.endedAt == 0 && s.Over() && s.writingSince == [2]int64{} {
		s.conclude(now, core.LingerTime)
	}
	for side := range s.writeClosed {
		if s.endedAt != 0 && s.writingSince[side] == 0 && !s.writeClosed[side] && s.ClosesFirst(core.Side(side)) {
			s.writeClosed[side] = true
			s.writeOwn(core.Side(side), nil)
		}
	}
	s.setTimer(now)
}

// setTimer makes fire be called when something is due. It is called with the lock held.
func (s *session) setTimer(now int64) {
	when := s.LingersUntil()
	if s.endedAt == 0 {
		when = s.NextDue(now, s.writingSince, [2]int64{})
	}
	if when == 0 || s.timerAt != 0 && s.timerAt <= when {
		return // fire is called early enough
	}
	s.timerAt = when
	for side := range s.writingSince {
		if s.writingSince[side] != 0 {
			s.acked[side] = s.ackedBytes(core.Side(side))
		}
	}
	if left := time.Duration(max(when-now, 1)); s.timer == nil {
		s.timer = time.AfterFunc(left, s.fire)
	} else {
		s.timer.Reset(left)
	}
}

// fire does what is due.
func (s *session) fire() {
	s.mu.Lock()
	defer s.leave(core.Gateway)
	now := s.engine.clock.Now()
	s.timerAt = 0
	switch {
	case s.closed:
		return
	case s.endedAt == 0:
		s.noteProgress(now)
		if s.Tick(now, s.writingSince, [2]int64{}) {
			s.conclude(now, core.LingerTime)
		}
		s.advance()
	case s.LingersUntil() <= now:
		s.closeConns()
		return
	}
	s.setTimer(now)
	s.changed.Broadcast()
}

// ackedBytes returns how many bytes a side has taken in all, according to the system; 0
// where the system does not tell.
func (s *session) ackedBytes(side core.Side) int64 {
	if below := wire.Of(s.conns[side]); below != nil {
		taken, _, _ := below.TCPProgress()
		return taken
	}
	return 0
}

// noteProgress notes which sides have taken some of the piece that is written to them
// since the timer was set.
func (s *session) noteProgress(now int64) {
	for side := range s.writingSince {
		if s.writingSince[side] != 0 && s.ackedBytes(core.Side(side)) != s.acked[side] {
			s.writingSince[side] = now
		}
	}
}

// conclude gives the peers some time to close their ends. It is called with the lock held.
func (s *session) conclude(now int64, linger time.Duration) {
	if s.endedAt == 0 {
		s.endedAt = now
		close(s.concluded)
	}
	s.Linger(now + int64(linger))
	s.changed.Broadcast()
}

// closeConns closes the connections although goroutines may wait for them. It does so
// below TLS, whose own end of the stream waits up to 5 seconds for a peer that does not
// read.
func (s *session) closeConns() {
	for _, c := range s.conns {
		if below := wire.Of(c); below != nil {
			c = below
		}
		s.try(func() { c.Close() })
	}
}

// finish marks the session as finished and returns its report.
func (s *session) finish() core.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Finish(s.owner, s.note, s.engine.clock, s.endedAt)
}

// endWithin ends the session at the next place in a time. It reports whether the session was not
// to end sooner.
func (s *session) endWithin(how core.Ending, over time.Duration) (ends bool) {
	s.mu.Lock()
	defer s.leave(core.Gateway)
	if ends = true; over > 0 {
		ends = s.PlanEnd(how, s.engine.clock.Now()+int64(spread.Place(s.engine.planned.Add(1), over)))
	} else {
		s.End(how, core.Gateway)
	}
	s.advance()
	return ends
}

// endAt makes the session end at a moment, unless it is to end sooner.
func (s *session) endAt(how core.Ending, moment int64) {
	s.mu.Lock()
	defer s.leave(core.Gateway)
	s.PlanEnd(how, moment)
	s.advance()
}

// rulesChanged makes the session forget what it has used of its rates, and lets what waited
// for them go on.
func (s *session) rulesChanged() {
	s.mu.Lock()
	defer s.leave(core.Gateway)
	s.ResetRates()
	s.advance()
	s.changed.Broadcast()
}

// abort ends the session at once, or cuts its lingering short. A side that can still be
// reached gets its Close frame.
func (s *session) abort() {
	s.mu.Lock()
	defer s.leave(core.Gateway)
	s.End(core.Ending{Cause: core.Shutdown}, core.Gateway)
	s.advance()
	s.Expire()
	s.advance()
	s.conclude(s.engine.clock.Now(), core.AbortLingerTime)
	s.timerAt = 0
	s.advance()
}

// currentView returns the state of the session at this moment.
func (s *session) currentView() core.View {
	s.mu.Lock()
	defer s.leave(core.Gateway)
	return s.View(s.owner, s.note, s.engine.clock)
}
