//go:build linux && !portable

package http1

import (
	"context"
	"io"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/internal/record"
	"sluice/proxy/backend/dial"
)

// upstreams is the connections of one loop to endpoints, and the loop's [loop.Handler] for
// them.
type upstreams struct {
	*loop.Loop
	clients *loopConns
	slots   loop.Slots[upstreamSlot, upstreamRefs, *upstreamSlot]
	idle    map[*dial.Dialer]*idleSet
	sets    *idleSets    // the engine's
	all     []*upstreams // of the engine, by number of the loop
}

// upstreamSlot is the part of a connection without pointers.
type upstreamSlot struct {
	loop.Entry
	since int64 // the moment since which it is idle
}

// upstreamRefs is the part of a connection with pointers.
type upstreamRefs struct{ up *upstream }

// upstream is a connection to an endpoint.
type upstream struct {
	slot   *upstreamSlot
	dialer *dial.Dialer
	fd     int32
	conn   *conn   // the client's whose request it has; nil while it is idle
	server *Server // of its last request; nil before that was answered

	connecting bool
	requests   int                // that it has carried to their end
	large      bool               // its last answer was large, and the next one may be
	closes     bool               // the endpoint closes it after its answer
	cancel     context.CancelFunc // ends the goroutine that opens it; nil where the loop does
	records
	ended   bool   // the end of the stream has come, behind what is to be read
	more    bool   // there may be something to read of which epoll has told
	waiting []byte // to be sent when it is open
	out     []byte // waits to be sent, as it is sent
	taken   uint64 // bytes that the endpoint had acknowledged at the last look
	kept    []byte // came, and needs more bytes after it
	failed  error  // why it takes nothing any more; nil while it does
}

// keep keeps in until more bytes come after it. If at is not negative, in is in the loop's
// buffer.
func (up *upstream) keep(in []byte, at int) {
	switch {
	case len(in) == 0:
		up.kept = nil
	case at >= 0 || len(up.kept) == 0:
		up.kept = append([]byte(nil), in...)
	default:
		up.kept = up.kept[:copy(up.kept, in)]
	}
}

// take returns a kept connection to an endpoint, or opens one: always if fresh is set.
func (u *upstreams) take(d *dial.Dialer, fresh bool) (*upstream, error) {
	if !fresh {
		if up := u.reuse(d); up != nil {
			return up, nil
		}
	}
	return u.connect(d)
}

// quiet reports whether nothing has come on an idle connection: what has would be taken for
// the answer to the next request. With TLS, session tickets may come at any time.
func (u *upstreams) quiet(up *upstream) (quiet bool) {
	defer u.guardIdle(up)
	var one [1]byte
	n, err := loop.Peek(up.fd, one[:])
	if up.cell == noTLS || err != nil {
		if n > 0 {
			up.dialer.Surplus()
		}
		return err == unix.EAGAIN
	}
	for buf := make([]byte, 2*answerPiece); ; { // the loop's is in use
		switch in, err := u.recv(up, buf); {
		case err == unix.EAGAIN:
			return true
		case err != nil:
			return false
		case len(in) > 0:
			up.dialer.Surplus()
			return false
		}
	}
}

// recv reads once into buf and returns what came, at its beginning. It is nothing, without an
// error, where a TLS record is not complete. The error at the end of the stream is [io.EOF]. It
// notes whether there may be more to read.
func (u *upstreams) recv(up *upstream, buf []byte) ([]byte, error) {
	if up.over {
		return u.clients.unseal(&up.records, nil)
	}
	kept := copy(buf, up.partial)
	room := buf[kept:min(kept+up.piece(), len(buf))]
	n, err := loop.Read(up.fd, room)
	switch {
	case err != nil:
		return nil, err
	case n == 0 && kept > 0:
		return nil, io.ErrUnexpectedEOF
	case n == 0:
		return nil, io.EOF
	}
	up.more = n == len(room) || up.ended // no event tells of what came before
	in := buf[:kept+n]
	if up.cell == noTLS {
		return in, nil
	}
	plain, err := u.clients.unseal(&up.records, in)
	up.more = up.more || up.over
	return plain, err
}

// send sends a part of a request: a, and then b, which may be empty.
func (u *upstreams) send(up *upstream, a, b []byte) {
	switch {
	case up.connecting: // what protects the records may not be known yet
		up.waiting = append(append(up.waiting, a...), b...)
		return
	case len(a)+len(b) == 0:
		return
	case up.cell != noTLS:
		if len(b) > 0 {
			u.clients.request = append(a, b...)
			a, b = u.clients.request, nil
		}
		var err error
		if a, err = u.clients.seal(&up.records, a); err != nil {
			u.broken(up, err)
			return
		}
	}
	if len(up.out) == 0 {
		n, err := writeBoth(up.fd, a, b)
		switch {
		case err == unix.EAGAIN:
		case err != nil:
			u.broken(up, err)
			return
		case n < len(a):
			a = a[n:]
		default:
			a, b = nil, b[n-len(a):]
		}
	}
	if len(a)+len(b) > 0 {
		up.out = append(append(up.out, a...), b...)
	}
}

// writeBoth writes a and then b.
func writeBoth(fd int32, a, b []byte) (int, error) {
	if len(b) == 0 {
		return loop.Write(fd, a)
	}
	return loop.WriteBoth(fd, a, b)
}

