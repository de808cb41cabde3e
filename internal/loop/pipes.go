//go:build linux

package loop

import (
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// PipeSize is how many bytes a pipe is asked to hold. The system may give it less.
	PipeSize = 512 << 10

	mostPipes          = 64 // of one Pipes
	sparePipes         = 16 // empty pipes that are kept
	descriptorsPerPipe = 64 // the process may have so many descriptors for each pipe, which has two
)

// A Pipe carries bytes from one socket to another inside the kernel.
type Pipe struct {
	r, w   int
	size   int
	length int
}

func newPipe() (*Pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	size, err := unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, PipeSize)
	if err != nil { // the pipes of this user hold too many pages already
		if size, err = unix.FcntlInt(uintptr(fds[0]), unix.F_GETPIPE_SZ, 0); err != nil {
			size = 4096
		}
	}
	return &Pipe{r: fds[0], w: fds[1], size: size}, nil
}

func (p *Pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

// Len returns how many bytes are in the pipe.
func (p *Pipe) Len() int { return p.length }

// Size returns how many bytes the pipe holds.
func (p *Pipe) Size() int { return p.size }

// Fill moves up to n bytes from a socket into the pipe with splice(2) and returns their
// number. It does not wait. Errors are unix.EAGAIN, unix.EINVAL for a socket that cannot
// be spliced, and what a read gives; 0 without an error is the end of the stream.
func (p *Pipe) Fill(fd int32, n int) (int, error) {
	n, err := splice(int(fd), p.w, n)
	if err == nil {
		p.length += n
	}
	return n, err
}

// Drain moves bytes from the pipe to a socket and returns their number. It does not wait:
// it gives unix.EAGAIN when the socket takes nothing.
func (p *Pipe) Drain(fd int32) (int, error) {
	n, err := splice(p.r, int(fd), p.length)
	if err == nil {
		p.length -= n
	}
	return n, err
}

// Read reads all that is in the pipe into b, which has the length for it.
func (p *Pipe) Read(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Read(p.r, b)
		if err != nil {
			return err
		}
		p.length -= n
		b = b[n:]
	}
	return nil
}

// Pipes is the pipes that loops share. Any goroutine may use it. Connections whose readers
// stall hold pipes, so their number has a limit.
type Pipes struct {
	limit int

	mu    sync.Mutex
	open  int     // spare ones included
	spare []*Pipe // empty
}

// NewPipes returns Pipes with a limit; 0 means 64 pipes or, if that is less, one for every
// 64 descriptors that the process may have.
func NewPipes(limit int) *Pipes {
	if limit == 0 {
		most := uint64(mostPipes)
		var files unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
			most = min(most, files.Cur/descriptorsPerPipe)
		}
		limit = int(most)
	}
	return &Pipes{limit: limit}
}

// Borrow returns an empty pipe, or nil when the limit is reached or the process has no
// descriptors left.
func (s *Pipes) Borrow() *Pipe {
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

// Return takes an empty pipe back.
func (s *Pipes) Return(p *Pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spare) < sparePipes {
		s.spare = append(s.spare, p)
		return
	}
	s.closePipe(p)
}

// Discard closes a pipe, with what is in it.
func (s *Pipes) Discard(p *Pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closePipe(p)
}

// closePipe is called with the lock held.
func (s *Pipes) closePipe(p *Pipe) {
	s.open--
	p.close()
}

// Close closes the spare pipes.
func (s *Pipes) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.spare {
		p.close()
	}
	s.open, s.spare = s.open-len(s.spare), nil
}
