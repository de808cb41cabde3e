package backend

import "time"

// Retries that a pool always has: at first, each second, and saved up at most.
const (
	firstRetries  = 10
	retriesSecond = 5
	maxRetries    = 1000
)

// budget is how many retries a pool may make, so that a backend that is going
// down is not asked several times as often as before.
type budget struct {
	tokens float64
	filled time.Time
}

func newBudget() budget { return budget{tokens: firstRetries} }

// earn adds the share of a first try.
func (b *budget) earn(share float64) { b.tokens = min(b.tokens+share, maxRetries) }

// spend reports whether a retry may be made, and counts it.
func (b *budget) spend(now time.Time) bool {
	if !b.filled.IsZero() && b.tokens < firstRetries {
		b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*retriesSecond, firstRetries)
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// final reports whether a try is the last one that t may have.
func (p *Pool) final(t *Tried) bool {
	left := p.up
	for _, m := range t.members {
		if m.generation == p.generation && m.up() {
			left--
		}
	}
	return left <= 1 || len(t.members)+1 >= p.settings.Retry.Tries
}

// mayTry reports whether there may be one more try, and counts it. It is called
// with the lock held.
func (p *Pool) mayTry(t *Tried) bool {
	if len(t.members) == 0 {
		p.budget.earn(p.settings.Retry.Budget)
		return true
	}
	now := time.Now()
	return len(t.members) < p.settings.Retry.Tries &&
		now.Sub(t.Began) < p.settings.Retry.Timeout &&
		p.budget.spend(now)
}
