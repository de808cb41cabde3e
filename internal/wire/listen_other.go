//go:build !linux

package wire

import (
	"errors"
	"io/fs"
	"net"
)

// errNoMode is returned because the file of a socket cannot be made with a mode here. To
// change the mode afterwards would leave it open for a moment.
var errNoMode = errors.New("the mode of a unix socket can be set on Linux only; protect its directory instead")

// Listen is [net.Listen]. The caller owns the listener.
func Listen(network, address string, o ListenOptions) (net.Listener, error) {
	if o.Mode != 0 {
		return nil, errNoMode
	}
	return net.Listen(network, address)
}

// StopNewConnections is for Linux only.
func StopNewConnections(net.Listener) error { return errors.ErrUnsupported }

// SetSocketMode is for Linux only.
func SetSocketMode(string, fs.FileMode) error { return errNoMode }
