package limit

// A Bucket is the size and the refill rate of a token bucket (the generic cell
// rate algorithm, ITU-T I.371). Its level is one moment, at which it will be
// full again. The caller keeps that moment: nanoseconds of any clock that does
// not go back, where 0 is a full bucket. So one Bucket serves any number of
// levels. The zero Bucket is no limit.
type Bucket struct {
	perToken float64 // nanoseconds until one token is back
	size     int64   // nanoseconds until an empty bucket is full
}

// NewBucket returns a bucket of burst tokens, at least one, which is refilled
// at perSecond tokens a second. A rate of 0 is no limit.
func NewBucket(perSecond float64, burst int64) Bucket {
	if perSecond <= 0 {
		return Bucket{}
	}
	b := Bucket{perToken: 1e9 / perSecond}
	b.size = max(b.cost(max(burst, 1)), 1)
	return b
}

// cost returns how many nanoseconds n tokens take to come back. It is at most
// 36 years, so that moments can be added without an overflow.
func (b Bucket) cost(n int64) int64 { return int64(min(float64(n)*b.perToken, 1<<60)) }

// Unlimited reports whether b is no limit.
func (b Bucket) Unlimited() bool { return b.size == 0 }

// Take takes n tokens from the bucket that is full again at the moment full, if
// it has them, and returns 0. Otherwise it takes none and returns the moment at
// which it will have them.
func (b Bucket) Take(full *int64, n, now int64) (when int64) {
	if b.Unlimited() {
		return 0
	}
	then := max(*full, now) + b.cost(n)
	if over := then - now - b.size; over > 0 {
		return now + over
	}
	*full = then
	return 0
}

// Spend takes n tokens whether the bucket has them or not. It returns the
// moment at which the debt is paid, or 0 when there is none.
func (b Bucket) Spend(full *int64, n, now int64) (when int64) {
	if b.Unlimited() {
		return 0
	}
	*full = max(*full, now) + b.cost(n)
	if over := *full - now - b.size; over > 0 {
		return now + over
	}
	return 0
}
