// Package terminal is the terminal of a full-screen command. It gives the terminal back whatever waits
// to be read, even if the terminal takes no output, and stops and continues as the shell says.
package terminal

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/gdamore/tcell/v2"
	"golang.org/x/term"
)

// patience is how long the terminal may take to be given back.
const patience = 3 * time.Second

// Terminal is a screen on the controlling terminal of the process.
type Terminal struct {
	tcell.Screen
	tty   *tty // nil if the screen has none
	saved *term.State
	stops chan os.Signal

	events <-chan tcell.Event // that nobody has taken yet

	once    sync.Once
	closing chan struct{} // closed when Fini begins
	closed  chan struct{} // closed when Fini has ended
}

// Open takes the controlling terminal until Fini. If Fini has not given it back some seconds after it
// was called, or after ctx has ended, the terminal takes no output: it gets its settings back and the
// process ends.
func Open(ctx context.Context) (*Terminal, error) {
	saved, err := term.GetState(int(os.Stdin.Fd()))
	if err != nil {
		return nil, fmt.Errorf("the settings of the terminal cannot be read: %w", err)
	}
	t := &Terminal{saved: saved, stops: make(chan os.Signal, 1), closing: make(chan struct{}), closed: make(chan struct{})}
	device, err := tcell.NewDevTty()
	if err != nil {
		return nil, fmt.Errorf("the process has no controlling terminal: %w", err)
	}
	t.tty = newTty(device)
	if t.Screen, err = tcell.NewTerminfoScreenFromTty(t.tty); err != nil {
		console, none := tcell.NewConsoleScreen() // of Windows
		if none != nil {
			return nil, fmt.Errorf("TERM is %q: %w; set TERM to one that it is like, such as xterm-256color", os.Getenv("TERM"), err)
		}
		t.Screen, t.tty = console, nil
	}
	if err := t.Screen.Init(); err != nil {
		return nil, err
	}
	if s, ok := t.Screen.(interface{ EventQ() chan tcell.Event }); ok {
		t.events = s.EventQ()
	}
	notifyStops(t.stops)
	go t.watch(ctx)
	return t, nil
}

// Stops tells that the process is to stop, as by Ctrl-Z in the shell: see [Terminal.Stop].
func (t *Terminal) Stops() <-chan os.Signal { return t.stops }

// Stop gives the terminal back, stops the process, and takes the terminal again when it continues.
func (t *Terminal) Stop() error {
	release := t.settle()
	err := t.Screen.Suspend()
	release()
	if err != nil {
		return err
	}
	stopProcess()
	if err := t.Screen.Resume(); err != nil {
		return err
	}
	t.Screen.Sync()
	return nil
}

// Fini gives the terminal back. What is read and not handled yet is lost.
func (t *Terminal) Fini() {
	t.once.Do(func() {
		close(t.closing)
		defer close(t.closed)
		release := t.settle()
		defer release()
		t.Screen.Fini()
	})
	<-t.closed
}

// settle stops the input. The screen stops only when all that it has read is taken: events are dropped
// until release is called.
func (t *Terminal) settle() (release func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-t.events:
			case <-stop:
				return
			}
		}
	}()
	if t.tty != nil {
		t.tty.quiet()
	}
	return func() {
		close(stop)
		<-stopped
	}
}

// watch abandons the terminal if it is not given back in time.
func (t *Terminal) watch(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-t.closing:
	}
	select {
	case <-t.closed:
	case <-time.After(patience):
		t.abandon()
	}
}

// abandon is for a terminal that takes no output. Dropping what it has not taken may be enough for
// [Terminal.Fini] to go on.
func (t *Terminal) abandon() {
	dropOutput()
	term.Restore(int(os.Stdin.Fd()), t.saved)
	select {
	case <-t.closed:
		return
	case <-time.After(patience / 3):
	}
	dropOutput()
	term.Restore(int(os.Stdin.Fd()), t.saved)
	writeNow("\x1b[?2004l\x1b[?1049l\x1b[?25h\x1b[0m") // as xterm: no pastes, the other screen, a cursor, no style
	os.Exit(1)                                         // an error could not be printed
}
