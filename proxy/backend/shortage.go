package backend

import (
	"errors"
	"syscall"

	"sluice/internal/limit"
)

// ShortageOf returns the shortage here, in the gateway, that err comes from, if
// it is one: it says nothing about an endpoint. But for [limit.NoPorts] another
// endpoint would not help.
func ShortageOf(err error) limit.Shortage {
	if d := (*DialError)(nil); errors.As(err, &d) && d.NoPort {
		return limit.NoPorts
	}
	return limit.ShortageOf(err)
}

// noAddress reports whether every try that err tells of failed for want of a
// local address and port.
func noAddress(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return errors.Is(err, syscall.EADDRNOTAVAIL)
	}
	for _, one := range joined.Unwrap() {
		if !noAddress(one) {
			return false
		}
	}
	return true
}
