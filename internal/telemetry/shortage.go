package telemetry

import (
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/limit"
)

// quietTime is how long a shortage must not occur before it counts as over. It is
// longer than the pauses after which listeners and health checks try again.
const quietTime = 10 * time.Second

// Shortages logs when the process runs out of something, and when that is over:
// two lines for each shortage, however often and wherever it occurs in between.
type Shortages struct {
	log func() *zerolog.Logger

	mu      sync.Mutex
	current map[limit.Shortage]*shortage
	stopped bool
}

// shortage is one that is not over.
type shortage struct {
	began, last time.Time // of its occurrences
	times       int
	timer       *time.Timer
}

// NewShortages returns a log of shortages that writes to the logger in force.
func NewShortages(log func() *zerolog.Logger) *Shortages {
	return &Shortages{log: log, current: make(map[limit.Shortage]*shortage)}
}

// Note records that something failed with err for want of what.
func (s *Shortages) Note(what limit.Shortage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	now := time.Now()
	c := s.current[what]
	if c == nil {
		c = &shortage{began: now}
		c.timer = time.AfterFunc(quietTime, func() { s.review(what, c) })
		s.current[what] = c
		s.log().Error().Err(err).Msg(fmt.Sprintf(
			"out of %s: what needs more waits or is answered 503; %s", what, what.Remedy()))
	}
	c.last = now
	c.times++
}

// review logs the end of a shortage if it is over.
func (s *Shortages) review(what limit.Shortage, c *shortage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	if left := quietTime - time.Since(c.last); left > 0 {
		c.timer.Reset(left)
		return
	}
	delete(s.current, what)
	s.log().Info().Int("times", c.times).Int64("duration_ms", c.last.Sub(c.began).Milliseconds()).Msg(what.String() + " can be had again")
}

// Stop ends the logging of shortages for good.
func (s *Shortages) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, c := range s.current {
		c.timer.Stop()
	}
}
