//go:build !portable

package relay

import (
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// joint is a Session that a loop runs.
type joint struct {
	Session
	core     core
	ends     [2]socket // by Side
	slot     int32
	deadline time.Time     // to wait for answers, then to linger; zero while the session is open
	duration time.Duration // 0 until all is said
	gone     bool          // the sockets are closed
}

// socket is one side of a joint.
type socket struct {
	fd      int
	release func()
	watched bool   // it is in the epoll set
	events  uint32 // waited for; errors always are
	held    []byte // the beginning of a frame, read and not used
	out     []byte // on its way to it, not taken by the socket
	pipe    *pipe  // payload on its way to it; nil while there is none
	ended   bool   // nothing is read from it any more
	hung    bool   // nothing more will come but what has, and the error
	shut    bool   // it was sent the end of the stream
	dropped int    // bytes read after all was said
}

// busy reports whether something is on its way to the socket.
func (s *socket) busy() bool { return len(s.out) > 0 || s.pipe != nil }

// paused reports whether a side is not read because what came from it before
// has not gone on. When the session is over it is read to be dropped.
func (k *joint) paused(side Side) bool {
	return k.duration == 0 && k.ends[side.other()].busy()
}

func (k *joint) view() View {
	return View{
		ID: k.ID, Group: k.Group, Meta: k.Meta,
		FromClient: k.core.ends[Client].dir.Counts, FromBackend: k.core.ends[Backend].dir.Counts,
	}
}

// report is how the session ended.
func (k *joint) report() Report {
	c := &k.core
	return Report{
		View: k.view(), Owner: k.Owner, Duration: k.duration,
		Cause: c.cause, By: c.by, Code: c.code, Reason: c.reason, Detail: c.detail,
	}
}

func (k *joint) close() {
	for side := range k.ends {
		s := &k.ends[side]
		unix.Close(s.fd)
		s.release()
	}
}

// event handles what epoll tells of one socket.
func (l *loop) event(k *joint, side Side, events uint32) {
	s := &k.ends[side]
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
func (l *loop) broken(k *joint, side Side, events uint32) {
	s := &k.ends[side]
	s.hung = true
	if events&unix.EPOLLERR != 0 || s.busy() {
		l.unwritable(k, side, unix.ECONNRESET)
	}
}

// read takes what has come from a side and passes it on.
func (l *loop) read(k *joint, from Side) {
	s := &k.ends[from]
	if k.paused(from) {
		return // settle has epoll know
	}
	if k.core.ahead(from) >= spliceMin && l.splice(k, from) {
		return
	}
	held := copy(l.buf[:], s.held)
	n, err := readFd(s.fd, l.buf[held:])
	switch {
	case err == unix.EAGAIN:
		return
	case err != nil:
		s.ended = true
		k.core.lost(from, err)
		return
	case n == 0:
		s.ended = true
		k.core.lost(from, io.EOF)
		return
	}
	if k.duration != 0 {
		if s.dropped += n; s.dropped > lingerBytes {
			s.ended = true
		}
	}
	l.consume(k, from, l.buf[:held+n])
}

// consume judges the bytes in, which came from a side, and sends on what may.
// What has to wait for more bytes is held.
func (l *loop) consume(k *joint, from Side, in []byte) {
	for len(in) > 0 {
		out, used := k.core.feed(from, in)
		if used == 0 {
			break
		}
		in = in[used:]
		if len(out) > 0 {
			l.send(k, from.other(), out)
		}
	}
	if s := &k.ends[from]; len(in) > 0 {
		s.held = append(s.held[:0], in...)
	} else {
		s.held = nil
	}
}

// send writes b to a side. What the socket does not take goes out later.
func (l *loop) send(k *joint, to Side, b []byte) {
	s := &k.ends[to]
	if !s.busy() {
		n, err := writeFd(s.fd, b)
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
		s.out = append(s.out, b...)
	}
}

// flush writes what waits for a side.
func (l *loop) flush(k *joint, to Side) {
	s := &k.ends[to]
	if len(s.out) > 0 {
		n, err := writeFd(s.fd, s.out)
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			l.unwritable(k, to, err)
			return
		}
		if s.out = s.out[n:]; len(s.out) > 0 {
			return
		}
		s.out = nil
	}
	l.drain(k, to)
	l.unpipe(s)
}

// unwritable tells the core that a side takes no more, and drops what waits.
func (l *loop) unwritable(k *joint, side Side, err error) {
	s := &k.ends[side]
	s.out = nil
	if s.pipe != nil {
		s.pipe.close()
		s.pipe = nil
	}
	k.core.unwritable(side, err)
}

// settle does what the last change of the core has made possible.
func (l *loop) settle(k *joint) {
	if k.core.closing() && k.deadline.IsZero() {
		l.wakeAt(k, closeTimeout)
	}
	for side := range k.ends {
		if k.ends[side].busy() {
			continue
		}
		if b := k.core.next(Side(side)); b != nil {
			l.send(k, Side(side), b)
		}
	}
	if k.duration == 0 && k.core.over() && !k.ends[Client].busy() && !k.ends[Backend].busy() {
		l.over(k, lingerTime)
	}
	if k.duration != 0 {
		for side := range k.ends {
			if s := &k.ends[side]; !s.shut && !s.busy() && k.core.hangsUp(Side(side)) {
				s.shut = true
				unix.Shutdown(s.fd, unix.SHUT_WR)
			}
		}
		if k.ends[Client].ended && k.ends[Backend].ended && !k.ends[Client].busy() && !k.ends[Backend].busy() {
			l.drop(k)
			return
		}
	}
	l.watch(k)
}

// watch has epoll tell what can be done for the joint next.
func (l *loop) watch(k *joint) {
	for side := range k.ends {
		s := &k.ends[side]
		var want uint32
		if !s.ended && !k.paused(Side(side)) {
			want |= unix.EPOLLIN
		}
		if s.busy() {
			want |= unix.EPOLLOUT
		}
		op := unix.EPOLL_CTL_MOD
		switch {
		case want == 0 && (s.ended || s.hung) && s.watched:
			op = unix.EPOLL_CTL_DEL // of what broke, epoll would tell for ever
		case want == s.events && (s.watched || want == 0):
			continue
		case !s.watched:
			op = unix.EPOLL_CTL_ADD
		}
		e := unix.EpollEvent{Events: want, Fd: k.slot<<1 | int32(side), Pad: l.slots[k.slot].generation}
		if err := unix.EpollCtl(l.epoll, op, s.fd, &e); err != nil && !s.ended {
			l.unwritable(k, Side(side), err) // out of memory, or of watches
			s.ended = true
			k.core.lost(Side(side), err)
			l.settle(k)
			return
		}
		s.events, s.watched = want, op != unix.EPOLL_CTL_DEL
	}
}

// over reports the session; the sockets linger.
func (l *loop) over(k *joint, linger time.Duration) {
	if k.duration == 0 {
		k.duration = max(l.now.Sub(k.Meta.Opened), 1)
		k.Group.open.Add(-1)
		l.ended(k.report())
	}
	l.wakeAt(k, linger)
}

func (l *loop) wakeAt(k *joint, after time.Duration) {
	k.deadline = l.now.Add(after)
	l.at(k, k.deadline, 0)
}

// timeout gives up waiting: for answers, then for the peers to hang up.
func (l *loop) timeout(k *joint) {
	if k.duration != 0 {
		l.drop(k)
		return
	}
	l.giveUp(k, lingerTime)
}

// cut ends the session at once, or its lingering; who can be told still is.
func (l *loop) cut(k *joint) {
	k.core.end(Shutdown)
	l.settle(k)
	if !k.gone {
		l.giveUp(k, cutTime)
	}
}

func (l *loop) giveUp(k *joint, linger time.Duration) {
	k.core.expire()
	l.settle(k)
	if k.gone {
		return
	}
	l.over(k, linger)
	l.settle(k)
}

// drop closes the sockets.
func (l *loop) drop(k *joint) {
	k.gone = true
	for side := range k.ends {
		if p := k.ends[side].pipe; p != nil {
			p.close()
		}
	}
	k.close()
	l.remove(k)
}

// readFd and writeFd are read(2) and write(2), again when interrupted.
func readFd(fd int, b []byte) (int, error) {
	for {
		if n, err := unix.Read(fd, b); err != unix.EINTR {
			return n, err
		}
	}
}

func writeFd(fd int, b []byte) (int, error) {
	for {
		if n, err := unix.Write(fd, b); err != unix.EINTR {
			return n, err
		}
	}
}
