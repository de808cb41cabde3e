package serve

import (
	"sync"
	"time"

	"sluice/internal/telemetry"
)

// recentEnds is how many ends of sessions are remembered.
const recentEnds = 100

// An End is how a session ended.
type End struct {
	At time.Time
	telemetry.Session
}

// ends is the last ends of sessions.
type ends struct {
	mu   sync.Mutex
	last [recentEnds]End // a ring
	n    int             // of all ends so far
}

func (e *ends) add(end End) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last[e.n%recentEnds] = end
	e.n++
}

// Ends returns how the last sessions ended, the newest first.
func (s *Server) Ends() []End {
	e := &s.ends
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]End, 0, min(e.n, recentEnds))
	for i := e.n - 1; i >= max(e.n-recentEnds, 0); i-- {
		all = append(all, e.last[i%recentEnds])
	}
	return all
}
