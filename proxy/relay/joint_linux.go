//go:build !portable

package relay

import (
	"io"

	"golang.org/x/sys/unix"
)

// busy reports whether something is on its way to a side.
func (k joint) busy(side Side) bool {
	return k.hot != nil && (len(k.hot[side].out) > 0 || k.hot[side].pipe != nil)
}

// stuck returns, by side, the moment since which it takes nothing of what is on
// its way to it; 0 if nothing is.
func (k joint) stuck() (since [2]int64) {
	for side := Client; side <= Backend; side++ {
		if k.busy(side) {
			since[side] = k.hot[side].since
		}
	}
	return since
}

// begun returns, by side, since when the loop waits for the rest of a TLS record that
// the side has begun; 0 if none is begun, or while the side is not read.
func (k joint) begun() (since [2]int64) {
	for side := Client; side <= Backend; side++ {
		if k.hot != nil && len(k.hot[side].record) > 0 && k.sockets[side].events&unix.EPOLLIN != 0 {
			since[side] = k.hot[side].begun
		}
	}
	return since
}

// paused reports whether a side is not read: what came from it before has not
// gone on, or it is over a rate. When the session is over it is read to be
// dropped.
func (k joint) paused(side Side, now int64) bool {
	return !k.done && (k.busy(side.other()) || k.until(side) > now)
}

// event handles what epoll tells of one socket.
func (l *loop) event(k joint, side Side, events uint32) {
	s := &k.sockets[side]
	if events&unix.EPOLLOUT != 0 {
		l.flush(k, side)
	}
	switch {
	case k.gone:
		return
	case events&unix.EPOLLIN != 0 && s.events&unix.EPOLLIN != 0:
		l.read(k, side)
	case events&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		l.broken(k, side, events)
	}
	if !k.gone {
		l.settle(k)
	}
}

// broken handles a socket that was reset, or closed by its peer at both ends,
// while it is not being read. What came before that is still there to read,
// when its turn comes.
func (l *loop) broken(k joint, side Side, events uint32) {
	k.sockets[side].state |= hung
	if events&unix.EPOLLERR != 0 || k.busy(side) {
		l.unwritable(k, side, unix.ECONNRESET)
	}
}

// read takes what has come from a side and passes it on.
func (l *loop) read(k joint, from Side) {
	s := &k.sockets[from]
	if k.paused(from, l.now) {
		return // settle has epoll know
	}
	if k.ahead(from) >= spliceMin && k.plain() && l.splice(k, from) {
		return
	}
	plain, held := 0, 0
	if k.hot != nil {
		plain = copy(l.buf[:], k.hot[from].held)
		held = plain + copy(l.buf[plain:], k.hot[from].record)
	}
	n, err := readFd(s.fd, l.buf[held:min(held+k.room(from, loopBuffer), len(l.buf))])
	switch {
	case err == unix.EAGAIN:
		return
	case err != nil:
		s.state |= ended
		k.lost(from, err)
		return
	case n == 0:
		s.state |= ended
		err = io.EOF
		if held > plain {
			err = io.ErrUnexpectedEOF
		}
		k.lost(from, err)
		return
	}
	if k.done {
		if s.dropped += int32(n); s.dropped > lingerBytes {
			s.state |= ended
		}
	}
	if s.secret < 0 {
		l.consume(k, from, l.buf[:held+n])
		return
	}
	in, err := l.unseal(k, from, l.buf[:held+n], plain)
	l.consume(k, from, in)
	if err != nil {
		l.finished(k, from, err)
	}
}

// finished tells that nothing comes from a side behind what is held for its time.
func (l *loop) finished(k joint, from Side, err error) {
	k.sockets[from].state |= ended
	if k.until(from) > l.now {
		l.heat(k)[from].end = err
		return
	}
	k.lost(from, err)
}

// plain reports whether neither side has TLS.
func (k joint) plain() bool { return k.sockets[Client].secret < 0 && k.sockets[Backend].secret < 0 }

// consume judges the bytes in, which came from a side, and sends on what may.
// What has to wait, for more bytes or for its time, is held.
func (l *loop) consume(k joint, from Side, in []byte) {
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
		h := l.heat(k)
		h[from].held = append(h[from].held[:0], in...)
	case k.hot != nil:
		k.hot[from].held = nil
	}
}

// send writes b to a side, sealed where it has TLS.
func (l *loop) send(k joint, to Side, b []byte) {
	if k.sockets[to].secret >= 0 {
		sealed, err := l.seal(k, to, b)
		if err != nil {
			l.unwritable(k, to, err)
			return
		}
		b = sealed
	}
	l.put(k, to, b)
}

// put writes b to a side's socket. What that does not take goes out later.
func (l *loop) put(k joint, to Side, b []byte) {
	if len(b) == 0 || k.ends[to].broken {
		return
	}
	if !k.busy(to) {
		n, err := writeFd(k.sockets[to].fd, b)
		switch {
		case err == unix.EAGAIN:
			n = 0
		case err != nil:
			l.unwritable(k, to, err)
			return
		}
		b = b[n:]
	}
	if len(b) > 0 {
		h := l.heat(k)
		if !k.busy(to) {
			h[to].since = l.now
		}
		h[to].out = append(h[to].out, b...)
	}
}

