//go:build !portable

package relay

import (
	"io"

	"golang.org/x/sys/unix"
)

const (
	spliceMin   = 64 << 10  // bytes still to come from which on a pipe is worth it
	pipeSize    = 256 << 10 // bytes asked for; the system may give less
	sparePipes  = 64        // kept by a loop
	spliceTurns = 4         // before others get their turn
	spareHots   = 64        // kept by a loop
)

// pipe carries payload from one socket to another inside the kernel.
type pipe struct {
	r, w   int
	size   int
	length int // bytes in it
}

func newPipe() (*pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	size, err := unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	if err != nil { // the user's pipes hold too many pages already
		if size, err = unix.FcntlInt(uintptr(fds[0]), unix.F_GETPIPE_SZ, 0); err != nil {
			size = 4096
		}
	}
	return &pipe{r: fds[0], w: fds[1], size: size}, nil
}

func (p *pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

// borrow returns a pipe, or nil when there is none to be had.
func (l *loop) borrow() *pipe {
	if n := len(l.pipes); n > 0 {
		p := l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		return p
	}
	p, err := newPipe()
	if err != nil {
		return nil
	}
	return p
}

// giveBack takes an empty pipe.
func (l *loop) giveBack(p *pipe) {
	if len(l.pipes) >= sparePipes {
		p.close()
		return
	}
	l.pipes = append(l.pipes, p)
}

// splice moves payload that comes from a side to the other one without seeing
// it. It is false when it has to be copied.
func (l *loop) splice(k joint, from Side) bool {
	p := l.borrow()
	if p == nil {
		return false
	}
	to := from.other()
	h := l.heat(k)
	h[to].pipe, h[to].since = p, l.now
	defer l.unpipe(k, to)
	for range spliceTurns {
		ahead := k.ahead(from)
		if ahead == 0 || k.until(from) > l.now {
			break
		}
		n, err := move(int(k.sockets[from].fd), p.w, k.room(from, int(min(ahead, int64(p.size)))))
		switch {
		case err == unix.EAGAIN:
			return true
		case err == unix.EINVAL: // not this kind of socket
			return false
		case err != nil, n == 0:
			if err == nil {
				err = io.EOF
			}
			k.sockets[from].state |= ended
			k.lost(from, err)
			return true
		}
		p.length += n
		l.spliced += uint64(n)
		k.passed(from, int64(n), l.now)
		if !l.drain(k, to) {
			break
		}
	}
	return true
}

// drain writes what is in a side's pipe, and reports whether all of it went.
func (l *loop) drain(k joint, to Side) bool {
	for p := k.hot[to].pipe; p != nil && p.length > 0; {
		n, err := move(p.r, int(k.sockets[to].fd), p.length)
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil:
			l.unwritable(k, to, err)
			return false
		}
		p.length -= n
		k.hot[to].since = l.now
	}
	return true
}

// unpipe takes a side's pipe back when it is empty.
func (l *loop) unpipe(k joint, to Side) {
	if p := k.hot[to].pipe; p != nil && p.length == 0 {
		k.hot[to].pipe = nil
		l.giveBack(p)
	}
}
