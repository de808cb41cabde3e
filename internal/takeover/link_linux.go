package takeover

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/codec"
)

const (
	headSize = 6        // kind, number of descriptors, length of the body in four bytes
	maxBody  = 64 << 20 // bytes; untouched pages cost nothing
	maxBatch = 8 << 20  // bytes of a batch, whose sessions stand still meanwhile
)

// A link is one end of the connection. A message is written and read in one piece of
// memory, since no side does both at once.
type link struct {
	conn      *net.UnixConn
	peer      string // "the new process" or "the old process"
	ctx       context.Context
	deadlines Deadlines
	memory    []byte
	used      int         // bytes of memory to wipe
	stop      func() bool // ends the watch over ctx
	broken    bool        // a message was left half written
	same      bool        // the peer speaks this version
}

// newLink returns a link. Its memory stays out of core dumps and of children.
func newLink(ctx context.Context, conn *net.UnixConn, peer string, d Deadlines) (*link, error) {
	memory, err := unix.Mmap(-1, 0, headSize+maxBody, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("memory for the take-over: %w", err)
	}
	for _, advice := range []int{unix.MADV_DONTDUMP, unix.MADV_DONTFORK} {
		if err := unix.Madvise(memory, advice); err != nil {
			unix.Munmap(memory)
			return nil, fmt.Errorf("keeping the take-over's memory out of core dumps and children: %w", err)
		}
	}
	l := &link{conn: conn, peer: peer, ctx: ctx, deadlines: d, memory: memory}
	l.stop = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return l, nil
}

// close tells the peer of err unless the peer is its cause, wipes and frees.
func (l *link) close(err error) {
	l.stop()
	if peer := new(peerError); err != nil && !l.broken && !errors.As(err, &peer) {
		l.ctx = context.WithoutCancel(l.ctx)
		text := err.Error()
		text = text[:min(len(text), maxText)]
		l.send(failed, nil, func(c *codec.Coder) { c.Text(&text, maxText) }) // best effort
	}
	l.conn.Close()
	l.wipe()
	unix.Munmap(l.memory)
}

func (l *link) wipe() {
	clear(l.memory[:l.used])
	l.used = 0
}

// arm sets the deadline of what comes next; a wait of 0 is one without an end.
func (l *link) arm(wait time.Duration) error {
	var deadline time.Time
	if wait > 0 {
		deadline = time.Now().Add(wait)
	}
	if err := l.conn.SetDeadline(deadline); err != nil {
		return err
	}
	// If ctx ends later than here, the deadline that this sets is the last one.
	return context.Cause(l.ctx)
}

// A peerError is why the other process gave up.
type peerError struct{ peer, reason string }

// GaveUp reports whether err says that the other process has given up, and so lives.
func GaveUp(err error) bool { return errors.As(err, new(*peerError)) }

// Lost reports whether err says that the connection has ended without a word: the other process has.
func Lost(err error) bool {
	return !GaveUp(err) && (errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET))
}

func (e *peerError) Error() string { return e.peer + " gave up: " + e.reason }

