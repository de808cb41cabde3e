package listen

import (
	"net"
	"net/netip"

	"sluice/internal/limit"
	"sluice/internal/wire"
)

// Permit is the place of an admitted connection in the counts of its listener and of its
// client's address. The connection releases it when its socket is closed, whatever number
// of requests and sessions it has carried, unless a session has taken it. The zero Permit is
// none.
type Permit struct {
	listener *Listener
	client   netip.Addr
}

// TakePermit makes the permit of the connection under c the caller's, who must release it when
// the socket is closed, and makes Close of c close the socket at once. It is for a session
// that has the connection for itself. It returns the zero Permit for a stream, which has no
// socket of its own: the permit stays with the connection that carries it. It does so too if
// the permit was taken or released before.
func TakePermit(c net.Conn) Permit {
	w := wire.Of(c)
	if w == nil {
		return Permit{}
	}
	w.Linger(false)
	if s, ok := w.TakeOnClose().(*Permit); ok {
		return *s
	}
	return Permit{}
}

// Resume returns a permit for a connection that another process has accepted, whatever the limits are. Client is as
// [Permit.Of] has it.
func (l *Listener) Resume(client netip.Addr) Permit {
	l.count.Add(1)
	l.set.connections.open.Add(1)
	l.clients.Acquire(client, 0)
	return Permit{l, client}
}

// Gone returns what stands for a listener that is not open any more, to count the connections that another process has
// accepted there.
func (s *Set) Gone(name string) *Listener {
	return &Listener{set: s, name: name, clients: limit.NewCounts()}
}

// Of returns the name of the listener and the client as they are counted; "" for the zero Permit, and for one that was released.
func (s *Permit) Of() (listener string, client netip.Addr) {
	if s.listener == nil {
		return "", netip.Addr{}
	}
	return s.listener.name, s.client
}

// Release gives the permit back. It does nothing if that was done.
func (s *Permit) Release() {
	l := s.listener
	if l == nil {
		return
	}
	s.listener = nil
	l.clients.Release(s.client)
	l.release()
}

// unadmitted is the permit of a connection that is counted, but not yet by its client.
type unadmitted struct{ *Listener }

// Release gives the permit back.
func (u unadmitted) Release() { u.release() }

// release counts a connection as closed.
func (l *Listener) release() {
	l.count.Add(-1)
	l.set.connections.open.Add(-1)
	l.wake()
}