// flush writes what waits for a side.
func (l *loop) flush(k joint, to Side) {
	if k.hot == nil {
		return
	}
	if h := &k.hot[to]; len(h.out) > 0 {
		n, err := writeFd(k.sockets[to].fd, h.out)
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			l.unwritable(k, to, err)
			return
		}
		h.since = l.now
		if h.out = h.out[n:]; len(h.out) > 0 {
			return
		}
		h.out = nil
	}
	l.drain(k, to)
	l.unpipe(k, to)
}

// unwritable tells the core that a side takes no more, and drops what waits.
func (l *loop) unwritable(k joint, side Side, err error) {
	if k.hot != nil {
		h := &k.hot[side]
		h.out = nil
		if h.pipe != nil {
			l.pipes.giveBack(h.pipe)
			h.pipe = nil
		}
	}
	k.unwritable(side, err)
}

// resume passes on what was held for its time, which has come or does not count
// any more, and behind all of it the end of the stream.
func (l *loop) resume(k joint, from Side) {
	if k.hot == nil || k.paused(from, l.now) {
		return
	}
	if len(k.hot[from].held) > 0 {
		l.consume(k, from, k.hot[from].held)
	}
	if end := k.hot[from].end; end != nil && k.until(from) <= l.now {
		k.hot[from].end = nil
		k.lost(from, end)
	}
}

// settle does what the last change of the core has made possible.
func (l *loop) settle(k joint) {
	l.resume(k, Client)
	l.resume(k, Backend)
	if k.closing() {
		k.await(l.now)
	}
	for side := Client; side <= Backend; side++ {
		if k.busy(side) {
			continue
		}
		if b := k.next(side, l.own[:0], l.now); len(b) > 0 {
			l.send(k, side, b)
		}
	}
	if !k.done && k.over() && !k.busy(Client) && !k.busy(Backend) {
		l.report(k, lingerTime)
	}
	if k.done {
		for side := range k.sockets {
			s, to := &k.sockets[side], Side(side)
			if s.is(shut) || k.busy(to) || !k.hangsUp(to) {
				continue
			}
			if l.sayGoodbye(k, to); !k.busy(to) {
				s.state |= shut
				unix.Shutdown(int(s.fd), unix.SHUT_WR)
			}
		}
		if k.sockets[Client].is(ended) && k.sockets[Backend].is(ended) && !k.busy(Client) && !k.busy(Backend) {
			l.drop(k)
			return
		}
	}
	l.watch(k)
	if !k.gone {
		l.cool(k)
		l.wakeAt(k)
	}
}

// wakeAt has the session looked at when something is due.
func (l *loop) wakeAt(k joint) {
	when := k.deadline
	if !k.done {
		when = k.due(l.now, k.stuck(), k.begun())
	}
	if when != 0 && (k.alarm == 0 || when < k.alarm) { // a later one is found when this one rings
		l.alarms.set(k.place, when)
	}
}

// watch has epoll tell what can be done for the joint next.
func (l *loop) watch(k joint) {
	for side := range k.sockets {
		s := &k.sockets[side]
		var want uint8
		if !s.is(ended) && !k.paused(Side(side), l.now) {
			want |= unix.EPOLLIN
			if k.hot != nil && s.events&unix.EPOLLIN == 0 {
				k.hot[side].begun = l.now // the rest could not be read before
			}
		}
		if k.busy(Side(side)) {
			want |= unix.EPOLLOUT
		}
		op := unix.EPOLL_CTL_MOD
		switch {
		case want == 0 && (s.is(ended) || s.is(hung)) && s.is(watched):
			op = unix.EPOLL_CTL_DEL // of what broke, epoll would tell for ever
		case want == s.events && (s.is(watched) || want == 0):
			continue
		case !s.is(watched):
			op = unix.EPOLL_CTL_ADD
		}
		e := unix.EpollEvent{Events: uint32(want), Fd: k.slot<<1 | int32(side), Pad: k.generation}
		if err := unix.EpollCtl(l.epoll, op, int(s.fd), &e); err != nil && !s.is(ended) {
			l.unwritable(k, Side(side), err) // out of memory, or of watches
			s.state |= ended
			k.lost(Side(side), err)
			l.settle(k)
			return
		}
		s.events = want
		if s.state |= watched; op == unix.EPOLL_CTL_DEL {
			s.state &^= watched
		}
	}
}

// tick does what is due.
func (l *loop) tick(k joint) {
	if k.done {
		if k.deadline <= l.now {
			l.drop(k)
		} else {
			l.wakeAt(k)
		}
		return
	}
	for side := Client; side <= Backend && !k.gone; side++ {
		// Epoll tells of room only when a third of the send buffer is free: a
		// side that takes little has made some all the same.
		if k.busy(side) {
			l.flush(k, side)
		}
	}
	switch {
	case k.gone:
	case k.tick(l.now, k.stuck(), k.begun()):
		l.giveUp(k, lingerTime)
	default:
		l.settle(k)
	}
}
