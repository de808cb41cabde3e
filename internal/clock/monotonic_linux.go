package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// At returns the clock whose moment 0 was at a time of the machine, in nanoseconds of CLOCK_MONOTONIC
// (clock_gettime(2)), which is the same for all processes.
func At(monotonic int64) Clock { return Clock{time.Now().Add(time.Duration(monotonic - now()))} }

// Monotonic returns the time of the machine at moment 0, as [At] takes it.
func (c Clock) Monotonic() int64 { return now() - c.Now() }

// now returns CLOCK_MONOTONIC. It cannot fail: all kernels have that clock.
func now() int64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}
