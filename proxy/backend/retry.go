package backend

import (
	"net/netip"
	"slices"
	"time"
)

// Tried is what one request or handshake has tried. Began is when it began, and
// From the key that its client is counted by (limit.Key), which may be zero. The
// zero value of the rest is nothing tried.
type Tried struct {
	Began     time.Time
	From      netip.Addr
	Wait      Wait // the last one for an endpoint that is not full
	endpoints []*endpoint
	leased    time.Time // beginning of the try under way
	last      error     // of the last try
	blamed    bool      // an endpoint was blamed for a failure that may be the request's own
}

// Wait is a wait in the queue of a pool. The zero value is none.
type Wait struct {
	Began time.Time
	Took  time.Duration
}

func (t *Tried) has(e *endpoint) bool {
	return len(t.endpoints) > 0 && slices.Contains(t.endpoints, e)
}

// Retries that a pool may always make, whatever its settings.
const (
	firstRetries     = 10   // at first, and the most that retriesPerSecond saves up
	retriesPerSecond = 5    // that are added over time
	maxRetries       = 1000 // the most that first tries save up
)

// retryBudget is how many retries a pool may make, so that a backend that is
// failing does not get several times as many requests as before.
type retryBudget struct {
	tokens float64
	filled time.Time // when retriesPerSecond was last added
}

func newRetryBudget() retryBudget { return retryBudget{tokens: firstRetries} }

// earn adds the share of a first try.
func (b *retryBudget) earn(share float64) { b.tokens = min(b.tokens+share, maxRetries) }

// spend takes one retry, if there is one.
func (b *retryBudget) spend(now time.Time) bool {
	if !b.filled.IsZero() && b.tokens < firstRetries {
		b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*retriesPerSecond, firstRetries)
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// final reports whether the try that begins is the last one that t may have. The
// lock is held.
func (p *Pool) final(t *Tried) bool {
	left := p.up
	for _, e := range t.endpoints {
		if e.generation == p.generation && e.up() {
			left--
		}
	}
	return left <= 1 || len(t.endpoints)+1 >= p.settings.Retry.Tries
}

// mayTry reports whether t may have one more try, and counts it. The lock is
// held.
func (p *Pool) mayTry(t *Tried) bool {
	if len(t.endpoints) == 0 {
		p.retries.earn(p.settings.Retry.Budget)
		return true
	}
	now := time.Now()
	return len(t.endpoints) < p.settings.Retry.Tries &&
		now.Sub(t.Began) < p.settings.Retry.Timeout &&
		p.retries.spend(now)
}
