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

// A Child is a process that is to take over from this one.
type Child struct {
	command   *exec.Cmd
	conn      *net.UnixConn
	deadlines takeover.Deadlines
	endTime   time.Duration // in which it has to end after a failure
	ended     chan error    // has how it ended
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
		ended: make(chan error, 1),
	}
	c.command.Stdout, c.command.Stderr = os.Stdout, os.Stderr
	c.command.ExtraFiles = []*os.File{theirs} // descriptor 3
	c.command.Env = append(append(os.Environ(), more...), variable+"=3")
	if err := c.command.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	go func() { c.ended <- c.command.Wait() }()
	return c, nil
}

// Kill ends the child.
func (c *Child) Kill() {
	c.conn.Close()
	c.command.Process.Kill()
}

// PID returns the number of the process.
func (c *Child) PID() int { return c.command.Process.Pid }

// Give hands over with give, which closes the connection that it gets. If that fails, the child has to end: it is killed
// if it does not answer, and unless it says that it goes on by itself, as a child does that accepts connections when this
// process has not answered it. Lives reports whether it runs.
func (c *Child) Give(ctx context.Context, give func(context.Context, *net.UnixConn, takeover.Deadlines) (accepts bool, err error)) (lives bool, err error) {
	accepts, err := give(ctx, c.conn, c.deadlines)
	if err == nil {
		return true, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
		c.command.Process.Kill()
	}
	select {
	case how := <-c.ended:
		return false, ended(err, how)
	case <-time.After(c.endTime):
	}
	if accepts {
		return true, err
	}
	c.command.Process.Kill()
	return false, ended(err, <-c.ended)
}

// ended adds to an error how the child has ended, where that says more.
func ended(err, how error) error {
	if how == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", err, how)
}
