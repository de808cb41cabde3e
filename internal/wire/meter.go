package wire

// A Meter decides how many bytes a peer may send.
type Meter interface {
	// CountRead is called by each Read with the number of bytes that it has for its
	// caller. If it returns an error, the connection is cut, and Read returns that error
	// and no bytes.
	CountRead(n int) error

	// SocketClosed is called when the socket is closed. It may be called more than once,
	// and while a Read is active.
	SocketClosed()
}

// SetMeter makes the connection call m. It must be called before the first Read, and
// before another goroutine may close the connection.
func (c *Conn) SetMeter(m Meter) { c.meter = m }

// Meter returns what [Conn.SetMeter] was given, or nil.
func (c *Conn) Meter() Meter { return c.meter }
