package proxy

import "time"

// seldomInterval is the time between two log lines of the same kind that clients
// can cause.
const seldomInterval = time.Minute

// seldom counts what is too much for a log line each. It is for one goroutine.
type seldom struct {
	n    int
	next time.Time
}

// note counts one more, and reports whether a line is due now: it is about the
// n that were counted since the last one.
func (s *seldom) note(now time.Time) (n int, due bool) {
	s.n++
	if now.Before(s.next) {
		return 0, false
	}
	n = s.n
	s.n, s.next = 0, now.Add(seldomInterval)
	return n, true
}