// Ready handles what epoll reports of a socket. Epoll reports each change once.
func (u *upstreams) Ready(id loop.SlotID, _ uint8, events uint32) {
	_, r, ok := u.slots.At(id)
	if !ok {
		return
	}
	up := r.up
	if up.conn == nil {
		if events&^unix.EPOLLOUT != 0 && !u.quiet(up) {
			u.forget(up)
			u.close(up)
		}
		return
	}
	defer u.clients.guard(up.conn)
	up.ended = up.ended || events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	if up.connecting && !u.connected(up, events) {
		return
	}
	if len(up.out) > 0 && events&unix.EPOLLOUT != 0 && !u.flush(up) {
		return
	}
	if c := up.conn; len(up.out) == 0 && !c.forward.request.over() {
		if u.clients.sendBody(c); up.conn != c {
			return
		}
	}
	if events&^unix.EPOLLOUT != 0 {
		u.read(up)
	}
}

// moved reports whether the endpoint has taken bytes since the last call. Epoll tells of room
// only when a third of the send buffer is free.
func (up *upstream) moved() bool {
	info, err := unix.GetsockoptTCPInfo(int(up.fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.Bytes_acked == up.taken {
		return false
	}
	up.taken = info.Bytes_acked
	return true
}

// flush sends what waits. It is false if the connection is broken.
func (u *upstreams) flush(up *upstream) bool {
	n, err := loop.Write(up.fd, up.out)
	switch {
	case err == unix.EAGAIN:
	case err != nil:
		u.broken(up, err)
		return false
	default:
		if up.out = up.out[n:]; len(up.out) == 0 {
			up.out = nil
		}
		if f := up.conn.forward; f.status == 0 { // it takes the request
			f.since = u.Now()
		}
	}
	return true
}

// broken handles a connection that takes nothing any more. What the endpoint has said before
// can still be read.
func (u *upstreams) broken(up *upstream, err error) {
	up.out, up.failed, up.conn.forward.request.broken = nil, err, true
	u.read(up)
}

// read reads what an endpoint has sent, as long as its client takes it.
func (u *upstreams) read(up *upstream) {
	c := up.conn
	for turn := 0; !c.forward.blocked(); turn++ {
		if turn >= turnsAtOnce && !c.forward.goesOn {
			u.Again(&up.slot.Entry, 0, unix.EPOLLIN)
			return
		}
		if f := c.forward; up.failed == nil && f.status != 0 && (f.goesOn || c.spliceable(spliceMin)) {
			if spliced, more := u.clients.splice(c); more {
				continue
			} else if spliced {
				return
			}
		}
		in, err := u.recv(up, u.Buffer[headroom:])
		if up.failed != nil && (err == unix.EAGAIN || err == io.EOF) {
			err = up.failed
		}
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			u.clients.endpointEnded(c, err)
			return
		}
		if len(in) > 0 && !u.clients.answered(c, in, headroom) {
			return // it may be idle, or another request's
		}
		if !up.more && up.failed == nil {
			return
		}
	}
}

// release takes a connection back whose request is answered. Clean says that nothing came
// after the answer.
func (u *upstreams) release(up *upstream, clean bool) {
	up.conn, up.server, up.kept = nil, up.conn.server, nil
	up.requests++
	if !clean || up.closes || up.ended || len(up.partial) > 0 || len(up.out) > 0 || u.Stopping() {
		u.close(up)
		return
	}
	u.keep(up)
}

// drop closes a connection whose request is over.
func (u *upstreams) drop(up *upstream) {
	up.conn = nil
	u.close(up)
}

// giveAway forgets a connection whose socket is another's now.
func (u *upstreams) giveAway(up *upstream) {
	u.StopTimer(&up.slot.Entry)
	u.slots.Retire(up.slot)
	up.dialer.Release()
}

// close closes a connection that is neither idle nor has a request.
func (u *upstreams) close(up *upstream) {
	u.StopTimer(&up.slot.Entry)
	u.slots.Retire(up.slot)
	if up.cancel != nil {
		up.cancel()
	}
	if up.cell != noTLS {
		if b := u.clients.sealAlert(&up.records, record.CloseNotify); len(up.out) == 0 && len(b) > 0 {
			_, _ = loop.Write(up.fd, b)
		}
		u.clients.wipe(&up.records)
	}
	if up.fd >= 0 {
		loop.Close(up.fd)
	}
	up.dialer.Release()
}

// Due closes a connection that was idle for too long.
func (u *upstreams) Due(id loop.SlotID) {
	p, r, ok := u.slots.At(id)
	if !ok || r.up.conn != nil { // its timer is set again when it is idle
		return
	}
	if when := p.since + int64(r.up.dialer.KeepAlive().Timeout); when > u.Now() {
		u.SetTimer(&p.Entry, when)
		return
	}
	u.forget(r.up)
	u.close(r.up)
}

// BatchDone frees the slots of connections that are closed.
func (u *upstreams) BatchDone() {
	if n := u.slots.FreeRetired(); n > 0 {
		u.Leave(n)
	}
}

// Stop closes the idle connections.
func (u *upstreams) Stop() {
	for d := range u.idle {
		u.closeIdle(d)
	}
}
