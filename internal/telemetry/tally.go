package telemetry

import (
	"sync"
	"time"
)

// tallyInterval is how often a tally reports a reason.
const tallyInterval = time.Minute

// A Tally counts events by reason and keeps the log short: it reports the first
// event of a reason at once, and later ones once a minute, as a number. There must
// be few reasons: it keeps all of them.
type Tally struct {
	report func(reason string, since, total uint64)

	mu      sync.Mutex
	reasons map[string]*tallied
}

// tallied is the events of one reason.
type tallied struct {
	total, reported uint64
	paused          bool // the interval after the last report is not over
}

// NewTally returns a tally that calls report with the number of events since its
// last report of the same reason, and with the number of all.
func NewTally(report func(reason string, since, total uint64)) *Tally {
	return &Tally{report: report, reasons: make(map[string]*tallied)}
}

// Count counts one event. It does not block unless report does.
func (t *Tally) Count(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.reasons[reason]
	if r == nil {
		r = new(tallied)
		t.reasons[reason] = r
	}
	if r.total++; !r.paused {
		t.flush(reason, r)
	}
}

// flush reports the events that were not reported yet. The caller holds the lock.
func (t *Tally) flush(reason string, r *tallied) {
	if r.paused = r.total > r.reported; !r.paused {
		return
	}
	since := r.total - r.reported
	r.reported = r.total
	t.report(reason, since, r.total)
	time.AfterFunc(tallyInterval, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.flush(reason, r)
	})
}