// failure says what an error of the connection means.
func (l *link) failure(doing string, err error) error {
	switch {
	case l.ctx.Err() != nil:
		err = context.Cause(l.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s: %s does not answer in time: %w", doing, l.peer, err)
	case errors.Is(err, io.EOF), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return fmt.Errorf("%s: %s has closed the connection or ended: %w", doing, l.peer, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// send writes a message that body fills.
func (l *link) send(k kind, files []int, body func(*codec.Coder)) error {
	l.wipe()
	c := codec.Writer(l.memory[:headSize])
	if body != nil {
		body(c)
	}
	l.used = len(c.Written())
	if err := c.End(); err != nil {
		return fmt.Errorf("writing %v, of %d bytes at most: %w", k, maxBody, err)
	}
	_, err := l.write(k, files, c.Written())
	return err
}

// write writes b, which begins with room for the head and lies in the memory, and wipes
// it. It returns how many bytes the peer may have got: with 0 it gets none ever.
func (l *link) write(k kind, files []int, b []byte) (n int, err error) {
	l.used = len(b)
	defer l.wipe()
	b[0], b[1] = byte(k), byte(len(files))
	binary.BigEndian.PutUint32(b[2:], uint32(len(b)-headSize))
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	if err = l.arm(l.deadlines.Step); err == nil {
		n, _, err = l.conn.WriteMsgUnix(b, rights, nil)
	}
	if err == nil && n < len(b) {
		var more int
		more, err = l.conn.Write(b[n:])
		n += more
	}
	if err == nil {
		return n, nil
	}
	l.broken = n > 0
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		// It may have said why before it closed.
		if _, reason := l.receive(l.deadlines.Step, failed); errors.As(reason, new(*peerError)) {
			return n, reason
		}
	}
	return n, l.failure(fmt.Sprintf("sending %v", k), err)
}

// A message is one that was received. Its body lies in the memory of the link until the
// next message is written or read.
type message struct {
	kind  kind
	files []int        // close-on-exec; the caller's
	body  *codec.Coder // a reader
}

// receive returns the next message, of one of the one or two kinds in want. If the peer has
// failed, that is the error.
func (l *link) receive(wait time.Duration, want ...kind) (m message, err error) {
	l.wipe()
	defer func() {
		if err != nil {
			closeFiles(m.files)
			m = message{}
		}
	}()
	doing := fmt.Sprintf("waiting for %v", want[0])
	if len(want) > 1 {
		doing += fmt.Sprintf(" or %v", want[1])
	}
	if err := l.arm(wait); err != nil {
		return m, l.failure(doing, err)
	}
	var head [headSize]byte
	if m.files, err = l.readHead(head[:]); err != nil {
		return m, l.failure(doing, err)
	}
	m.kind = kind(head[0])
	length := binary.BigEndian.Uint32(head[2:])
	switch {
	case !m.kind.known():
		return m, fmt.Errorf("%s: %s sent %v, which this version does not know", doing, l.peer, m.kind)
	case m.kind != failed && !slices.Contains(want, m.kind):
		return m, fmt.Errorf("%s: %s sent %v", doing, l.peer, m.kind)
	case length > maxBody:
		return m, fmt.Errorf("%s sent a %v of %d bytes, more than %d", l.peer, m.kind, length, maxBody)
	case len(m.files) != int(head[1]), len(m.files) > 0 && m.kind != listeners && m.kind != batch:
		return m, fmt.Errorf("%s sent %v with %d descriptors: %w", l.peer, m.kind, len(m.files), errFileCount)
	}
	body := l.memory[headSize : headSize+length]
	l.used = headSize + len(body)
	if err := l.readBody(body); err != nil {
		return m, l.failure(fmt.Sprintf("receiving %v", m.kind), err)
	}
	m.body = codec.Reader(body)
	switch m.kind {
	case failed:
		var reason string
		m.body.Text(&reason, maxText)
		if err := m.body.End(); err != nil {
			return m, l.invalid(m, err)
		}
		return m, &peerError{l.peer, reason}
	case open, yours:
		if err := m.body.End(); err != nil {
			return m, l.invalid(m, err)
		}
	}
	return m, nil
}

// invalid is the error about the body of m.
func (l *link) invalid(m message, err error) error {
	return fmt.Errorf("%s sent a %v that cannot be read: %w", l.peer, m.kind, err)
}

// readHead reads b and the descriptors that come with it. It returns them also with an error.
func (l *link) readHead(b []byte) (files []int, err error) {
	control := make([]byte, unix.CmsgSpace(4*MaxFiles))
	for len(b) > 0 {
		// The net package receives descriptors with MSG_CMSG_CLOEXEC.
		n, controls, flags, _, err := l.conn.ReadMsgUnix(b, control)
		got, invalid := rights(control[:controls])
		files = append(files, got...)
		switch {
		case err != nil:
			return files, err
		case invalid != nil:
			return files, invalid
		case flags&unix.MSG_CTRUNC != 0:
			return files, errors.New("not all descriptors could be received: the limit of open files (RLIMIT_NOFILE) is reached")
		}
		b = b[n:]
	}
	return files, nil
}

// readBody reads b, with which no descriptors may come.
func (l *link) readBody(b []byte) error {
	for len(b) > 0 {
		n, _, flags, _, err := l.conn.ReadMsgUnix(b, nil)
		if err != nil {
			return err
		}
		if flags&unix.MSG_CTRUNC != 0 { // the kernel has closed them
			return errors.New("descriptors came inside a message")
		}
		b = b[n:]
	}
	return nil
}

// rights returns the descriptors in control messages, also with an error.
func rights(control []byte) (files []int, err error) {
	if len(control) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("control messages: %w", err)
	}
	for _, m := range messages {
		got, invalid := unix.ParseUnixRights(&m)
		files = append(files, got...)
		err = errors.Join(err, invalid)
	}
	return files, err
}

func closeFiles(files []int) {
	for _, f := range files {
		unix.Close(f)
	}
}

// watch returns a context that ends also when the peer dies or says anything, until
// stop is called. Nothing else reads meanwhile.
func (l *link) watch() (ctx context.Context, stop func(), err error) {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	if err := l.conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(l.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := raw.Read(func(fd uintptr) bool {
			_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
			return err != unix.EAGAIN
		})
		if err == nil {
			cancel(errors.New(l.peer + " has ended or given up"))
		}
	}()
	return ctx, func() {
		l.conn.SetReadDeadline(time.Unix(1, 0))
		<-ended
		cancel(nil)
	}, nil
}
