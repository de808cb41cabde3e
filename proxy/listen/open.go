package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"sluice/internal/limit"
)

// keyed yields the listeners of a configuration, each with a key that is the same in
// every configuration: its address and a number, as port 0 may occur several times.
func keyed(all []Options) iter.Seq2[string, *Options] {
	return func(yield func(string, *Options) bool) {
		seen := make(map[string]int)
		for i := range all {
			o := &all[i]
			key := fmt.Sprintf("%s %d", o.Address, seen[o.Address])
			seen[o.Address]++
			if !yield(key, o) {
				return
			}
		}
	}
}

// A Problem is a listener that cannot be as it is configured.
type Problem struct {
	Index int // in the options
	Err   error
}

// A Change is the step from the open listeners to those of another configuration. Its
// sockets are open. One of Cancel and Commit must follow.
type Change struct {
	set      *Set
	options  []Options
	next     map[string]*Listener
	leaving  []*Listener // their sockets are still open, but they are not in next
	opened   []*Listener
	undo     []func() // of changes to sockets that were open before
	problems []Problem
}

// candidate is one listener of the options.
type candidate struct {
	key   string
	index int
	*Options
}

// Open opens the listeners of a configuration that are not open yet. If there are
// problems, the change must be cancelled.
func (s *Set) Open(all []Options) (*Change, []Problem) {
	c := &Change{set: s, options: all, next: make(map[string]*Listener)}
	for key := range keyed(all) {
		if l := s.open[key]; l != nil {
			c.next[key] = l
		}
	}
	s.closing = slices.DeleteFunc(s.closing, (*Listener).isClosed)
	c.leaving = slices.Clone(s.closing)
	for key, l := range s.open {
		if c.next[key] == nil {
			c.leaving = append(c.leaving, l)
		}
	}
	// A listener that takes a port over gets connections at once. They would be lost
	// if a later one could not be opened, so it is opened last.
	var first, last []candidate
	index := -1
	for key, o := range keyed(all) {
		index++
		candidate := candidate{key, index, o}
		switch {
		case c.next[key] != nil:
			c.changeMode(c.next[key], candidate)
		case len(c.samePort(o.Address)) > 0:
			last = append(last, candidate)
		default:
			first = append(first, candidate)
		}
	}
	for _, candidate := range append(first, last...) {
		if len(c.problems) == 0 {
			c.open(candidate)
		}
	}
	return c, c.problems
}

// Cancel closes what was opened and undoes what was changed.
func (c *Change) Cancel() {
	for _, l := range c.opened {
		l.Close()
	}
	for _, undo := range c.undo {
		undo()
	}
}

// Commit makes the listeners those of the set. They have their new settings, but are
// not served before [Set.StartServers]. It returns what closes the listeners that are no
// more configured: their servers then finish their requests within timeout.
func (c *Change) Commit() (closeOld func(timeout time.Duration)) {
	old := c.set.open
	for key, o := range keyed(c.options) {
		c.next[key].configure(o.Settings)
	}
	c.set.open = c.next
	c.set.dropInherited()
	return func(timeout time.Duration) { c.set.closeOld(old, timeout) }
}

// HTTPSPort returns the port of the first listener with TLS that has one, which a unix
// socket has not, or "".
func (c *Change) HTTPSPort() string {
	for key, o := range keyed(c.options) {
		if l := c.next[key]; o.TLS && l.port() != "" {
			return l.port()
		}
	}
	return ""
}

func (c *Change) fail(at candidate, err error) {
	c.problems = append(c.problems, Problem{at.index, err})
}

// open opens a new listener.
func (c *Change) open(at candidate) {
	if l := c.sameFile(at.Address); l != nil {
		c.next[at.key] = l
		c.changeMode(l, at)
		return
	}
	if c.isTaken(at, at.Address) {
		return
	}
	l, err := c.set.listen(at.key, at.Options, c.samePort(at.Address))
	if err != nil {
		c.fail(at, c.set.listenError(at.Address, err))
		return
	}
	// The kernel does not report a conflict among sockets of the same process, and only
	// now a host name has an address.
	if c.isTaken(at, l.Address()) {
		l.Close()
		return
	}
	c.next[at.key] = l
	c.opened = append(c.opened, l)
}

// isTaken reports whether another listener of the same configuration gets the
// connections to an address. That is a problem.
func (c *Change) isTaken(at candidate, address string) bool {
	for _, l := range c.next {
		if l.Address() == address || overlap(l.Address(), address) {
			c.fail(at, fmt.Errorf("address %s is in use by the listener %s of this file: remove one of the two", at.Address, l.name))
			return true
		}
	}
	return false
}

