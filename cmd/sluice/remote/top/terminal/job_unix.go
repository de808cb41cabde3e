//go:build unix

package terminal

import (
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// notifyStops has the signal that stops a process sent to c.
func notifyStops(c chan<- os.Signal) { signal.Notify(c, unix.SIGTSTP) }

// AskToStop asks all processes of the job to stop, as a terminal does for Ctrl-Z.
func AskToStop() { unix.Kill(0, unix.SIGTSTP) }

// stopProcess stops the process until it is told to continue. One that cannot be stopped, such as the
// first of a container, goes on.
func stopProcess() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, unix.SIGCONT)
	defer signal.Stop(continued)
	unix.Kill(unix.Getpid(), unix.SIGSTOP)
	select {
	case <-continued:
	case <-time.After(time.Second):
	}
}

// writeNow writes to the terminal what it takes at once.
func writeNow(text string) {
	if fd, err := unix.Open("/dev/tty", unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
		unix.Write(fd, []byte(text))
		unix.Close(fd)
	}
}
