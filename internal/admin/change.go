package admin

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// A Change is options that are prepared. One of its methods has to be called.
type Change struct {
	server *Server
	next   Options
	opened map[place]*listener
	kinds  map[place]string // of all listeners that there will be

	// Warning is why there is no Unix socket, or why it is not as it should be, which is no reason
	// to refuse the options. It may be nil.
	Warning error
}

// ListenError says that an address could not be listened on.
type ListenError struct {
	Key string // of the address in the configuration: address, health or metrics
	Err error
}

func (e *ListenError) Error() string { return e.Err.Error() }
func (e *ListenError) Unwrap() error { return e.Err }

// Prepare opens what the options ask for and is not open yet. The error is a *[ListenError]. It blocks until the change before it is made or cancelled.
func (s *Server) Prepare(o Options) (*Change, error) {
	s.mu.Lock()
	c := &Change{server: s, next: o, opened: make(map[place]*listener), kinds: make(map[place]string)}
	for kind, address := range map[string]string{kindTCP: o.Address, kindHealth: o.Health, kindMetrics: o.Metrics} {
		if address == "" {
			continue
		}
		at := place{"tcp", address}
		if strings.HasSuffix(address, ":0") { // each has a port of its own
			at.network = kind
		}
		err := c.listen(at, kind, func() (net.Listener, error) { return net.Listen("tcp", address) })
		if err != nil {
			if errors.Is(err, syscall.EADDRINUSE) {
				err = fmt.Errorf("%w: another program listens there, or this gateway does at an address that overlaps; then remove that first, and reload twice", err)
			}
			c.Cancel()
			key := kind
			if kind == kindTCP {
				key = "address"
			}
			return nil, &ListenError{key, err}
		}
	}
	if o.Socket != nil {
		c.Warning = c.listen(place{"unix", o.Socket.Path()}, kindUnix, func() (net.Listener, error) { return listenUnix(*o.Socket) })
	}
	return c, nil
}

// listen opens a listener unless there is one at that place.
func (c *Change) listen(at place, kind string, open func() (net.Listener, error)) error {
	if c.server.open[at] == nil {
		l, err := c.server.inherit(at, c.next.Socket)
		if l == nil && err == nil {
			l, err = open()
		}
		if err != nil {
			return err
		}
		c.opened[at] = c.server.newListener(l)
	}
	c.kinds[at] = kind
	return nil
}

// Commit makes the change: from now on its listeners serve, and no others.
func (c *Change) Commit() {
	s := c.server
	defer s.mu.Unlock()
	s.dropInherited()
	before := s.access.Load()
	now := newAccess(&c.next)
	if c.next.TLSKey != "" && c.next.TLSKey == before.tlsKey {
		now.tls = before.tls // so that connections with it stay
	}
	s.access.Store(now)
	if before.token != now.token || before.tlsKey != now.tlsKey {
		s.endStreams()
	}
	for at, l := range s.open {
		if c.kinds[at] == "" {
			s.drop(at, l)
		}
	}
	if o := c.next.Socket; o != nil && c.Warning == nil {
		c.Warning = c.refresh(*o)
	}
	for at, l := range c.opened {
		s.open[at] = l
	}
	for at, l := range s.open {
		kind := c.kinds[at]
		l.kind.Store(&kind)
	}
	for _, l := range c.opened {
		go func() {
			defer close(l.done)
			l.server.Serve(l.Listener)
		}()
	}
}

// refresh makes a Unix socket that stays anew if it is to have another mode or group, or if its file
// is gone: cleaners of temporary files remove them.
func (c *Change) refresh(o SocketOptions) error {
	at := place{"unix", o.Path()}
	old := c.server.open[at]
	if old == nil {
		return nil
	}
	on := old.Listener.(*limited).Listener.(*unixListener)
	if on.fresh(o) {
		return nil
	}
	again, err := on.again(o)
	if err != nil {
		return err
	}
	c.server.drop(at, old)
	c.opened[at] = c.server.newListener(again)
	return nil
}

// endStreams ends the answers that last on TCP: those who read them may have lost the right to.
func (s *Server) endStreams() {
	for _, l := range s.open {
		if l.kind.Load() != nil && *l.kind.Load() == kindTCP {
			l.streams.Swap(newStreamGroup()).end()
		}
	}
}

// drop closes a listener at once, and its connections soon: the request that makes a change may have
// come by it.
func (s *Server) drop(at place, l *listener) {
	l.Listener.Close()
	go l.close()
	delete(s.open, at)
}

// Cancel closes what was opened.
func (c *Change) Cancel() {
	defer c.server.mu.Unlock()
	for _, l := range c.opened {
		l.Listener.Close()
	}
}
