//go:build linux && !portable

package epoll

import (
	"io"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/proxy/relay/core"
)

// handleEvents handles what epoll reports of one socket.
func (l *loopSessions) handleEvents(h handle, side core.Side, events uint32) {
	s := &h.sockets[side]
	if events&unix.EPOLLOUT != 0 {
		l.flush(h, side)
	}
	switch {
	case h.Retired() || s.is(readEnded) && s.events == 0:
		return
	case events&unix.EPOLLIN != 0 && s.events&unix.EPOLLIN != 0:
		// Epoll reports a change once, and so the end of the stream before what lies before it
		// was read.
		ended := events & (unix.EPOLLRDHUP | unix.EPOLLERR | unix.EPOLLHUP)
		if drained := l.read(h, side); !s.is(readEnded) && (!drained || ended != 0) {
			l.Again(&h.Entry, uint8(side), unix.EPOLLIN|ended)
		}
	case events&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		l.handleHangUp(h, side, events)
	}
	if !h.Retired() {
		l.advance(h)
	}
}

// handleHangUp handles a socket that was reset, or closed by its peer at both ends, while
// it is not being read. What came before can still be read when its turn comes.
func (l *loopSessions) handleHangUp(h handle, side core.Side, events uint32) {
	h.sockets[side].state |= hungUp
	if events&unix.EPOLLERR != 0 || h.writePending(side) {
		l.writeFailed(h, side, unix.ECONNRESET)
	}
}

// writePending reports whether bytes wait to be written to a side.
func (h handle) writePending(to core.Side) bool {
	return h.pending != nil && (len(h.pending[to].out) > 0 || h.pending[to].pipe != nil)
}

// paused reports whether a side is not read: what came from it before has not gone on, or
// it is over a rate. When the session is finished it is read, and the bytes are dropped.
func (h handle) paused(side core.Side, now int64) bool {
	return !h.Finished() && (h.writePending(side.Other()) || h.Until(side) > now)
}

// plain reports whether neither side has TLS.
func (h handle) plain() bool {
	return h.sockets[core.Client].tlsCell < 0 && h.sockets[core.Backend].tlsCell < 0
}

// read reads once from a side and passes on what came. Drained says that nothing more was there:
// the socket gave less than was asked for. The end of the stream may be there all the same.
func (l *loopSessions) read(h handle, from core.Side) (drained bool) {
	s := &h.sockets[from]
	if h.paused(from, l.Now()) {
		return false // advance tells epoll
	}
	if h.PayloadAhead(from) >= spliceMin && h.plain() {
		if done, drained := l.splice(h, from); done {
			return drained
		}
	}
	plaintext, kept := 0, 0 // bytes from before at the start of the buffer; kept counts ciphertext too
	if h.pending != nil {
		plaintext = copy(l.Buffer[:], h.pending[from].held)
		kept = plaintext + copy(l.Buffer[plaintext:], h.pending[from].partialRecord)
	}
	most := l.readSize(h, from)
	_, before := h.Frames(from)
	room := l.Buffer[kept:min(kept+most, len(l.Buffer))]
	n, err := loop.Read(s.fd, room)
	switch {
	case err == unix.EAGAIN:
		return true
	case err != nil:
		s.state |= readEnded
		h.ReadEnded(from, err)
		return true
	case n == 0:
		s.state |= readEnded
		err = io.EOF
		if kept > plaintext {
			err = io.ErrUnexpectedEOF
		}
		h.ReadEnded(from, err)
		return true
	}
	if h.Finished() || h.Failed() {
		if s.discarded += int32(n); s.discarded > core.LingerBytes {
			s.state |= readEnded
		}
	}
	goesOn := false
	switch {
	case h.Failed(): // what comes is not looked at any more
	case s.tlsCell < 0:
		goesOn = l.consume(h, from, l.Buffer[:kept+n], s.is(large))
	default:
		l.consumeRecords(h, from, l.Buffer[:kept+n], plaintext)
	}
	if goesOn {
		if done, drained := l.spliceRest(h, from); done {
			return drained
		}
	}
	switch ended, begun := h.Frames(from); {
	case ended > before, begun > before && most < loop.BufferSize && h.PayloadAhead(from) < spliceMin: // small ones
		s.state &^= large
	case n == loop.BufferSize && h.plain() && h.PayloadAhead(from) > 0:
		s.state |= large
	}
	return n < len(room)
}

