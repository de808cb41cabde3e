package wire

import (
	"net"
	"net/netip"
)

// SetPeer makes address the address of the peer, as a PROXY header named it. Ahead are the
// bytes that were read from the socket after the header: they are copied, and the next Reads
// return them. If address is invalid, the connection keeps its own one and is
// [Conn.Anonymous]. SetPeer must be called before the first Read.
func (c *Conn) SetPeer(address netip.AddrPort, ahead []byte) {
	c.peer = &address
	if len(ahead) == 0 {
		return
	}
	c.ahead = recordBuffers.Get().(*[]byte)
	*c.ahead = append(*c.ahead, ahead...)
	c.whole = len(ahead)
	if c.byRecord {
		c.whole = c.deliverable(ahead)
	}
}

// Named returns the address that [Conn.SetPeer] was called with; it is false if that was not called.
func (c *Conn) Named() (address netip.AddrPort, named bool) {
	if c.peer == nil {
		return netip.AddrPort{}, false
	}
	return *c.peer, true
}

// Anonymous reports whether a PROXY header did not name a client. Then the address is
// that of the proxy, but the bytes may be anyone's.
func (c *Conn) Anonymous() bool { return c.peer != nil && !c.peer.IsValid() }

// RemoteAddr returns the address of the peer: the one that a PROXY header named, or that
// of the socket.
func (c *Conn) RemoteAddr() net.Addr {
	if c.peer != nil && c.peer.IsValid() {
		return net.TCPAddrFromAddrPort(*c.peer)
	}
	return c.Conn.RemoteAddr()
}

// Peer returns [Conn.RemoteAddr], unmapped from IPv6 if it is an IPv4 address, and
// without a zone. It is the zero value for a Unix socket.
func (c *Conn) Peer() netip.AddrPort {
	var p netip.AddrPort
	if c.peer != nil {
		p = *c.peer
	}
	if !p.IsValid() {
		p = remoteOf(c.Conn)
	}
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}

// remoteOf returns the address of the other end of a connection over TCP.
func remoteOf(c net.Conn) netip.AddrPort {
	if c, ok := c.(interface{ Remote() netip.AddrPort }); ok { // of an event loop
		return c.Remote()
	}
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
