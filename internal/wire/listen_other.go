//go:build !linux

package wire

import (
	"errors"
	"io/fs"
	"net"
)

// errNoMode is returned where a socket's file cannot be made with a mode: to
// change it afterwards would leave it open for a moment.
var errNoMode = errors.New("the mode of a unix socket can be set on Linux only; protect its directory instead")

// Listen is [net.Listen].
func Listen(network, address string, o ListenOptions) (net.Listener, error) {
	if o.Mode != 0 {
		return nil, errNoMode
	}
	return net.Listen(network, address)
}

// Deafen is for Linux only.
func Deafen(net.Listener) error { return errors.ErrUnsupported }

// SetSocketMode is for Linux only.
func SetSocketMode(string, fs.FileMode) error { return errNoMode }
