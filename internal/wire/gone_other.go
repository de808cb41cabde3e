//go:build !linux

package wire

// Gone is false on this system: only a read would tell.
func (c *Conn) Gone() bool { return false }

// Readable is false on this system.
func (c *Conn) Readable() bool { return false }
