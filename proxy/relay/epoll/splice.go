//go:build linux && !portable

package epoll

import (
	"io"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/proxy/relay/core"
)

const (
	spliceMin   = 32 << 10 // bytes of payload still to come that make a pipe worth it
	spliceTurns = 2        // before other sessions get their turn
	largeHead   = 8 << 10  // bytes of a large frame that are read, with its header
)

// readSize returns how many bytes are to be read from a side. Of large frames it is the end of
// one and the beginning of the next, which tells how much of it a pipe may move.
func (l *loopSessions) readSize(h handle, from core.Side) int {
	most := loop.BufferSize
	if ahead := h.PayloadAhead(from); h.sockets[from].is(large) && ahead < largeHead {
		most = int(ahead) + largeHead
	}
	return h.ReadSize(from, most)
}

// largeAhead reports whether the next bytes of a side are a large frame's, which may go on.
func (l *loopSessions) largeAhead(h handle, from core.Side) bool {
	return h.sockets[from].is(large) && h.PayloadAhead(from) >= spliceMin && h.Until(from) <= l.Now()
}

// spliceRest is splice for a frame whose beginning was written with [loop.WriteMore].
func (l *loopSessions) spliceRest(h handle, from core.Side) (done, drained bool) {
	ahead := h.PayloadAhead(from)
	done, drained = l.splice(h, from)
	if h.PayloadAhead(from) == ahead || h.sockets[from].is(readEnded) {
		loop.Push(h.sockets[from.Other()].fd)
	}
	return done, drained
}

// splice moves payload from a side to the other one through a pipe, without reading it. Done is
// false when the payload has to be copied; drained is as that of read.
func (l *loopSessions) splice(h handle, from core.Side) (done, drained bool) {
	pipe := l.Pipes.Borrow()
	if pipe == nil {
		return false, false
	}
	to := from.Other()
	p := l.ensurePending(h)
	p[to].pipe, p[to].blockedSince = pipe, l.Now()
	l.writing[to] = true
	done, drained = l.spliceThrough(h, from, pipe)
	l.returnEmptyPipe(h, to)
	l.writing[to] = false
	return done, drained
}

// spliceThrough is splice with the pipe that it has borrowed.
func (l *loopSessions) spliceThrough(h handle, from core.Side, pipe *loop.Pipe) (done, drained bool) {
	for range spliceTurns {
		ahead := h.PayloadAhead(from)
		if ahead < largeHead || h.Until(from) > l.Now() { // what is less comes with the next frame
			break
		}
		n, err := pipe.Fill(h.sockets[from].fd, h.MoveSize(from, int(min(ahead, int64(pipe.Size()))), loop.BufferSize))
		switch {
		case err == unix.EAGAIN:
			return true, true
		case err == unix.EINVAL: // not this kind of socket
			return false, false
		case err != nil, n == 0:
			if err == nil {
				err = io.EOF
			}
			h.sockets[from].state |= readEnded
			h.ReadEnded(from, err)
			return true, true
		}
		l.splicedBytes += uint64(n)
		h.PayloadForwarded(from, int64(n), l.Now())
		if !l.drainPipe(h, from.Other()) {
			break
		}
	}
	return true, false
}

// drainPipe writes what is in the pipe to a side, and reports whether all of it went.
func (l *loopSessions) drainPipe(h handle, to core.Side) bool {
	for p := h.pending[to].pipe; p != nil && p.Len() > 0; {
		_, err := p.Drain(h.sockets[to].fd)
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil:
			l.writeFailed(h, to, err)
			return false
		}
		h.pending[to].blockedSince = l.Now()
	}
	return true
}

// returnEmptyPipe gives the pipe to a side back if it is empty.
func (l *loopSessions) returnEmptyPipe(h handle, to core.Side) {
	if p := h.pending[to].pipe; p != nil && p.Len() == 0 {
		h.pending[to].pipe = nil
		l.Pipes.Return(p)
	}
}
