package integration

import (
	"context"
	"sync/atomic"
	"time"
)

// closeTimeout is how long a gateway waits for the answer to a Close frame.
const closeTimeout = 5 * time.Second

// stillness notes when this process, and so the peers that it plays, did not run
// for so long that they may have answered too late: because the machine stood
// still, or had other work. What ends around then says nothing about the
// gateway, whose own pauses it does not see.
type stillness struct {
	ticked atomic.Int64 // when the last tick was seen, in ns of the Unix epoch
	ended  atomic.Int64 // when the last pause was over; 0 for never
}

// longestPause is how long a tick may be late. A peer that says its last word
// within two seconds has three more, in which it needs the processor several times.
const longestPause = closeTimeout / 10

// watch watches until ctx ends.
func (s *stillness) watch(ctx context.Context) {
	tick := time.NewTicker(longestPause / 10)
	defer tick.Stop()
	s.ticked.Store(time.Now().UnixNano())
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := time.Now().UnixNano()
		if last := s.ticked.Swap(now); now-last > int64(longestPause) {
			s.ended.Store(now)
		}
	}
}

// lately reports whether there is such a pause, or was one in the time in which
// its effects are seen.
func (s *stillness) lately() bool {
	now := time.Now().UnixNano()
	return now-s.ticked.Load() > int64(longestPause) || now-s.ended.Load() < int64(4*closeTimeout)
}
