//go:build !portable

package succession

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/takeover"
)

// A Child is a process that is to take over from this one: its child, or one that has asked for it (see [Offer]).
type Child struct {
	command   *exec.Cmd // nil for one that has asked
	conn      *net.UnixConn
	deadlines takeover.Deadlines
	endTime   time.Duration // in which it has to end after a failure
	ended     chan struct{} // closed when it has ended; nil for one that has asked
	how       error         // set before
}

// Start starts a program with the arguments of this one, in its environment with more variables in it. The child has the output of this process, and
// nothing else of it but one end of a connection.
func Start(program string, arguments, more []string) (*Child, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(ends[1]), "take-over")
	defer theirs.Close()
	ours := os.NewFile(uintptr(ends[0]), "take-over")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	c := &Child{
		command: exec.Command(program, arguments...), conn: conn.(*net.UnixConn), deadlines: deadlines(), endTime: 5 * time.Second,
		ended: make(chan struct{}),
	}
	c.command.Stdout, c.command.Stderr = os.Stdout, os.Stderr
	c.command.ExtraFiles = []*os.File{theirs} // descriptor 3
	c.command.Env = append(append(os.Environ(), more...), variable+"=3")
	if err := c.command.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	go func() {
		c.how = c.command.Wait()
		close(c.ended)
	}()
	return c, nil
}

// Kill ends the child. A process that has asked gets nothing.
func (c *Child) Kill() {
	c.conn.Close()
	if c.command != nil {
		c.command.Process.Kill()
	}
}

// Asked reports whether it has asked, and was not started by this process.
func (c *Child) Asked() bool { return c.command == nil }

// PID returns the number of the process; 0 for one that has asked, which may have none here.
func (c *Child) PID() int {
	if c.command == nil {
		return 0
	}
	return c.command.Process.Pid
}

// Ended returns a channel that is closed when it has ended. It never is for a process that has asked.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Signal sends it a signal, unless it has asked: others look after it.
func (c *Child) Signal(s os.Signal) error {
	if c.command == nil {
		return nil
	}
	return c.command.Process.Signal(s)
}

// Progress is how far a hand-over came.
type Progress int

const (
	Nothing  Progress = iota
	Accepts           // the child accepts connections
	Sessions          // it has sessions that this process has no more
)

// Give hands over with give, which closes the connection that it gets. If that fails, the child has to end: it is killed
// if it does not answer, unless it has sessions, and unless it says that it goes on by itself, as a child does that accepts
// connections when this process has not answered it. One that has asked ends by itself, unless it has sessions; it is known to be dead where it has closed the connection without a
// word. Lives reports whether it runs, and accepts
// connections.
func (c *Child) Give(ctx context.Context, give func(context.Context, *net.UnixConn, takeover.Deadlines) (Progress, error)) (lives bool, err error) {
	progress, err := give(ctx, c.conn, c.deadlines)
	switch {
	case err == nil:
		return true, nil
	case c.command == nil: // it ends by itself, unless it has sessions: see Inherited.MustEnd
		return progress >= Sessions && !takeover.Lost(err), err
	}
	if progress < Sessions && (errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil) {
		c.command.Process.Kill()
	}
	select {
	case <-c.ended:
		return false, ended(err, c.how)
	case <-time.After(c.endTime):
	}
	if progress >= Accepts {
		return true, err
	}
	c.command.Process.Kill()
	<-c.ended
	return false, ended(err, c.how)
}

// ended adds to an error how the child has ended, where that says more.
func ended(err, how error) error {
	if how == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", err, how)
}
