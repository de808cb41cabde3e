//go:build unix

package limit

import (
	"math"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// looks is at how many numbers Descriptors looks, which takes some 0.2 ms.
const looks = 1024

// Descriptors returns how many file descriptors the process has open, and how
// many it may have. Where it may have more than 1024, open ones are estimated
// from 1024 numbers, one at random from each equal part of all: at nine tenths
// the standard deviation is below a hundredth of what it may have.
//
// The number that a new descriptor gets would tell less: it is the lowest free
// one, and says nothing of those above. To list /proc/self/fd takes tens of
// milliseconds where they are many, and its size is their count from Linux 6.2
// on only.
func Descriptors() (used, most int, ok bool) {
	all, ok := descriptorLimit()
	if !ok {
		return 0, 0, false
	}
	parts := min(all, looks)
	open := int64(0)
	for i := range parts {
		start, end := i*all/parts, (i+1)*all/parts
		if _, err := unix.FcntlInt(uintptr(start+rand.Int64N(end-start)), unix.F_GETFD, 0); err == nil {
			open++
		}
	}
	return int(open * all / max(parts, 1)), int(all), true
}

// descriptorLimit returns how many descriptors the process may have open.
func descriptorLimit() (most int64, ok bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > math.MaxInt32 {
		return 0, false
	}
	return int64(limit.Cur), true
}
