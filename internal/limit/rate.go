package limit

import (
	"net/netip"
	"sync"
	"time"
)

// maxKeys bounds how many keys a Rates remembers: about 6 MiB.
const maxKeys = 1 << 17

// Rates is a [Pace] and a bucket for each key. A key whose bucket is full is
// not remembered.
type Rates struct {
	pace  Pace
	epoch time.Time // buckets count from here, by its monotonic clock

	mu    sync.Mutex
	full  map[netip.Addr]int64
	sweep int // number of keys at which full buckets are looked for next
}

// NewRates returns buckets of burst tokens, at least one, which come back at
// perSecond.
func NewRates(perSecond float64, burst int) *Rates {
	return &Rates{
		pace:  NewPace(perSecond, int64(burst)),
		epoch: time.Now(),
		full:  make(map[netip.Addr]int64),
		sweep: 1024,
	}
}

// Take takes a token of key, or tells how long it takes until there is one.
func (r *Rates) Take(key netip.Addr, now time.Time) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	moment := int64(now.Sub(r.epoch))
	full, known := r.full[key]
	if !known {
		full = moment
	}
	if when := r.pace.Take(&full, 1, moment); when != 0 {
		return time.Duration(when - moment), false
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
	moment := int64(now.Sub(r.epoch))
	for key, full := range r.full {
		if full <= moment {
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
