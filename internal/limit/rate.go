package limit

import (
	"net/netip"
	"sync"
	"time"
)

// maxKeys bounds how many keys a Rates remembers: about 10 MiB.
const maxKeys = 1 << 17

// Rates is a token bucket for each key, kept as the one moment at which the
// bucket will be full again (the generic cell rate algorithm, ITU-T I.371). A
// key whose bucket is full is not remembered.
type Rates struct {
	each  time.Duration // time a token takes to come back
	depth time.Duration // time the whole bucket takes

	mu    sync.Mutex
	full  map[netip.Addr]time.Time
	sweep int // number of keys at which full buckets are looked for next
}

// NewRates returns buckets of burst tokens, at least one, which come back at
// perSecond.
func NewRates(perSecond float64, burst int) *Rates {
	each := max(time.Duration(float64(time.Second)/perSecond), 1)
	return &Rates{
		each:  each,
		depth: time.Duration(max(burst, 1)) * each,
		full:  make(map[netip.Addr]time.Time),
		sweep: 1024,
	}
}

// Take takes a token of key, or tells how long it takes until there is one.
func (r *Rates) Take(key netip.Addr, now time.Time) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	full, known := r.full[key]
	if !known || full.Before(now) {
		full = now
	}
	full = full.Add(r.each)
	if over := full.Sub(now) - r.depth; over > 0 {
		return over, false
	}
	if !known && len(r.full) >= r.sweep {
		r.forget(now)
	}
	r.full[key] = full
	return 0, true
}

// forget drops full buckets. When too many are left it drops a quarter of
// them all the same, so that the next time is far: what those clients may take
// again is little against memory or time without bounds.
func (r *Rates) forget(now time.Time) {
	for key, full := range r.full {
		if !full.After(now) {
			delete(r.full, key)
		}
	}
	for key := range r.full {
		if len(r.full) <= maxKeys*3/4 {
			break
		}
		delete(r.full, key)
	}
	r.sweep = min(max(2*len(r.full), 1024), maxKeys)
}
