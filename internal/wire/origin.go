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
	holder Holder         // told once
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

// A Holder is told when a connection is over.
type Holder interface{ Leave() }

// Hold has h told when the connection is closed, once.
func (c *Conn) Hold(h Holder) { c.origin.holder = h }

// TakeHolder returns the Holder, nil without one, for the caller to tell. Close
// does so no longer: the socket will live on without the connection. It is to
// be called before anybody may close that.
func (c *Conn) TakeHolder() (h Holder) {
	c.origin.once.Do(func() { h = c.origin.holder })
	return h
}

// RemoteAddr returns the peer's address, that of a PROXY header if there was
// one.
func (c *Conn) RemoteAddr() net.Addr {
	if c.origin.peer.IsValid() {
		return net.TCPAddrFromAddrPort(c.origin.peer)
	}
	return c.Conn.RemoteAddr()
}
