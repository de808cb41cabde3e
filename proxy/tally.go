package proxy

import (
	"sync"
	"time"
)

// tallyInterval is how often a tally may tell of a reason.
const tallyInterval = time.Minute

// tally counts events by reason, of which there are few, and tells of them: of the
// first at once, then of those that came meanwhile in one piece.
type tally struct {
	tell func(reason string, since, total uint64)

	mu      sync.Mutex
	reasons map[string]*tallied
}

// tallied is the events of one reason.
type tallied struct {
	total, told uint64
	waiting     bool // until the interval behind what was told is over
}

func newTally(tell func(reason string, since, total uint64)) *tally {
	return &tally{tell: tell, reasons: make(map[string]*tallied)}
}

// count counts one event. It does not block where tell does not.
func (t *tally) count(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.reasons[reason]
	if r == nil {
		r = new(tallied)
		t.reasons[reason] = r
	}
	if r.total++; !r.waiting {
		t.say(reason, r)
	}
}

// say tells what was not told yet. It is called with the lock held.
func (t *tally) say(reason string, r *tallied) {
	if r.waiting = r.total > r.told; !r.waiting {
		return
	}
	since := r.total - r.told
	r.told = r.total
	t.tell(reason, since, r.total)
	time.AfterFunc(tallyInterval, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.say(reason, r)
	})
}
