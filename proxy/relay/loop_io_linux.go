//go:build !portable

package relay

import (
	"io"

	"golang.org/x/sys/unix"
)

// writePending reports whether something is on its way to a side.
func (k handle) writePending(side Side) bool {
	return k.pending != nil && (len(k.pending[side].out) > 0 || k.pending[side].pipe != nil)
}

// blockedSince returns, by side, the moment since which it takes nothing of what is on
// its way to it; 0 if nothing is.
func (k handle) blockedSince() (since [2]int64) {
	for side := Client; side <= Backend; side++ {
		if k.writePending(side) {
			since[side] = k.pending[side].blockedSince
		}
	}
	return since
}

// recordSince returns, by side, the moment since which the rest of a TLS record that it
// has begun could have come; 0 if none is begun, or it is not read.
func (k handle) recordSince(now int64) (since [2]int64) {
	for side := Client; side <= Backend; side++ {
		if k.pending != nil && len(k.pending[side].partialRecord) > 0 && !k.paused(side, now) {
			since[side] = k.pending[side].recordSince
		}
	}
	return since
}

// paused reports whether a side is not read: what came from it before has not
// gone on, or it is over a rate. When the session is over it is read to be
// dropped.
func (k handle) paused(side Side, now int64) bool {
	return !k.ended && (k.writePending(side.other()) || k.until(side) > now)
}

// event handles what epoll tells of one socket.
func (l *loop) event(k handle, side Side, events uint32) {
	s := &k.sockets[side]
	if events&unix.EPOLLOUT != 0 {
		l.flush(k, side)
	}
	switch {
	case k.closed:
		return
	case events&unix.EPOLLIN != 0 && s.events&unix.EPOLLIN != 0:
		l.read(k, side)
	case events&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		l.broken(k, side, events)
	}
	if !k.closed {
		l.advance(k)
	}
}

// broken handles a socket that was reset, or closed by its peer at both ends,
// while it is not being read. What came before that is still there to read,
// when its turn comes.
func (l *loop) broken(k handle, side Side, events uint32) {
	k.sockets[side].state |= stateHungUp
	if events&unix.EPOLLERR != 0 || k.writePending(side) {
		l.writeFailed(k, side, unix.ECONNRESET)
	}
}

// read takes what has come from a side and passes it on.
func (l *loop) read(k handle, from Side) {
	s := &k.sockets[from]
	if k.paused(from, l.now) {
		return // settle has epoll know
	}
	if k.payloadAhead(from) >= spliceMin && k.plain() && l.splice(k, from) {
		return
	}
	plain, held := 0, 0
	if k.pending != nil {
		plain = copy(l.buf[:], k.pending[from].held)
		held = plain + copy(l.buf[plain:], k.pending[from].partialRecord)
	}
	n, err := readFd(s.fd, l.buf[held:min(held+k.readSize(from, loopBuffer), len(l.buf))])
	switch {
	case err == unix.EAGAIN:
		return
	case err != nil:
		s.state |= stateReadEnded
		k.readEnded(from, err)
		return
	case n == 0:
		s.state |= stateReadEnded
		err = io.EOF
		if held > plain {
			err = io.ErrUnexpectedEOF
		}
		k.readEnded(from, err)
		return
	}
	if k.ended {
		if s.discarded += int32(n); s.discarded > lingerBytes {
			s.state |= stateReadEnded
		}
	}
	if s.tlsCell < 0 {
		l.consume(k, from, l.buf[:held+n])
		return
	}
	in, err := l.unseal(k, from, l.buf[:held+n], plain)
	l.consume(k, from, in)
	if err != nil {
		l.tlsEnded(k, from, err)
	}
}

// tlsEnded tells that nothing comes from a side behind what is held for its time.
func (l *loop) tlsEnded(k handle, from Side, err error) {
	k.sockets[from].state |= stateReadEnded
	if k.until(from) > l.now {
		l.ensurePending(k)[from].readErr = err
		return
	}
	k.readEnded(from, err)
}

// plain reports whether neither side has TLS.
func (k handle) plain() bool { return k.sockets[Client].tlsCell < 0 && k.sockets[Backend].tlsCell < 0 }

// consume judges the bytes in, which came from a side, and sends on what may.
// What has to wait, for more bytes or for its time, is held.
func (l *loop) consume(k handle, from Side, in []byte) {
	for len(in) > 0 {
		out, used := k.feed(from, in, l.now)
		if used == 0 {
			break
		}
		in = in[used:]
		if len(out) > 0 {
			l.send(k, from.other(), out)
		}
	}
	switch {
	case len(in) > 0:
		h := l.ensurePending(k)
		h[from].held = append(h[from].held[:0], in...)
	case k.pending != nil:
		k.pending[from].held = nil
	}
}

// send writes b to a side, sealed where it has TLS.
func (l *loop) send(k handle, to Side, b []byte) {
	if k.sockets[to].tlsCell >= 0 {
		sealed, err := l.seal(k, to, b)
		if err != nil {
			l.writeFailed(k, to, err)
			return
		}
		b = sealed
	}
	l.write(k, to, b)
}

// write writes b to a side's socket. What that does not take goes out later.
func (l *loop) write(k handle, to Side, b []byte) {
	if len(b) == 0 || k.sides[to].writeBroken {
		return
	}
	if !k.writePending(to) {
		n, err := writeFd(k.sockets[to].fd, b)
		switch {
		case err == unix.EAGAIN:
			n = 0
		case err != nil:
			l.writeFailed(k, to, err)
			return
		}
		b = b[n:]
	}
	if len(b) > 0 {
		h := l.ensurePending(k)
		if !k.writePending(to) {
			h[to].blockedSince = l.now
		}
		h[to].out = append(h[to].out, b...)
	}
}

