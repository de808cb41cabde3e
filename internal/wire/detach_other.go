//go:build !unix

package wire

import "errors"

// Detach is not available on this system.
func (c *Conn) Detach() (fd int, unread []byte, err error) {
	return -1, nil, errors.ErrUnsupported
}
