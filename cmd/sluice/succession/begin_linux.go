//go:build !portable

package succession

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/activation"
	"sluice/internal/clock"
	"sluice/internal/codec"
	"sluice/internal/takeover"
)

// variable names the descriptor of the connection to the process that has started this one to take over.
const variable = "SLUICE_TAKEOVER"

// deadlines returns those of both sides.
func deadlines() takeover.Deadlines {
	return takeover.Deadlines{Prepare: time.Minute, Step: 10 * time.Second}
}

// An Heir is who gets the sessions.
type Heir interface {
	Have(c *codec.Coder, files []int) bool
	Settled(ours bool)
}

// predecessor is the process before, while this one takes over.
type predecessor struct {
	got    chan struct{} // closed when the sockets have come
	opened chan error    // this process accepts connections, or why it cannot
	done   chan error    // has the result of the take-over, when all has come or it has failed
	over   chan struct{} // closed when the other process has ended
	lost   error         // why it has not said what it has counted at its end; set before over is closed
	stop   bool          // it was told to stop; set before done has a value
	heir   Heir          // set before opened has a value, as own and rest
	own    func()
	rest   func(*codec.Coder)
}

// Begin returns what this process begins with. If another process has started it to take over, prepare does all that can fail
// before anything is taken, and Begin returns when the sockets have come. Then one of Take and Fail must follow. It fails if ctx
// ends before.
func Begin(ctx context.Context, prepare func() error) (*Inherited, error) {
	conn, err := inherited()
	if err != nil {
		return nil, err
	}
	i := new(Inherited)
	if i.Sockets, err = activation.Inherit(); err != nil || conn == nil {
		return i, err
	}
	if err := i.begin(ctx, conn, prepare); err != nil {
		return nil, err
	}
	return i, nil
}

// begin begins to take over what comes over conn. It returns when the sockets have come.
func (i *Inherited) begin(ctx context.Context, conn *net.UnixConn, prepare func() error) error {
	own := i.Sockets
	p := &predecessor{got: make(chan struct{}), opened: make(chan error, 1), done: make(chan error, 1), over: make(chan struct{})}
	i.from = p
	taking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	begun := context.AfterFunc(ctx, cancel)
	go func() {
		defer close(p.over)
		defer cancel()
		over := false
		err := takeover.Take(taking, conn, takeover.Taker{
			Prepare: func(_ context.Context, monotonic int64) (room int, err error) {
				i.Clock = new(clock.At(monotonic))
				if err := prepare(); err != nil {
					return 0, err
				}
				return freeDescriptors()
			},
			Listen: func(state *codec.Coder, list []takeover.Listener) error {
				if err := i.receive(list); err != nil {
					return err
				}
				i.State = state
				begun()
				close(p.got)
				return <-p.opened
			},
			Opened:  func() { p.own() },
			Have:    func(c *codec.Coder, files []int) bool { return p.heir.Have(c, files) },
			Settled: func(ours bool) { p.heir.Settled(ours) },
			Done: func(stop bool) {
				over, p.stop = true, stop
				p.done <- nil
			},
			Rest: func(c *codec.Coder) { p.rest(c) },
		}, deadlines())
		if p.lost = err; !over {
			p.done <- err
		}
	}()
	select {
	case <-p.got:
		return nil
	case err := <-p.done:
		*i = Inherited{Sockets: own}
		return fmt.Errorf("taking over from the process before: %w", err)
	}
}

// receive keeps the sockets that have come.
func (i *Inherited) receive(list []takeover.Listener) (err error) {
	i.Listeners, i.Admin, i.Offer = make(map[string]*os.File), make(map[string]*os.File), make(map[string]*os.File)
	var passed []activation.Passed
	for _, l := range list {
		switch l.Kind {
		case KindListener:
			i.Listeners[l.Name] = os.NewFile(uintptr(l.File), l.Name)
		case KindAdmin:
			i.Admin[l.Name] = os.NewFile(uintptr(l.File), l.Name)
		case KindOffer:
			i.Offer[l.Name] = os.NewFile(uintptr(l.File), l.Name)
		case KindPassed:
			passed = append(passed, activation.Passed{Name: l.Name, Descriptor: l.File})
		default:
			return fmt.Errorf("a socket of the kind %q, which this version does not know", l.Kind)
		}
	}
	i.Sockets, err = activation.Receive(passed)
	return err
}

// Take lets the process before go on: heir, who accepts connections, gets its sessions. It returns when all have come. Own is
// called when the files of the sockets are this process's. Stop says that the process before was told to stop meanwhile.
// Rest is called with what the process before has counted when it ends, if it says so. Without a process before Take does nothing.
func (i *Inherited) Take(heir Heir, own func(), rest func(*codec.Coder)) (stop bool, err error) {
	if i.from == nil {
		return false, nil
	}
	i.from.heir, i.from.own, i.from.rest, i.State = heir, own, rest, nil
	i.from.opened <- nil
	err = <-i.from.done
	return i.from.stop, err
}

// MustEnd reports whether this process must end after err of Take, if nothing has come: it has asked for the take-over, and the
// process before goes on, unless that has died.
func (i *Inherited) MustEnd(err error) bool { return i.asked && !takeover.Lost(err) }

// Over returns a channel that is closed when the process before has ended, or is not heard any more.
func (i *Inherited) Over() <-chan struct{} { return i.from.over }

// Lost returns why the process before has not said what it has counted at its end, once [Inherited.Over] is closed; nil if it has.
func (i *Inherited) Lost() error { return i.from.lost }

// Fail tells the process before, which goes on alone then, why this one cannot take over. It does nothing after Take, or without a process before.
func (i *Inherited) Fail(why error) {
	if i.from == nil || i.from.heir != nil {
		return
	}
	if why == nil {
		why = errors.New("it was ended")
	}
	i.from.opened <- why
	<-i.from.done
}

// inherited returns the connection to the process that has started this one to take over, nil if none has.
func inherited() (*net.UnixConn, error) {
	value, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(variable)
	fd, err := strconv.Atoi(value)
	if err != nil {
		return nil, fmt.Errorf("%s is %q: it is set by 'sluice restart' alone, for the process that it starts", variable, value)
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), variable)
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("%s is %q, which is no connection: it is set by 'sluice restart' alone, for the process that it starts", variable, value)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%s is %q, which is no unix socket: it is set by 'sluice restart' alone, for the process that it starts", variable, value)
	}
	return u, nil
}

// freeDescriptors returns how many descriptors this process may still open.
func freeDescriptors() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	return int(min(limit.Cur, 1<<30)) - len(open), nil
}
