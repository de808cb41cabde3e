//go:build !unix

package activation

// Inherit returns nil: no service manager passes sockets here.
func Inherit() (*Sockets, error) { return nil, nil }
