package show

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/internal/admin"
)

// Bytes writes a number of bytes with a unit.
func Bytes(n uint64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatUint(n, 10) + " B"
	}
	value, prefix := float64(n), ""
	for _, prefix = range []string{"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"} {
		if value /= unit; value < unit {
			break
		}
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + prefix + "B"
}

// Age writes how long something took, in two units at most.
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 24*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// Plural writes a number of things.
func Plural[N int | int64 | uint64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// Usage writes how much of a limit is in use.
func Usage(u admin.Usage) string {
	return usage(u, func(n int64) string { return strconv.FormatInt(n, 10) })
}

// UsageOfBytes is Usage where the limit is one of bytes.
func UsageOfBytes(u admin.Usage) string {
	return usage(u, func(n int64) string { return Bytes(uint64(n)) })
}

func usage(u admin.Usage, write func(int64) string) string {
	if u.Limit <= 0 {
		return write(u.Used)
	}
	return fmt.Sprintf("%s of %s (%.0f %%)", write(u.Used), write(u.Limit), 100*float64(u.Used)/float64(u.Limit))
}

// State writes the state of an endpoint.
func State(e *admin.Endpoint) string {
	if e.Standby {
		return "standby"
	}
	return e.State
}