// samePort returns the leaving listeners that have the port of an address. While they
// are open, each may prevent listening on it.
func (c *Change) samePort(address string) []*Listener {
	_, port, _ := net.SplitHostPort(address)
	return slices.DeleteFunc(slices.Clone(c.leaving), func(l *Listener) bool { return port == "" || l.port() != port })
}

// sameFile returns the leaving listener on the same unix socket, which the address may
// name by a link, or nil.
func (c *Change) sameFile(address string) *Listener {
	path, ok := strings.CutPrefix(address, "unix:")
	wanted, err := os.Stat(path)
	if !ok || err != nil {
		return nil
	}
	i := slices.IndexFunc(c.leaving, func(l *Listener) bool {
		if !l.local() {
			return false
		}
		have, err := os.Stat(l.path())
		return err == nil && os.SameFile(wanted, have)
	})
	if i < 0 {
		return nil
	}
	return c.leaving[i]
}

// changeMode sets the mode of a listener's socket if another one is configured now. If the
// configured mode stays the same, it does not touch the socket, whose mode an operator may
// have changed.
func (c *Change) changeMode(l *Listener, at candidate) {
	before, now := l.mode, at.Mode
	if before == now || len(c.problems) > 0 {
		return
	}
	if l.passed {
		c.fail(at, errPassedMode)
		return
	}
	if err := setSocketMode(l.path(), now); err != nil {
		c.fail(at, fmt.Errorf("the mode of %s cannot be changed: %w", l.name, err))
		return
	}
	l.mode = now
	c.undo = append(c.undo, func() {
		l.mode = before
		_ = setSocketMode(l.path(), before) // that worked a moment ago
	})
}

// errPassedMode is returned for a mode of a unix socket that is not the gateway's.
var errPassedMode = errors.New("the service manager has made this socket: write SocketMode= in its socket unit, not 'mode'")

// openNet opens an address, even where the sockets of others on the same port would
// prevent it. The socket may be one that was passed or inherited.
func (s *Set) openNet(key string, o *Options, others []*Listener) (ln net.Listener, passed bool, err error) {
	network, address := "tcp", o.Address
	path, local := strings.CutPrefix(o.Address, "unix:")
	if local {
		network, address = "unix", path
	}
	if ln, err := s.inherit(key); ln != nil || err != nil {
		return ln, false, err
	}
	if name, ok := strings.CutPrefix(o.Address, "systemd:"); ok {
		ln, err := s.env.Passed.Named(name)
		return ln, true, err
	}
	if ln, err := s.env.Passed.Listen(network, address); ln != nil || err != nil {
		return ln, true, err
	}
	if local {
		if err := removeStale(path); err != nil {
			return nil, false, err
		}
	}
	how := socketOptions{mode: o.Mode}
	for _, l := range others {
		if !l.passed { // nothing may change a socket that the service manager has opened
			how.replaces = append(how.replaces, l.net)
		}
	}
	ln, err = openSocket(network, address, how)
	return ln, false, err
}

// listen opens a listener. The error is for listenError.
func (s *Set) listen(key string, o *Options, others []*Listener) (*Listener, error) {
	ln, passed, err := s.openNet(key, o, others)
	if err != nil {
		return nil, err
	}
	if passed {
		if o.Mode != 0 {
			err = errPassedMode
		} else {
			err = prepareSocket(ln)
		}
		if err != nil {
			ln.Close()
			return nil, err
		}
	}
	l := &Listener{
		set: s, name: o.Address, mode: o.Mode, passed: passed, net: ln, clients: limit.NewCounts(),
		accepted: make(chan net.Conn), changed: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	if s.env.Loops != nil {
		if l.looped, err = s.env.Loops.NewAcceptor(ln); err != nil {
			ln.Close()
			return nil, err
		}
	}
	l.close = sync.OnceFunc(func() {
		close(l.closed)
		ln.Close()
		if l.looped != nil {
			l.looped.Close()
		}
	})
	l.configure(o.Settings)
	l.tls = &tls.Config{GetConfigForClient: l.handshakeConfig}
	return l, nil
}

// removeStale removes the socket that a process left behind. Anything but a socket
// stays there, and is an error.
func removeStale(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil // listening returns the error, if it is one
	case info.Mode()&os.ModeSocket == 0:
		return errors.New("what is there is not a socket: remove it or choose another path")
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(path)
	}
	return nil
}

// overlap reports whether there are connections that could come to either of two TCP
// addresses. The unspecified address of IPv6 stands for IPv4 too: net.Listen opens both.
func overlap(a, b string) bool {
	aHost, aPort, err := net.SplitHostPort(a)
	bHost, bPort, other := net.SplitHostPort(b)
	all := func(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }
	return err == nil && other == nil && aPort == bPort && (aHost == bHost || all(aHost) || all(bHost))
}
