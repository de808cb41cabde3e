//go:build unix && !linux

package activation

// restartWithoutIPv6 is for Linux alone.
func restartWithoutIPv6() {}
