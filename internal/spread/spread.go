// Package spread says when each of many things happens that should not happen together, such as the
// ends of sessions whose clients come back. It keeps no state and knows no clock.
package spread

import (
	"math/bits"
	"time"
)

// golden is the fractional part of the golden ratio, times 2^64.
const golden = 0x9E3779B97F4A7C15

// Place returns the moment of the thing with number n, from 0 on, as the time after the beginning of
// a span: at least 0 and less than over, or 0 if over is not positive.
//
// The places are the multiples of the golden ratio modulo 1 (Knuth, The Art of Computer Programming,
// volume 3, section 6.4): each new one falls into one of the largest gaps. So any run of numbers is
// even over the span, and how many things there will be need not be known.
func Place(n uint64, over time.Duration) time.Duration {
	if over <= 0 {
		return 0
	}
	at, _ := bits.Mul64((n+1)*golden, uint64(over))
	return time.Duration(at)
}
