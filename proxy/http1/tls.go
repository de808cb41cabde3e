//go:build linux && !portable

package http1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"sluice/internal/record"
)

const noTLS = -1

// shortestRequest is less than a TLS record has that holds a whole request.
const shortestRequest = 45

// secure is what a connection has if it is TLS.
type secure struct {
	about   *tls.ConnectionState // nil without TLS
	cell    int32                // of the state, in loopConns.tls; noTLS while a goroutine has it
	partial []byte               // the beginning of a record
}

// recv reads once into the loop's buffer, behind the first at bytes of it and not more than n,
// and returns what came. It is nothing, without an error, where a TLS record is not complete.
// The error at the end of the stream is [io.EOF]. It notes whether there may be more to read.
func (l *loopConns) recv(p *slot, c *conn, at, n int) ([]byte, error) {
	kept := copy(l.Buffer[at:], c.partial)
	room := l.Buffer[at+kept : min(at+kept+n, len(l.Buffer))]
	n, err := c.sock.Recv(room)
	switch {
	case err != nil:
		p.readable = false
		return nil, err
	case n == 0:
		p.readable = false
		return nil, io.EOF
	}
	p.readable = n == len(room) || p.ended // no event tells of what came before
	if err := c.Wire.Received(n); err != nil {
		return nil, err
	}
	if c.about == nil {
		return room[:n], nil
	}
	return l.unseal(c, l.Buffer[at:at+kept+n])
}

// unseal opens the records in buf, in place, and keeps the beginning of one.
func (l *loopConns) unseal(c *conn, buf []byte) ([]byte, error) {
	state, ciphers := l.tls.At(c.cell)
	plain, in := 0, buf
	for {
		r, err := state.Open(ciphers, in, l.Now())
		switch {
		case err != nil:
			var alert *record.AlertError
			if errors.As(err, &alert) && !alert.Remote {
				l.alert(c, alert.Alert)
			}
			return nil, err
		case r.Kind == record.Closed && plain == 0:
			return nil, io.EOF
		case r.Kind == record.Closed || r.Used == 0:
			c.partial = nil
			if len(in) > 0 {
				c.partial = bytes.Clone(in) // a close_notify is told of again
			}
			return buf[:plain], nil
		}
		plain += copy(buf[plain:], r.Data)
		in = in[r.Used:]
	}
}

// alert sends an alert, best effort, behind which nothing is sent.
func (l *loopConns) alert(c *conn, a record.Alert) {
	if f := c.forward; f != nil && len(f.out) > 0 {
		return
	}
	state, ciphers := l.tls.At(c.cell)
	if b := state.Alert(ciphers, l.sealed[:0], a); len(b) > 0 {
		_, _ = c.sock.Send(b)
	}
}

// seal returns b as it goes to the client. It is good until the next call.
func (l *loopConns) seal(c *conn, b []byte) (_ []byte, err error) {
	if c.about == nil {
		return b, nil
	}
	state, ciphers := l.tls.At(c.cell)
	l.sealed, err = state.Seal(ciphers, l.sealed[:0], b)
	return l.sealed, err
}

// lend gives the connection's TLS to a goroutine.
func (l *loopConns) lend(c *conn) {
	if c.about == nil {
		return
	}
	state, _ := l.tls.At(c.cell)
	c.Conn.Conn = record.NewConn(c.Wire, c.about, state, c.partial)
	l.tls.Remove(c.cell)
	c.cell, c.partial = noTLS, nil
}

// takeBack takes the connection's TLS back.
func (l *loopConns) takeBack(c *conn) {
	if c.about == nil {
		return
	}
	state, early, unread := c.Conn.Conn.(*record.Conn).Release()
	c.Conn.Conn = c.Wire
	c.cell = l.tls.Add(&state)
	plain, _ := l.unseal(c, l.Buffer[:copy(l.Buffer[:], unread)]) // an error comes again, with the next bytes or with the end
	if len(early)+len(plain) > 0 {
		c.ahead = slices.Concat(c.ahead, early, plain)
	}
}

// endTLS sends the close_notify and wipes the state, if the loop has it.
func (l *loopConns) endTLS(c *conn, notify bool) {
	if c.about == nil || c.cell == noTLS {
		return
	}
	if notify {
		l.alert(c, record.CloseNotify)
	}
	l.tls.Remove(c.cell)
	c.cell = noTLS
}

// gone reports whether the client has closed the connection, or its direction of it, and there
// is nothing more to read before the end. A close_notify is nothing.
func (c *conn) gone() bool {
	var some [shortestRequest]byte
	n, err := c.sock.Peek(some[:])
	return err != unix.EAGAIN && (err != nil || n == 0 || c.about != nil && n < len(some))
}
