//go:build !unix

package limit

// Descriptors is not ok on this system.
func Descriptors() (used, most int, ok bool) { return 0, 0, false }

func descriptorLimit() (most int64, ok bool) { return 0, false }
