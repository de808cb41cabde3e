package admin

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// A Socket is a descriptor of the interface for another process: that of a listener, or of the lock of the Unix socket.
type Socket struct {
	Key        string // as [Server.Inherit] has it
	Descriptor int    // it stays open while the listener is
}

// key names a place, and the lock that belongs to it.
func (p place) key() string     { return p.network + " " + p.address }
func (p place) lockKey() string { return "lock " + p.address }

// Sockets returns the descriptors of the open listeners.
func (s *Server) Sockets() (all []Socket, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, l := range s.open {
		on := l.Listener.(*limited).Listener
		if u, ok := on.(*unixListener); ok {
			if u.lock != nil {
				all = append(all, Socket{at.lockKey(), int(u.lock.Fd())})
			}
			on = u.Listener
		}
		c, err := on.(syscall.Conn).SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := c.Control(func(fd uintptr) { all = append(all, Socket{at.key(), int(fd)}) }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// GiveUp leaves the sockets to another process: the server accepts no more, and its Close leaves the files of the Unix
// socket where they are. Requests that have come are answered.
func (s *Server) GiveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.open {
		if u, ok := l.Listener.(*limited).Listener.(*unixListener); ok {
			u.giveUp()
		}
		l.Listener.Close()
		l.server.SetKeepAlivesEnabled(false) // who comes again is to ask the other process
		l.streams.Swap(newStreamGroup()).end()
	}
}

// giveUp makes Close remove nothing.
func (l *unixListener) giveUp() {
	if l.lock != nil {
		l.lock.Close()
		l.lock = nil
	}
}

// Inherit makes the server use sockets that another process of this program had open, by key, where its first options
// have their places. The others are closed then.
func (s *Server) Inherit(files map[string]*os.File) { s.inherited = files }

// inherit returns a listener on the inherited socket of a place, nil if there is none. O is for a Unix socket.
func (s *Server) inherit(at place, o *SocketOptions) (net.Listener, error) {
	f := s.inherited[at.key()]
	if f == nil {
		return nil, nil
	}
	delete(s.inherited, at.key())
	defer f.Close()
	if at.network != "unix" {
		return net.FileListener(f)
	}
	lock := s.inherited[at.lockKey()]
	delete(s.inherited, at.lockKey())
	if answers(o.Path()) {
		l, err := net.FileListener(f)
		return &unixListener{Listener: l, options: *o, lock: lock, theirs: true}, err
	}
	// Somebody has removed it, or it is in the file system of another container.
	if l, err := listenUnix(*o); err == nil {
		if lock != nil {
			lock.Close()
		}
		return l, nil
	}
	l, err := bind(*o) // the lock is that of the process before
	return &unixListener{Listener: l, options: *o, lock: lock, theirs: true, made: true}, err
}

// Own makes the files of a Unix socket that was inherited the server's: its Close removes them.
func (s *Server) Own() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.open {
		if u, ok := l.Listener.(*limited).Listener.(*unixListener); ok && u.theirs {
			u.theirs = false
			err = errors.Join(err, u.options.setMode(u.options.Path()))
		}
	}
	return err
}

// dropInherited closes what was inherited and is not used.
func (s *Server) dropInherited() {
	for key, f := range s.inherited {
		f.Close()
		delete(s.inherited, key)
	}
}
