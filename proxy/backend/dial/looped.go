package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"

	"sluice/internal/record"
	"sluice/internal/wire"
)

// Direct is an address that can be connected to without waiting for anything else, where nothing
// has to be said before HTTP. It is zero if there is none.
type Direct struct {
	TCP  netip.AddrPort
	Unix string // path
}

// directOf returns the address if it is a number, or a path.
func directOf(network, address string) Direct {
	if network == "unix" {
		return Direct{Unix: address}
	}
	tcp, _ := netip.ParseAddrPort(address)
	return Direct{TCP: tcp}
}

// OnLoops reports whether event loops can have connections to the endpoint: whether it speaks
// HTTP/1.1, with nothing before it that is a client's own, and over TLS whose records they protect.
func (d *Dialer) OnLoops() bool {
	s := &d.spec
	return !s.HTTP2 && s.PROXY == 0 && (s.TLS == nil || s.TakeRecords && !d.unsuited.Load())
}

// Direct returns the address of the endpoint.
func (d *Dialer) Direct() Direct { return d.direct }

// ErrUnsuited says that the endpoint speaks TLS that event loops cannot have. OnLoops is false from
// then on.
var ErrUnsuited = errors.New("its TLS records cannot be taken over")

// A Socket is a connected socket that is in no use by the Go runtime. Its receiver owns it.
type Socket struct {
	FD     int
	State  *record.State // of TLS; nil without
	Unread []byte        // as it came from the socket
}

// Detached opens a connection for HTTP/1.1, TLS included, for an event loop. The error is an
// *[Error], or [ErrUnsuited].
func (d *Dialer) Detached(ctx context.Context) (s Socket, err error) {
	c, err := d.connect(ctx, nil, forLoop)
	if err != nil {
		return s, err
	}
	w := wire.Of(c)
	if t, ok := c.(*tls.Conn); ok {
		w.OneRecord(false)
		state, ok := record.TakeFresh(t)
		if !ok {
			d.unsuited.Store(true)
			t.Close()
			return s, ErrUnsuited
		}
		s.State = &state
	}
	if s.FD, s.Unread, err = w.Detach(); err != nil {
		if s.State != nil {
			s.State.Wipe()
		}
		w.Close()
		return Socket{}, d.Failure(err)
	}
	return s, nil
}

// Connecting counts a connection that an event loop opens; Release uncounts it when it is closed.
func (d *Dialer) Connecting() { d.open.Add(1) }

// Surplus counts that the endpoint has sent more than answers to its requests, so that the connection
// cannot be used again.
func (d *Dialer) Surplus() {
	if d.surplus != nil {
		d.surplus()
	}
}

// Failure returns the error of a connection that failed with err, if that is none yet.
func (d *Dialer) Failure(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return d.failure(context.Background(), err)
}
