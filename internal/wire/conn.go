// Package wire is a socket as the gateway holds it: the connection under TLS
// and HTTP that knows its peer, reads ahead, hands TLS whole records only, and
// can be detached from the Go runtime when an engine takes the session over.
package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
)

// Conn is an accepted or dialed stream socket. It lies directly on the
// operating system's connection and directly under TLS and HTTP, so that one
// value has every byte that was read from the socket and not yet consumed.
//
// One goroutine may read while another writes, as with any net.Conn.
type Conn struct {
	net.Conn // *net.TCPConn or *net.UnixConn in the gateway

	origin    origin
	progress  progress
	allowance allowance
	ending    ending
	head      head
	early     earlyAnswer
	closing   sync.Once // the lingering
	watch     *watch    // nil unless asked for
	records   bool      // bytes are TLS records, handed over whole
	ahead     *[]byte   // read and not yet handed over; nil while empty
	whole     int       // length of the complete records at the start of ahead

	memory atomic.Pointer[memory] // nil unless asked for
	frozen bool                   // Reads stop between records
}

// New returns c as a connection whose bytes are passed on as they come.
func New(c net.Conn) *Conn { return &Conn{Conn: c} }

// NewTLS returns c as the connection to give to [tls.Server] or [tls.Client].
// A Read never ends inside a TLS record unless the rest of the record can be
// read without waiting: whoever interrupts a Read between records finds the
// TLS state whole. Bytes that are not TLS records pass as they are, for the
// TLS layer to refuse.
func NewTLS(c net.Conn) *Conn { return &Conn{Conn: c, records: true} }

// Of returns the Conn under c: c itself, or the one below a *tls.Conn, or nil.
func Of(c net.Conn) *Conn {
	switch c := c.(type) {
	case *Conn:
		return c
	case *tls.Conn:
		return Of(c.NetConn())
	}
	return nil
}

// Peer returns the address of the other end, unmapped from IPv6 where it is an
// IPv4 address. It is the zero value for a Unix socket.
func (c *Conn) Peer() netip.AddrPort {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}

// Read reads bytes that were read ahead, then from the socket.
func (c *Conn) Read(p []byte) (n int, err error) {
	if c.ending.ended.Load() {
		return 0, net.ErrClosed
	}
	n, err = c.readMetered(p)
	c.progress.in.Add(int64(n))
	if flood := c.allowance.spend(n); flood != nil {
		c.Cut()
		return 0, flood
	}
	if full := c.head.take(n); full != nil {
		c.Cut()
		return 0, full
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.ending.over.Store(true)
	}
	return n, err
}

func (c *Conn) readMetered(p []byte) (n int, err error) {
	m := c.metered()
	if m == nil {
		return c.read(p)
	}
	if c.frozen {
		n, err = c.readFrozen(p, m.in.rest())
	} else {
		n, err = c.read(p)
	}
	m.in.pass(p[:n])
	return n, err
}

func (c *Conn) read(p []byte) (int, error) {
	if !c.records && c.ahead == nil {
		return c.receive(p)
	}
	return c.readRecords(p)
}

// Write writes to the socket.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	c.progress.out.Add(int64(n))
	if m := c.metered(); m != nil {
		m.out.pass(p[:n])
	}
	return n, err
}

// CloseWrite ends the stream towards the peer of c: a close_notify alert where
// c is TLS, and the FIN of the socket below. A type that has neither is closed.
func CloseWrite(c net.Conn) error {
	type closeWriter interface{ CloseWrite() error }
	switch c := c.(type) {
	case *tls.Conn:
		err := c.CloseWrite()
		if below := CloseWrite(c.NetConn()); err == nil {
			err = below
		}
		return err
	case *Conn:
		return CloseWrite(c.Conn)
	case closeWriter:
		return c.CloseWrite()
	}
	return c.Close()
}

// Alerted reports whether err, of a Read from a [tls.Conn], means that a fatal
// alert was sent or received. Nothing may follow it (RFC 8446, section 6.2), but
// the end of the connection below: CloseWrite and Close of TLS say close_notify.
func Alerted(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	e, ok := errors.AsType[*net.OpError](err)
	return ok && (e.Op == "local error" || e.Op == "remote error")
}

// A Side is one end of a session after the handshake.
type Side struct {
	Conn  net.Conn // *Conn, *tls.Conn over one, or a stream
	Early []byte   // application bytes that were read behind the handshake
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, maxRecord); return &b }}
