package takeover

import (
	"context"
	"net"

	"golang.org/x/sys/unix"

	"sluice/internal/codec"
)

// A Taker is what the new process does with what it gets. All fields are required. What
// is decoded lies in memory that is wiped when a call returns, except for strings.
type Taker struct {
	// Prepare does all that can fail before anything is handed over, and returns how
	// many descriptors this process may still open. ctx ends when the old process does.
	// clock is [Giver.Clock].
	Prepare func(ctx context.Context, clock int64) (room int, err error)
	// Listen reads the state of the gateway, which is nil if the old process speaks another
	// version, and accepts connections from the listeners. Their descriptors are its own,
	// whatever it returns.
	Listen func(state *codec.Coder, list []Listener) error
	// Opened is called when the old process has been told so: from then on, what belongs to
	// the sockets outside the processes, as their files, is this one's.
	Opened func()
	// Have reads a session and reports whether it can be run. Neither its sockets are
	// touched, nor are its descriptors closed: they belong to the package until the commit.
	Have func(state *codec.Coder, files []int) bool
	// Settled is called after the last Have of a batch. True: the sessions for which
	// Have has returned true are run from now on, and their descriptors belong to them.
	// False: they are forgotten.
	Settled func(ours bool)
	// Done is called when all has come. The old process still ends what is left there. With
	// stop, it was told meanwhile to stop, and so should this one.
	Done func(stop bool)
	// Rest reads what the old process says of that. One of another version says nothing.
	Rest func(state *codec.Coder)
}

// Take takes over what the old process gives. conn is closed when it returns. It fails
// if ctx ends, a deadline passes, the old process dies or either side gives up; the
// sessions that are this process's by then remain so.
func Take(ctx context.Context, conn *net.UnixConn, t Taker, d Deadlines) (err error) {
	l, err := newLink(ctx, conn, "the old process", d)
	if err != nil {
		conn.Close()
		return err
	}
	defer func() { l.close(err) }()
	if err := l.prepare(&t); err != nil {
		return err
	}
	if err := l.listen(&t); err != nil {
		return err
	}
	next := []kind{batch, done}
	if !l.same {
		next = next[1:]
	}
	for {
		m, err := l.receive(d.Step, next...)
		if err != nil {
			return err
		}
		if m.kind == done {
			return l.finish(&t, m)
		}
		if err := l.takeBatch(&t, m); err != nil {
			return err
		}
	}
}

// finish waits for the end of the old process, for as long as that takes.
func (l *link) finish(t *Taker, last message) error {
	stop := false
	last.body.Bool(&stop)
	if err := last.body.End(); err != nil {
		return l.invalid(last, err)
	}
	if err := l.send(done, nil, nil); err != nil {
		return err
	}
	t.Done(stop)
	m, err := l.receive(0, rest)
	if err != nil {
		return err
	}
	if l.same {
		t.Rest(m.body)
	}
	if err := m.body.End(); err != nil {
		return l.invalid(m, err)
	}
	return nil
}

func (l *link) prepare(t *Taker) error {
	m, err := l.receive(l.deadlines.Step, hello)
	if err != nil {
		return err
	}
	var clock int64
	l.same = carryGreeting(m.body, &clock) == Version
	if err := m.body.End(); err != nil {
		return l.invalid(m, err)
	}
	ctx, stop, err := l.watch()
	if err != nil {
		return err
	}
	room, err := t.Prepare(ctx, clock)
	interrupted := ctx.Err() != nil
	stop()
	if interrupted {
		_, err = l.receive(l.deadlines.Step, failed)
	}
	if err != nil {
		return err
	}
	return l.send(ready, nil, func(c *codec.Coder) { carryGreeting(c, new(int64(max(room, 0)))) })
}

func (l *link) listen(t *Taker) error {
	m, err := l.receive(l.deadlines.Step, listeners)
	if err != nil {
		return err
	}
	state, list, err := readListeners(m.body, m.files)
	if err != nil {
		closeFiles(m.files)
		return l.invalid(m, err)
	}
	if !l.same {
		state = nil
	}
	if err := t.Listen(state, list); err != nil {
		return err
	}
	if err := l.send(open, nil, nil); err != nil {
		return err
	}
	t.Opened()
	return nil
}

// takeBatch answers for each session of a batch and waits for the commit.
func (l *link) takeBatch(t *Taker, m message) (err error) {
	unowned := m.files
	defer func() { closeFiles(unowned) }()
	sessions, err := readBatch(m.body, m.files)
	if err != nil {
		return l.invalid(m, err)
	}
	yes := make([]bool, len(sessions))
	var refused []int
	for i, s := range sessions {
		if yes[i] = t.Have(s.state, s.files); !yes[i] {
			refused = append(refused, s.files...)
		}
	}
	err = l.send(have, nil, func(c *codec.Coder) { carryHave(c, &yes, len(yes)) })
	ours := false
	if err == nil {
		_, err = l.receive(l.deadlines.Step, yours)
		ours = err == nil || l.committed()
	}
	if ours {
		unowned = refused
	}
	t.Settled(ours)
	return err
}

// committed decides, after the wait for the commit has failed, whose the sessions are:
// it shuts the connection down, after which the kernel takes no commit any more, and
// looks whether one has come before.
func (l *link) committed() bool {
	raw, err := l.conn.SyscallConn()
	if err != nil || l.conn.CloseRead() != nil {
		return false
	}
	head, n := make([]byte, headSize), 0
	// The descriptor itself is read, since the deadline has passed.
	raw.Control(func(fd uintptr) { n, _, err = unix.Recvfrom(int(fd), head, unix.MSG_DONTWAIT) })
	return err == nil && n == headSize && kind(head[0]) == yours
}
