//go:build linux && !portable

package epoll

import (
	"crypto/tls"
	"net"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/internal/record"
	"sluice/internal/wire"
	"sluice/proxy/relay/core"
)

// A handover is a session on its way to a loop.
type handover struct {
	session *core.Session
	sides   [2]detachedSide // by Side
	watched bool            // the sockets are in the epoll set of the loop
}

// detachedSide is what a loop takes over of one side. It owns the descriptor and the
// secrets until the loop has them.
type detachedSide struct {
	fd     int32 // 0 until it is detached
	hasTLS bool  // state is set
	state  record.State
	early  []byte // plaintext
	unread []byte // as it came from the socket
}

// prepare detaches the session from the Go runtime and reserves a slot for it on a loop.
// If that fails it says why: see [Engine.Join] for the state of the session then.
func (o *handover) prepare(l *loopSessions) (why string) {
	switch {
	case !onSocket(o.session.Client.Conn) || !onSocket(o.session.Backend.Conn):
		return "one side of the session is a stream of another connection"
	case !l.reserve():
		return "there is no event loop that could have it"
	}
	prepared := false
	defer func() { // after a panic too
		if !prepared {
			o.abandon()
			l.Enter(l.unreserve)
		}
	}()
	if why = o.takeRecords(); why == "" {
		why = o.detach()
	}
	prepared = why == ""
	return why
}

// takeRecords takes the TLS records of both sides over from crypto/tls, or says why they
// stay there.
func (o *handover) takeRecords() (why string) {
	for side, s := range [...]*wire.Side{&o.session.Client, &o.session.Backend} {
		t, ok := s.Conn.(*tls.Conn)
		if !ok {
			continue
		}
		d := &o.sides[side]
		captured := wire.Of(t).Capturing()
		var early []byte
		d.state, early, d.hasTLS = record.Take(t)
		s.Early = append(s.Early, early...)
		switch {
		case d.hasTLS:
		case !captured:
			return "a connection of the session began without 'records: sluice'"
		case !record.Covers(t):
			return "the cipher suite " + tls.CipherSuiteName(t.ConnectionState().CipherSuite) + " is left to crypto/tls"
		default:
			return "the keys did not prove right with the records that went by"
		}
	}
	return ""
}

// detach takes both descriptors out of the Go runtime, or says why not. Both connections are
// open sockets, so the only thing that can fail is that a descriptor is duplicated. The
// client goes last: if the process runs out of descriptors in between, the backend's
// connection is closed already, but the other engine can still send the client its Close
// frame.
func (o *handover) detach() (why string) {
	for _, side := range [...]core.Side{core.Backend, core.Client} {
		s := &o.session.Client
		if side == core.Backend {
			s = &o.session.Backend
		}
		fd, unread, err := wire.Of(s.Conn).Detach()
		if err != nil {
			return "the process is out of file descriptors"
		}
		d := &o.sides[side]
		d.fd, d.early, d.unread = int32(fd), s.Early, unread
		if t, ok := s.Conn.(*record.Conn); ok {
			var early, partial []byte
			d.state, early, partial = t.Release()
			d.hasTLS, d.early, d.unread = true, append(d.early, early...), append(partial, unread...)
		}
	}
	return ""
}

// abandon wipes the secrets and closes the descriptors that were taken.
func (o *handover) abandon() {
	for side := range o.sides {
		d := &o.sides[side]
		d.state.Wipe()
		if d.fd > 0 {
			unix.Close(int(d.fd))
			d.fd = 0
		}
	}
}

// onSocket reports whether c is a socket of the system, or TLS over one.
func onSocket(c net.Conn) bool {
	w := wire.Of(c)
	if w == nil {
		return false
	}
	switch w.Conn.(type) {
	case *net.TCPConn, *net.UnixConn, *loop.TCPConn, *loop.Conn:
		return true
	}
	return false
}
