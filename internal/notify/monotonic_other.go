//go:build !linux

package notify

// monotonic returns nothing: no manager on this system compares times.
func monotonic() string { return "" }
