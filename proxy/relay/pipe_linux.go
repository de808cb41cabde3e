//go:build !portable

package relay

import (
	"io"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	spliceMin     = 64 << 10  // bytes still to come from which on a pipe is worth it
	pipeSize      = 256 << 10 // bytes asked for; the system may give less
	mostPipes     = 64        // of an engine
	sparePipes    = 16        // of those, empty ones that are kept
	perPipe       = 64        // descriptors that the process may have, for each pipe of two
	spliceTurns   = 4         // before others get their turn
	sparePendings = 64        // kept by a loop
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

// pipes is the pipes of an engine, for all of its loops. Sessions whose readers
// stall hold theirs, so there is a limit: without a pipe, payload is copied.
type pipes struct {
	limit int

	mu    sync.Mutex
	open  int     // spare ones included
	spare []*pipe // empty
}

// newPipes returns room for some pipes: their descriptors are a small share of
// those that the process may have.
func newPipes() *pipes {
	most := uint64(mostPipes)
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		most = min(most, files.Cur/perPipe)
	}
	return &pipes{limit: int(most)}
}

// borrow returns an empty pipe, or nil when there is none to be had.
func (s *pipes) borrow() *pipe {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.spare); n > 0 {
		p := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return p
	}
	if s.open >= s.limit {
		return nil
	}
	p, err := newPipe()
	if err != nil {
		return nil
	}
	s.open++
	return p
}

// release takes a pipe back. It is of use to others if it is empty.
func (s *pipes) release(p *pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.length == 0 && len(s.spare) < sparePipes {
		s.spare = append(s.spare, p)
		return
	}
	s.open--
	p.close()
}

// close closes the spare pipes.
func (s *pipes) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.spare {
		p.close()
	}
	s.open, s.spare = s.open-len(s.spare), nil
}

// splice moves payload that comes from a side to the other one without seeing
// it. It is false when it has to be copied.
func (l *loop) splice(k handle, from Side) bool {
	p := l.pipes.borrow()
	if p == nil {
		return false
	}
	to := from.other()
	h := l.ensurePending(k)
	h[to].pipe, h[to].blockedSince = p, l.now
	defer l.returnPipe(k, to)
	for range spliceTurns {
		ahead := k.payloadAhead(from)
		if ahead == 0 || k.until(from) > l.now {
			break
		}
		n, err := splice(int(k.sockets[from].fd), p.w, k.readSize(from, int(min(ahead, int64(p.size)))))
		switch {
		case err == unix.EAGAIN:
			return true
		case err == unix.EINVAL: // not this kind of socket
			return false
		case err != nil, n == 0:
			if err == nil {
				err = io.EOF
			}
			k.sockets[from].state |= stateReadEnded
			k.readEnded(from, err)
			return true
		}
		p.length += n
		l.spliced += uint64(n)
		k.payloadForwarded(from, int64(n), l.now)
		if !l.drainPipe(k, to) {
			break
		}
	}
	return true
}

// drainPipe writes what is in a side's pipe, and reports whether all of it went.
func (l *loop) drainPipe(k handle, to Side) bool {
	for p := k.pending[to].pipe; p != nil && p.length > 0; {
		n, err := splice(p.r, int(k.sockets[to].fd), p.length)
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil:
			l.writeFailed(k, to, err)
			return false
		}
		p.length -= n
		k.pending[to].blockedSince = l.now
	}
	return true
}

// returnPipe takes a side's pipe back when it is empty.
func (l *loop) returnPipe(k handle, to Side) {
	if p := k.pending[to].pipe; p != nil && p.length == 0 {
		k.pending[to].pipe = nil
		l.pipes.release(p)
	}
}
