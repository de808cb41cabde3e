//go:build linux && !portable

package http1

import (
	"io"

	"golang.org/x/sys/unix"
)

// An answer of this size is read only a little at first, where the one before was as large, and
// its rest goes through a pipe. Of larger ones more may be read: while it is, more comes.
const (
	largeMin  = 48 << 10
	largeMax  = 256 << 10
	largeHead = 8 << 10   // that is read of it
	restMin   = 32 << 10  // bytes that are still to come then
	spliceMin = 128 << 10 // bytes that are still to come of any answer, if a pipe is worth it
)

// piece returns how many bytes are to be read at once.
func (up *upstream) piece() int {
	if c := up.conn; up.large && c != nil && c.forward.status == 0 && c.about == nil && up.cell == noTLS {
		return largeHead
	}
	return answerPiece
}

// spliceable reports whether so many bytes of an answer's body are still to come, and may go through
// a pipe.
func (c *conn) spliceable(least int64) bool {
	f := c.forward
	return f.body.Counted() >= least && c.about == nil && f.up != nil && f.up.cell == noTLS
}

// splice moves a part of an answer's body to the client through a pipe, without reading it.
// Spliced is false, and nothing has happened, where the body has to be copied; more says that
// there may be more to move now, and that the exchange goes on.
func (l *loopConns) splice(c *conn) (spliced, more bool) {
	f := c.forward
	goesOn := f.goesOn
	f.goesOn = false
	pipe := l.Pipes.Borrow()
	if pipe == nil {
		c.push(goesOn)
		return false, false
	}
	n, err := pipe.Fill(f.up.fd, int(min(f.body.Counted(), int64(pipe.Size()))))
	if err != nil || n == 0 {
		l.Pipes.Return(pipe)
		c.push(goesOn)
		switch err {
		case unix.EAGAIN:
			return true, false
		case unix.EINVAL: // not this kind of socket
			return false, false
		case nil:
			err = io.EOF
		}
		l.endpointEnded(c, err)
		return true, false
	}
	f.pipe = pipe
	f.moved(l.Now())
	f.body.Pass(int64(n))
	f.written += int64(n)
	if f.body.Done() {
		l.upstreams.release(f.up, f.request.done)
		f.left()
	}
	if !l.drain(c) {
		if c.forward == f {
			l.awaitClient(c)
			p, _, _ := l.slots.At(c.slot)
			l.setTimer(p, c)
		}
		return true, false
	}
	if f.up == nil {
		l.endForward(c)
		return true, false
	}
	return true, true
}

// push makes the system send the beginning of an answer whose rest does not come at once.
func (c *conn) push(goesOn bool) {
	if goesOn {
		c.sock.Push()
	}
}

// drain sends the client what is in the pipe, and reports whether all of it went and the
// exchange goes on.
func (l *loopConns) drain(c *conn) bool {
	f := c.forward
	for f.pipe.Len() > 0 {
		n, err := c.sock.Drain(f.pipe)
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil:
			l.clientLeft(c, err)
			return false
		}
		c.Wire.Sent(n)
	}
	l.dropPipe(f)
	return true
}

// dropPipe gives the pipe back, if there is one.
func (l *loopConns) dropPipe(f *forwarding) {
	switch pipe := f.pipe; {
	case pipe == nil:
		return
	case pipe.Len() == 0:
		l.Pipes.Return(pipe)
	default:
		l.Pipes.Discard(pipe)
	}
	f.pipe = nil
}
