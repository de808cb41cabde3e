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

// secure is what a client's connection has if it is TLS.
type secure struct {
	about *tls.ConnectionState // nil without TLS
	records
}

// records is the TLS records of a connection while the loop has them.
type records struct {
	cell    int32  // of the state, in loopConns.tls; noTLS for a plain connection, and while a goroutine has it
	over    bool   // what partial begins with ends the records: that is told of when more is read
	partial []byte // the beginning of a record
}

// takeRecords takes over what protects the records, and what came of them.
func (l *loopConns) takeRecords(s *record.State, unread []byte) records {
	if s == nil {
		return records{cell: noTLS}
	}
	return records{cell: l.tls.Add(s), partial: unread}
}

// recv reads once into the loop's buffer, behind the first at bytes of it and not more than n,
// and returns what came. It is nothing, without an error, where a TLS record is not complete.
// The error at the end of the stream is [io.EOF]. It notes whether there may be more to read.
func (l *loopConns) recv(p *slot, c *conn, at, n int) ([]byte, error) {
	if c.over {
		p.readable = false
		return l.unsealFor(c, nil)
	}
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
	plain, err := l.unsealFor(c, l.Buffer[at:at+kept+n])
	p.readable = p.readable || c.over
	return plain, err
}

// unsealFor is unseal of what a client has sent. It tells the client what is wrong.
func (l *loopConns) unsealFor(c *conn, buf []byte) ([]byte, error) {
	plain, err := l.unseal(&c.records, buf)
	var alert *record.AlertError
	if errors.As(err, &alert) && !alert.Remote {
		l.alert(c, alert.Alert)
	}
	return plain, err
}

// unseal opens the records in buf, in place, and keeps the beginning of one. The error at a
// close_notify is [io.EOF]. An error comes behind all that was opened before it.
func (l *loopConns) unseal(s *records, buf []byte) ([]byte, error) {
	if s.over {
		buf = s.partial
	}
	state, ciphers := l.tls.At(s.cell)
	plain, in := 0, buf
	for {
		r, err := state.Open(ciphers, in, l.Now())
		if r.Kind == record.Closed {
			err = io.EOF
		}
		switch {
		case err != nil && plain == 0:
			l.CountBadRecord(err)
			return nil, err
		case err != nil || r.Used == 0:
			s.partial, s.over = nil, err != nil
			if len(in) > 0 {
				s.partial = bytes.Clone(in) // what ends the records does so again
			}
			return buf[:plain], nil
		}
		plain += copy(buf[plain:], r.Data)
		in = in[r.Used:]
	}
}

// alert sends an alert, best effort, behind which nothing is sent.
func (l *loopConns) alert(c *conn, a record.Alert) {
	if f := c.forward; f != nil && f.blocked() {
		return
	}
	if b := l.sealAlert(&c.records, a); len(b) > 0 {
		_, _ = c.sock.Send(b)
	}
}

// sealAlert returns an alert as it is sent, if one may still be.
func (l *loopConns) sealAlert(s *records, a record.Alert) []byte {
	state, ciphers := l.tls.At(s.cell)
	return state.Alert(ciphers, l.sealed[:0], a)
}

// seal returns b as it is sent. It is good until the next call.
func (l *loopConns) seal(s *records, b []byte) (_ []byte, err error) {
	if s.cell == noTLS {
		return b, nil
	}
	state, ciphers := l.tls.At(s.cell)
	l.sealed, err = state.Seal(ciphers, l.sealed[:0], b)
	return l.sealed, err
}

// giveRecords returns what another owner goes on with, and forgets it.
func (l *loopConns) giveRecords(s *records) (state *record.State, unread []byte) {
	if s.cell == noTLS {
		return nil, nil
	}
	kept, _ := l.tls.At(s.cell)
	moved := *kept
	unread = s.partial
	l.wipe(s)
	return &moved, unread
}

// wipe forgets what protects the records, if the loop has it.
func (l *loopConns) wipe(s *records) {
	if s.cell != noTLS {
		l.tls.Remove(s.cell)
		*s = records{cell: noTLS}
	}
}

// lend gives the connection's TLS to a goroutine.
func (l *loopConns) lend(c *conn) {
	if c.about == nil {
		return
	}
	state, unread := l.giveRecords(&c.records)
	c.Conn.Conn = record.NewConn(c.Wire, c.about, state, unread)
}

// takeBack takes the connection's TLS back. An error is what ends it.
func (l *loopConns) takeBack(c *conn) error {
	if c.about == nil {
		return nil
	}
	state, early, unread := c.Conn.Conn.(*record.Conn).Release()
	c.Conn.Conn = c.Wire
	c.records = l.takeRecords(&state, nil)
	plain, err := l.unsealFor(c, l.Buffer[:copy(l.Buffer[:], unread)])
	if len(early)+len(plain) > 0 {
		c.ahead = slices.Concat(c.ahead, early, plain)
	}
	return err
}

// endTLS sends the close_notify and wipes the state, if the loop has it.
func (l *loopConns) endTLS(c *conn, notify bool) {
	if notify && c.cell != noTLS {
		l.alert(c, record.CloseNotify)
	}
	l.wipe(&c.records)
}

// gone reports whether the client has closed the connection, or its direction of it, and there
// is nothing more to read before the end. A close_notify is nothing.
func (c *conn) gone() bool {
	var some [shortestRequest]byte
	n, err := c.sock.Peek(some[:])
	return err != unix.EAGAIN && (err != nil || n == 0 || c.about != nil && n < len(some))
}
