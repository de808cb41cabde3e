package notify

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic returns the line with the time, CLOCK_MONOTONIC in microseconds, by which the manager knows
// that a reload began after it has asked for one.
func monotonic() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "" // no kernel lacks this clock
	}
	return fmt.Sprintf("\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