// flush writes what waits for a side.
func (l *loop) flush(k handle, to Side) {
	if k.pending == nil {
		return
	}
	if h := &k.pending[to]; len(h.out) > 0 {
		n, err := writeFd(k.sockets[to].fd, h.out)
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			l.writeFailed(k, to, err)
			return
		}
		h.blockedSince = l.now
		if h.out = h.out[n:]; len(h.out) > 0 {
			return
		}
		h.out = nil
	}
	l.drainPipe(k, to)
	l.returnPipe(k, to)
}

// writeFailed tells the core that a side takes no more, and drops what waits.
func (l *loop) writeFailed(k handle, side Side, err error) {
	if k.pending != nil {
		h := &k.pending[side]
		h.out = nil
		if h.pipe != nil {
			l.pipes.release(h.pipe)
			h.pipe = nil
		}
	}
	k.writeFailed(side, err)
}

// resume passes on what was held for its time, which has come or does not count
// any more, and behind all of it the end of the stream.
func (l *loop) resume(k handle, from Side) {
	if k.pending == nil || k.paused(from, l.now) {
		return
	}
	if len(k.pending[from].held) > 0 {
		l.consume(k, from, k.pending[from].held)
	}
	if end := k.pending[from].readErr; end != nil && k.until(from) <= l.now {
		k.pending[from].readErr = nil
		k.readEnded(from, end)
	}
}

// advance does what the last change of the core has made possible.
func (l *loop) advance(k handle) {
	l.resume(k, Client)
	l.resume(k, Backend)
	if k.closing() {
		k.awaitAnswers(l.now)
	}
	for side := Client; side <= Backend; side++ {
		if k.writePending(side) {
			continue
		}
		if b := k.appendOwn(side, l.ownFrame[:0], l.now); len(b) > 0 {
			l.send(k, side, b)
		}
	}
	if !k.ended && k.over() && !k.writePending(Client) && !k.writePending(Backend) {
		l.finish(k, lingerTime)
	}
	if k.ended {
		for side := range k.sockets {
			s, to := &k.sockets[side], Side(side)
			if s.is(stateWriteClosed) || k.writePending(to) || !k.closesFirst(to) {
				continue
			}
			if l.sendCloseNotify(k, to); !k.writePending(to) {
				s.state |= stateWriteClosed
				unix.Shutdown(int(s.fd), unix.SHUT_WR)
			}
		}
		if k.sockets[Client].is(stateReadEnded) && k.sockets[Backend].is(stateReadEnded) && !k.writePending(Client) && !k.writePending(Backend) {
			l.closeSockets(k)
			return
		}
	}
	l.watch(k)
	if !k.closed {
		l.releasePending(k)
		l.setTimer(k)
	}
}

// setTimer has the session looked at when something is due.
func (l *loop) setTimer(k handle) {
	when := k.deadline
	if !k.ended {
		when = k.nextDue(l.now, k.blockedSince(), k.recordSince(l.now))
	}
	if when != 0 && (k.timer == 0 || when < k.timer) { // a later one is found when this one rings
		l.timers.set(k.slot, when)
	}
}

// watch has epoll tell what can be done for the joint next.
func (l *loop) watch(k handle) {
	for side := range k.sockets {
		s := &k.sockets[side]
		var want uint8
		if !s.is(stateReadEnded) && !k.paused(Side(side), l.now) {
			want |= unix.EPOLLIN
			if k.pending != nil && s.events&unix.EPOLLIN == 0 {
				k.pending[side].recordSince = l.now // what is begun could not go on before
			}
		}
		if k.writePending(Side(side)) {
			want |= unix.EPOLLOUT
		}
		op := unix.EPOLL_CTL_MOD
		switch {
		case want == 0 && (s.is(stateReadEnded) || s.is(stateHungUp)) && s.is(stateWatched):
			op = unix.EPOLL_CTL_DEL // of what broke, epoll would tell for ever
		case want == s.events && (s.is(stateWatched) || want == 0):
			continue
		case !s.is(stateWatched):
			op = unix.EPOLL_CTL_ADD
		}
		e := unix.EpollEvent{Events: uint32(want), Fd: k.number<<1 | int32(side), Pad: k.generation}
		if err := unix.EpollCtl(l.epoll, op, int(s.fd), &e); err != nil && !s.is(stateReadEnded) {
			l.writeFailed(k, Side(side), err) // out of memory, or of watches
			s.state |= stateReadEnded
			k.readEnded(Side(side), err)
			l.advance(k)
			return
		}
		s.events = want
		if s.state |= stateWatched; op == unix.EPOLL_CTL_DEL {
			s.state &^= stateWatched
		}
	}
}

// tick does what is due.
func (l *loop) tick(k handle) {
	if k.ended {
		if k.deadline <= l.now {
			l.closeSockets(k)
		} else {
			l.setTimer(k)
		}
		return
	}
	for side := Client; side <= Backend && !k.closed; side++ {
		// Epoll tells of room only when a third of the send buffer is free: a
		// side that takes little has made some all the same.
		if k.writePending(side) {
			l.flush(k, side)
		}
	}
	switch {
	case k.closed:
	case k.tick(l.now, k.blockedSince(), k.recordSince(l.now)):
		l.abandon(k, lingerTime)
	default:
		l.advance(k)
	}
}
