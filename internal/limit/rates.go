package limit

import (
	"net/netip"
	"sync"
	"time"
)

// maxKeys bounds how many keys a Rates remembers: about 6 MiB.
const maxKeys = 1 << 17

// minSweep is the number of keys below which a Rates is not swept.
const minSweep = 1024

// Rates is a token bucket for each key, all of one size and rate. It is safe
// for concurrent use. A key whose bucket is full is not remembered.
type Rates struct {
	bucket Bucket
	epoch  time.Time // the moments in full count from here, by the monotonic clock

	mu    sync.Mutex
	full  map[netip.Addr]int64 // when the bucket of a key is full again
	sweep int                  // number of keys at which full buckets are dropped next
}

// NewRates returns buckets of burst tokens, at least one, which are refilled at
// perSecond tokens a second.
func NewRates(perSecond float64, burst int) *Rates {
	return &Rates{
		bucket: NewBucket(perSecond, int64(burst)),
		epoch:  time.Now(),
		full:   make(map[netip.Addr]int64),
		sweep:  minSweep,
	}
}

// Take takes one token of key and returns true. If key has none, it returns
// false and the time until it has one.
func (r *Rates) Take(key netip.Addr, now time.Time) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	moment := int64(now.Sub(r.epoch))
	full, known := r.full[key]
	if !known {
		full = moment
	}
	if when := r.bucket.Take(&full, 1, moment); when != 0 {
		return time.Duration(when - moment), false
	}
	if !known && len(r.full) >= r.sweep {
		r.forget(now)
	}
	r.full[key] = full
	return 0, true
}

// forget drops full buckets. If too many buckets are left it drops others too,
// down to three quarters of maxKeys, so that the next sweep is far away. Their
// clients get a few tokens too many, which costs less than memory or time
// without bounds.
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
	r.sweep = min(max(2*len(r.full), minSweep), maxKeys)
}
