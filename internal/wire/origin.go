package wire

import (
	"net"
	"net/netip"
	"sync"
)

// origin is what is known of a connection besides its socket.
type origin struct {
	told   bool           // there was a PROXY header
	peer   netip.AddrPort // as it told; invalid if it did not
	closed func()         // called once
	once   sync.Once
}

// SetPeer makes peer the other end's address, as a proxy in front told it, and
// gives back the bytes of the stream that were read behind what it told: they
// are the next to be read. Peer may be invalid: then the address stays, and the
// connection is [Conn.Anonymous]. It is to be called before the first Read.
func (c *Conn) SetPeer(peer netip.AddrPort, ahead []byte) {
	c.origin.told, c.origin.peer = true, peer
	if len(ahead) == 0 {
		return
	}
	c.ahead = buffers.Get().(*[]byte)
	*c.ahead = append(*c.ahead, ahead...)
	c.whole = len(ahead)
	if c.records {
		c.whole = c.measure(ahead)
	}
}

// Anonymous reports whether a proxy in front said that it does not tell whose
// the connection is: the address is its own, and what comes may not be.
func (c *Conn) Anonymous() bool { return c.origin.told && !c.origin.peer.IsValid() }

// OnClose has f called when the connection is closed, once.
func (c *Conn) OnClose(f func()) { c.origin.closed = f }

// TakeOnClose returns the function of OnClose for the caller to call, which
// Close does no longer: the socket will live on without the connection. It is
// to be called before anybody may close it; the function is never nil.
func (c *Conn) TakeOnClose() (closed func()) {
	closed = func() {}
	c.origin.once.Do(func() {
		if c.origin.closed != nil {
			closed = c.origin.closed
		}
	})
	return closed
}

// Close closes the socket.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	if c.watch != nil {
		c.watch.set(false, true)
	}
	c.TakeOnClose()()
	return err
}

// RemoteAddr returns the peer's address, that of a PROXY header if there was
// one.
func (c *Conn) RemoteAddr() net.Addr {
	if c.origin.peer.IsValid() {
		return net.TCPAddrFromAddrPort(c.origin.peer)
	}
	return c.Conn.RemoteAddr()
}
