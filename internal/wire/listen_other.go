//go:build !linux

package wire

import "net"

// Listen is [net.Listen].
func Listen(network, address string) (net.Listener, error) { return net.Listen(network, address) }
