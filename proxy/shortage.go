package proxy

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/limit"
)

// quietTime is how long a shortage must not have been met for it to be over.
// It is longer than the pauses in which listeners and health checks meet it
// again.
const quietTime = 10 * time.Second

// shortages tells the log when the gateway runs out of something, and when that
// is over: two lines, whatever meets it in between, and however often.
type shortages struct {
	log func() *zerolog.Logger

	mu      sync.Mutex
	current map[limit.Shortage]*shortage
	stopped bool
}

// shortage is one that is not over.
type shortage struct {
	began, last time.Time // when it was met
	times       int
	timer       *time.Timer
}

func newShortages(log func() *zerolog.Logger) *shortages {
	return &shortages{log: log, current: make(map[limit.Shortage]*shortage)}
}

// met notes that something failed with err for want of what.
func (s *shortages) met(what limit.Shortage, err error) {
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

// review finds out whether a shortage is over.
func (s *shortages) review(what limit.Shortage, c *shortage) {
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

// stop makes s silent.
func (s *shortages) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, c := range s.current {
		c.timer.Stop()
	}
}

// failShort answers for what failed with err for want of something here.
func (x *exchange) failShort(what limit.Shortage, err error) {
	x.g.shortages.met(what, err)
	x.short = true
	x.w.Header().Set("Retry-After", retryRoom)
	x.fail(http.StatusServiceUnavailable, fmt.Sprintf("The gateway is out of %s.", what),
		fmt.Errorf("limit: out of %s: %s: %w", what, what.Remedy(), err))
}
