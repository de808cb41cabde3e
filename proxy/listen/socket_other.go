//go:build !linux

package listen

import (
	"errors"
	"io/fs"
	"net"
)

// errNoMode is returned because the file of a socket cannot be made with a mode here. To
// change the mode afterwards would leave it open for a moment.
var errNoMode = errors.New("the mode of a unix socket can be set on Linux only; protect its directory instead")

// openSocket is [net.Listen]. The caller owns the listener.
func openSocket(network, address string, o socketOptions) (net.Listener, error) {
	if o.mode != 0 {
		return nil, errNoMode
	}
	return net.Listen(network, address)
}

// prepareSocket has nothing to do: accepted connections get their options one by one.
func prepareSocket(net.Listener) error { return nil }

// stopNewConnections is for Linux only.
func stopNewConnections(net.Listener) error { return errors.ErrUnsupported }

// setSocketMode is for Linux only.
func setSocketMode(string, fs.FileMode) error { return errNoMode }
