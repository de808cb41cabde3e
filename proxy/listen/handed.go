package listen

import (
	"errors"
	"net"
	"syscall"

	"sluice/internal/codec"
	"sluice/internal/limit"
)

// A Socket is the socket of a listener, for another process.
type Socket struct {
	Key        string // of the listener, as [Env.Inherited] has it
	Descriptor int    // it stays open while the listener is
}

// Sockets returns the sockets of the open listeners, but for those of [Env.Passed].
func (s *Set) Sockets() (all []Socket, err error) {
	for key, l := range s.open {
		if l.passed {
			continue
		}
		c, err := l.net.(syscall.Conn).SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := c.Control(func(fd uintptr) { all = append(all, Socket{key, int(fd)}) }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Pause makes the listeners accept nothing until Resume: clients wait in the queues of the sockets. Each may still accept
// one connection for which it waited.
func (s *Set) Pause() {
	for _, l := range s.open {
		l.paused.Store(true)
	}
}

// Resume ends what Pause began.
func (s *Set) Resume() {
	for _, l := range s.open {
		l.paused.Store(false)
		l.wake()
	}
}

// GiveUp makes StopAccepting leave the files of unix sockets where they are: another process listens there.
func (s *Set) GiveUp() {
	for _, l := range s.open {
		if u, ok := l.net.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
	}
}

// CarryLimits is [limit.Carry] for what limits the connections and the requests of clients, each.
func (l *Listener) CarryLimits(c *codec.Coder, most int) {
	s := l.settings.Load()
	limit.Carry(c, s.connections, most)
	limit.Carry(c, s.requests, most)
}

// inherit returns a listener on the inherited socket of a key; nil if there is none.
func (s *Set) inherit(key string) (net.Listener, error) {
	f := s.env.Inherited[key]
	if f == nil {
		return nil, nil
	}
	delete(s.env.Inherited, key)
	defer f.Close()
	return net.FileListener(f) // its Close leaves the file of a unix socket where it is
}

// Own makes the files of unix sockets that were inherited the set's: StopAccepting removes them.
func (s *Set) Own() (err error) {
	for _, l := range s.open {
		u, ok := l.net.(*net.UnixListener)
		if !ok || l.passed {
			continue
		}
		u.SetUnlinkOnClose(true)
		if l.mode != 0 {
			err = errors.Join(err, setSocketMode(l.path(), l.mode))
		}
	}
	return err
}

// dropInherited closes the inherited sockets that no listener has.
func (s *Set) dropInherited() {
	for key, f := range s.env.Inherited {
		delete(s.env.Inherited, key)
		f.Close()
	}
}