// consume applies the rules to in, bytes of a side, and sends on what may go. It keeps
// what has to wait for more bytes or for its time. GoesOn says that all is sent, and ends with the
// beginning of a large frame, whose rest has to be spliced now; it is never so unless mayGoOn is set.
func (l *loopSessions) consume(h handle, from core.Side, in []byte, mayGoOn bool) (goesOn bool) {
	to := from.Other()
	l.writing[to] = true
	for len(in) > 0 {
		out, used := h.Feed(from, in, l.Now())
		if used == 0 {
			break
		}
		in = in[used:]
		if len(out) > 0 {
			goesOn = mayGoOn && len(in) == 0 && l.largeAhead(h, from)
			goesOn = l.send(h, to, out, goesOn) && goesOn
		}
	}
	l.writing[to] = false
	switch {
	case len(in) > 0:
		p := &l.ensurePending(h)[from]
		p.held = append(p.held[:0], in...)
	case h.pending != nil:
		h.pending[from].held = nil
	}
	return goesOn
}

// send sends b to a side, sealed if the side has TLS. B is free again afterwards. See write for
// more and all.
func (l *loopSessions) send(h handle, to core.Side, b []byte, more bool) (all bool) {
	if h.sockets[to].tlsCell >= 0 {
		sealed, err := l.seal(h, to, b)
		if err != nil {
			l.writeFailed(h, to, err)
			return false
		}
		b = sealed
	}
	return l.write(h, to, b, more)
}

// write writes b to the socket of a side. What the socket does not take is written later; all says
// that it took everything. With more, the system may wait for what is written next.
func (l *loopSessions) write(h handle, to core.Side, b []byte, more bool) (all bool) {
	if h.WriteBroken(to) {
		return false
	}
	if len(b) > 0 && !h.writePending(to) {
		write := loop.Write
		if more {
			write = loop.WriteMore
		}
		n, err := write(h.sockets[to].fd, b)
		switch {
		case err == unix.EAGAIN:
			n = 0
		case err != nil:
			l.writeFailed(h, to, err)
			return false
		}
		b = b[n:]
	}
	if len(b) == 0 {
		return true
	}
	p := &l.ensurePending(h)[to]
	if !h.writePending(to) {
		p.blockedSince = l.Now()
	}
	p.out = append(p.out, b...)
	return false
}

// flush writes what waits for a side.
func (l *loopSessions) flush(h handle, to core.Side) {
	if h.pending == nil {
		return
	}
	l.writing[to] = true
	if l.flushOut(h, to) {
		l.drainPipe(h, to)
		l.returnEmptyPipe(h, to)
	}
	l.writing[to] = false
}

// flushOut writes what is copied for a side, and reports whether all of it went.
func (l *loopSessions) flushOut(h handle, to core.Side) bool {
	p := &h.pending[to]
	if len(p.out) == 0 {
		return true
	}
	n, err := loop.Write(h.sockets[to].fd, p.out)
	switch {
	case err == unix.EAGAIN:
		return false
	case err != nil:
		l.writeFailed(h, to, err)
		return false
	}
	p.blockedSince = l.Now()
	if p.out = p.out[n:]; len(p.out) > 0 {
		return false
	}
	p.out = nil
	return true
}

// writeFailed notes that a side takes no more bytes, and drops what waits for it.
func (l *loopSessions) writeFailed(h handle, side core.Side, err error) {
	l.dropUnwritten(h, side)
	h.WriteFailed(side, err)
}

// dropUnwritten drops what waits to be written to a side.
func (l *loopSessions) dropUnwritten(h handle, to core.Side) {
	if h.pending == nil {
		return
	}
	p := &h.pending[to]
	p.out = nil
	if pipe := p.pipe; pipe != nil {
		p.pipe = nil
		l.Pipes.Discard(pipe)
	}
}

// resume passes on what was held for its time, if that has come, and then tells the
// session of the end of the stream that came after it.
func (l *loopSessions) resume(h handle, from core.Side) {
	if h.pending == nil || h.paused(from, l.Now()) {
		return
	}
	if len(h.pending[from].held) > 0 {
		_, before := h.Frames(from)
		l.consume(h, from, h.pending[from].held, false)
		if ended, _ := h.Frames(from); ended > before { // a small one
			h.sockets[from].state &^= large
		}
	}
	if err := h.pending[from].readErr; err != nil && h.Until(from) <= l.Now() {
		h.pending[from].readErr = nil
		h.ReadEnded(from, err)
	}
}
