// Package wire is a connection of a client or of a backend as bytes. A [Conn] is a stream
// socket under TLS and HTTP: it knows its peer's address, reads ahead, gives crypto/tls
// whole records only, tells a [Meter] what its peer sends, captures what an engine needs to
// continue a TLS connection, closes without destroying the last answer, and can be
// detached from the Go runtime. The package opens no sockets, knows no frames and does not
// parse HTTP.
package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
)

// Conn is an accepted or dialed stream socket. It lies directly on the connection of
// package net and directly under TLS and HTTP. So it holds every byte that was read from
// the socket and not yet returned by a Read.
//
// One goroutine may read while another one writes. Close and Cut may be called at any
// time.
type Conn struct {
	net.Conn // *net.TCPConn, *net.UnixConn, or one of an event loop

	peer     *netip.AddrPort // that a PROXY header named, which may be invalid; nil without one
	closing  closing
	progress progress
	early    earlyAnswer
	tracker  *readTracker // nil unless TrackReads was called
	meter    Meter        // nil unless SetMeter was called

	// There are many of these: the small fields stand together.
	byRecord bool  // the bytes are TLS records, and are returned whole
	single   bool  // a Read returns one record at most
	frozen   bool  // Reads stop between records
	uses     int32 // as CountUse counts

	// Read-ahead.
	ahead *[]byte // read from the socket and not yet returned; nil while empty
	whole int     // length of the complete records at the start of ahead

	capturer  atomic.Pointer[capturer]       // nil while nothing is captured
	handshake atomic.Pointer[handshakeTimes] // nil unless it was timed, and once it was taken
}

// New returns a Conn over c whose Reads return bytes as they come. It owns c.
func New(c net.Conn) *Conn { return &Conn{Conn: c} }

// NewTLS returns a Conn over c to give to [tls.Server] or [tls.Client]. It owns c. A Read
// never ends inside a TLS record unless the rest of the record can be read without
// waiting. So the TLS state is at a record boundary whenever a deadline ends a Read.
// Bytes that are not TLS records pass as they are: the TLS layer refuses them.
func NewTLS(c net.Conn) *Conn { return &Conn{Conn: c, byRecord: true} }

// Of returns the Conn under c: c itself, or the one below TLS. It returns nil if
// there is none, as for a stream of HTTP/2.
func Of(c net.Conn) *Conn {
	switch c := c.(type) {
	case *Conn:
		return c
	case interface{ NetConn() net.Conn }:
		return Of(c.NetConn())
	}
	return nil
}

// Read returns bytes that were read ahead, or reads from the socket. It fails with
// [net.ErrClosed] after [Conn.EndReads]. It cuts the connection and fails when the peer
// has sent more than the [Meter] permits.
func (c *Conn) Read(p []byte) (n int, err error) {
	c.closing.reading.Lock()
	if c.closing.readsEnded.Load() {
		c.closing.reading.Unlock()
		return 0, net.ErrClosed
	}
	n, err = c.readCounted(p)
	if err == nil && c.closing.readsEnded.Load() { // bytes came before a Read that waited had seen it
		n, err = 0, os.ErrDeadlineExceeded
	}
	c.closing.reading.Unlock()
	c.progress.in.Add(int64(n))
	if c.meter != nil {
		if tooMuch := c.meter.CountRead(n); tooMuch != nil {
			c.Cut()
			return 0, tooMuch
		}
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.closing.peerDone.Store(true)
	}
	return n, err
}

// TakeAhead returns the bytes that were read from the socket and not returned by a Read. They
// are the caller's.
func (c *Conn) TakeAhead() (unread []byte) {
	if c.ahead != nil {
		unread = append(unread, *c.ahead...)
		c.freeAhead()
	}
	return unread
}

// Received counts n bytes that were read from the socket without [Conn.Read], by an event
// loop. If it returns an error, the connection must be cut: the [Meter] permits no more.
func (c *Conn) Received(n int) error {
	c.progress.in.Add(int64(n))
	if c.meter == nil {
		return nil
	}
	return c.meter.CountRead(n)
}

// Moved returns how many bytes of the socket were read and written in all. It asks nobody.
func (c *Conn) Moved() (in, out int64) { return c.progress.in.Load(), c.progress.out.Load() }

// Continue sets what [Conn.Moved] begins with, of a socket that another process has had.
func (c *Conn) Continue(in, out int64) {
	c.progress.in.Store(in)
	c.progress.out.Store(out)
}

// Sent counts n bytes that were written to the socket without [Conn.Write], by an event loop.
func (c *Conn) Sent(n int) { c.progress.out.Add(int64(n)) }

// CountUse counts one more use of the connection, and returns how many there are by now. What
// a use is, the owner says. Only one goroutine at a time may call it.
func (c *Conn) CountUse() int {
	c.uses++
	return int(c.uses)
}

// readCounted counts the TLS records that it returns while they are captured.
func (c *Conn) readCounted(p []byte) (n int, err error) {
	m := c.activeCapture()
	if m == nil {
		return c.read(p)
	}
	if c.frozen {
		n, err = c.readFrozen(p, m.in.missing())
	} else {
		n, err = c.read(p)
	}
	m.in.add(p[:n])
	return n, err
}

func (c *Conn) read(p []byte) (int, error) {
	if !c.byRecord && c.ahead == nil {
		return c.readSocket(p)
	}
	return c.readRecords(p)
}

// Write writes to the socket. See [Conn.ExpectEarlyAnswer] for Writes that seem to
// succeed.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	c.progress.out.Add(int64(n))
	if m := c.activeCapture(); m != nil {
		m.out.add(p[:n])
	}
	return n, err
}

// secureConn is TLS over another connection.
type secureConn interface {
	NetConn() net.Conn
	CloseWrite() error
}

// CloseWrite ends the stream to the peer of c. It sends a close_notify alert if c is TLS,
// and the FIN of the socket below, even if the alert could not be sent. It closes a
// connection that cannot close one direction alone.
func CloseWrite(c net.Conn) error {
	type closeWriter interface{ CloseWrite() error }
	switch c := c.(type) {
	case secureConn:
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

// fatalAlert is an error of package record.
type fatalAlert interface {
	error
	FatalAlert()
}

// IsFatalAlert reports whether err, from a Read of TLS, means that a fatal alert
// was sent or received. After it the socket may only be closed (RFC 8446, section 6.2):
// CloseWrite and Close of the tls.Conn would send a close_notify.
func IsFatalAlert(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[fatalAlert](err); ok {
		return true
	}
	e, ok := errors.AsType[*net.OpError](err)
	return ok && (e.Op == "local error" || e.Op == "remote error")
}

// A Side is one end of a session after the handshake. Its owner owns both fields.
type Side struct {
	Conn  net.Conn // *Conn, *tls.Conn over one, or a stream
	Early []byte   // application bytes that were read together with the handshake
}
