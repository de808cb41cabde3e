//go:build linux && !portable

package http1

import (
	"io"

	"golang.org/x/sys/unix"
)

// spliceMin is how many bytes of an answer are still to come if a pipe is worth it.
const spliceMin = 128 << 10

// splice moves a part of an answer's body to the client through a pipe, without reading it.
// Spliced is false, and nothing has happened, where the body has to be copied; more says that
// there may be more to move now, and that the exchange goes on.
func (l *loopConns) splice(c *conn) (spliced, more bool) {
	f := c.forward
	if c.about != nil || f.up.cell != noTLS {
		return false, false
	}
	pipe := l.Pipes.Borrow()
	if pipe == nil {
		return false, false
	}
	n, err := pipe.Fill(f.up.fd, int(min(f.body.Counted(), int64(pipe.Size()))))
	if err != nil || n == 0 {
		l.Pipes.Return(pipe)
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
	f.pipe, f.since = pipe, l.Now()
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
