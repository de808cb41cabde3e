package limit

import (
	"net/netip"
	"time"
)

// A Limiter limits how often a client, which is known by its key ([Key]), does
// something. It is safe for concurrent use.
type Limiter interface {
	// Take counts once more for key and returns true. Otherwise it returns false
	// and the time until it would return true.
	Take(key netip.Addr, now time.Time) (wait time.Duration, ok bool)
}

// Rate is how often one client may do something: PerSecond times a second, and
// Burst times at once. The zero value means any number of times.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Limiter returns what holds clients to r: old, the limiter of the rate before, if
// the rate is the same. Old may be nil.
func (r Rate) Limiter(before Rate, old Limiter) Limiter {
	switch {
	case r.PerSecond <= 0:
		return anyNumber{}
	case r == before && old != nil:
		return old
	}
	return NewRates(r.PerSecond, r.Burst)
}

// anyNumber is no limit.
type anyNumber struct{}

func (anyNumber) Take(netip.Addr, time.Time) (time.Duration, bool) { return 0, true }
