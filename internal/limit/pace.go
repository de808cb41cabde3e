package limit

// A Pace is a rate and the burst above it: a token bucket that is kept as the
// one moment at which it will be full again (the generic cell rate algorithm,
// ITU-T I.371). The moment is the caller's, in nanoseconds of any clock that
// does not go back; 0 is a full bucket. The zero Pace is no limit.
type Pace struct {
	each  float64 // nanoseconds a token takes to come back
	depth int64   // nanoseconds the whole bucket takes
}

// NewPace returns a bucket of burst tokens, at least one, that come back at
// perSecond. A rate of 0 is no limit.
func NewPace(perSecond float64, burst int64) Pace {
	if perSecond <= 0 {
		return Pace{}
	}
	p := Pace{each: 1e9 / perSecond}
	p.depth = max(p.cost(max(burst, 1)), 1)
	return p
}

// cost returns how long n tokens take to come back: a generation at most, so
// that moments can be added.
func (p Pace) cost(n int64) int64 { return int64(min(float64(n)*p.each, 1<<60)) }

// Off reports whether p is no limit.
func (p Pace) Off() bool { return p.depth == 0 }

// Take takes n tokens from the bucket that is full at the moment full, if it
// has them. Otherwise it takes none and returns the moment at which it will.
func (p Pace) Take(full *int64, n, now int64) (when int64) {
	if p.Off() {
		return 0
	}
	then := max(*full, now) + p.cost(n)
	if over := then - now - p.depth; over > 0 {
		return now + over
	}
	*full = then
	return 0
}

// Spend takes n tokens whether the bucket has them or not. It returns the
// moment at which the debt is paid, 0 when there is none.
func (p Pace) Spend(full *int64, n, now int64) (when int64) {
	if p.Off() {
		return 0
	}
	*full = max(*full, now) + p.cost(n)
	if over := *full - now - p.depth; over > 0 {
		return now + over
	}
	return 0
}
