package listen

import (
	"net/netip"

	"sluice/internal/codec"
	"sluice/internal/wire"
	"sluice/proxy/clientio"
	"sluice/proxy/http1"
)

// A Moved is an idle connection on its way to a listener of another process, without its socket. What a writer is shown
// belongs to a connection that was stopped ([http1.Engine.StopIdle]). What a reader has set is the receiver's, who calls
// Wipe unless [Moved.Run] follows. The zero Moved is ready for a reader.
type Moved struct {
	*http1.Moved
	listener string     // its name
	client   netip.Addr // as the listener counts it
	named    bool       // by a PROXY header, as peer, which may be invalid
	peer     netip.AddrPort
}

// newMoved returns a connection as it is carried.
func newMoved(client *clientio.Conn, state *http1.Moved) *Moved {
	m := &Moved{Moved: state}
	if p, ok := client.Wire.Occupies().(*Permit); ok {
		m.listener, m.client = p.Of()
	}
	m.peer, m.named = client.Wire.Named()
	return m
}

// mostName is how long a name may be, in bytes.
const mostName = 64 << 10

// Carry writes the connection down, or reads one. Secrets are in what is written.
func (m *Moved) Carry(c *codec.Coder) {
	if m.Moved == nil {
		m.Moved = new(http1.Moved)
	}
	c.Text(&m.listener, mostName)
	c.Addr(&m.client)
	c.Bool(&m.named)
	c.AddrPort(&m.peer)
	c.Check(m.named || !m.peer.IsValid(), "the address of a client that no PROXY header has named")
	m.Moved.Carry(c)
}

// Listener returns the name of the listener that has accepted the connection; "" if it is not known.
func (m *Moved) Listener() string { return m.listener }

// Fits reports whether l can serve the connection as it was served.
func (m *Moved) Fits(l *Listener) bool {
	s := l.Settings()
	return s.OnLoops && s.TLS == (m.About != nil) && l.set.env.Loops != nil
}

// Run gives the connection to l, which it fits: l serves it as one that it has accepted, whatever its limits are. The
// descriptor of the socket is Run's. It reports whether the connection is served; else it is closed.
func (m *Moved) Run(l *Listener, descriptor int) (runs bool) {
	socket, err := l.set.env.Loops.Socket(descriptor)
	if err != nil { // the client has gone
		m.Wipe()
		return false
	}
	c := wire.New(socket)
	if m.About != nil {
		c = wire.NewTLS(socket)
	}
	if m.named {
		c.SetPeer(m.peer, nil)
	}
	permit := l.Resume(m.client)
	c.OnClose(&permit)
	c.Linger(true)
	select {
	case l.accepted <- &resumed{c, m.Moved}:
		return true
	case <-l.closed:
		m.Wipe()
		c.Close()
		return false
	}
}

// StopIdle stops idle connections of the listeners, to let them go on in another process, and calls add with what writes each down,
// and with the descriptor of its socket: see [Loops]. It returns nil if none was taken.
func (s *Set) StopIdle(add func(carry func(*codec.Coder), socket int) (taken, more bool)) Stopped {
	if s.env.Loops == nil {
		return nil
	}
	return s.env.Loops.StopIdle(func(c *clientio.Conn, state *http1.Moved, socket int) (taken, more bool) {
		return add(newMoved(c, state).Carry, socket)
	})
}

// OfferAgain makes StopIdle offer all connections again.
func (s *Set) OfferAgain() {
	if s.env.Loops != nil {
		s.env.Loops.OfferAgain()
	}
}

// Connections returns the number of connections that are open, sessions among them.
func (s *Set) Connections() int64 { return s.connections.open.Load() }

// resumed is a connection on its way to the server.
type resumed struct {
	*wire.Conn
	state *http1.Moved
}

// resume serves a connection that another process has had; it closes it if it cannot. No request of it is lost: one that has come
// is still in its socket, and the client may send it again on another connection (RFC 9110, section 9.2.2).
func (v *server) resume(c *resumed) {
	if c.state.About != nil {
		c.state.About = v.abouts.shared(c.state.About)
	}
	if v.loops == nil || !v.loops.Resume(clientio.NewConn(c.Conn, v.set.heads), c.state) {
		c.state.Wipe()
		c.Close()
	}
}
