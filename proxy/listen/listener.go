package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/internal/limit"
	"sluice/internal/wire"
)

const (
	maxBackoff = time.Second // between accepts while descriptors are short
	nearLast   = 64          // descriptors below those for operators from which on each accept looks first whether one is left
)

// errLastDescriptors is returned where only descriptors for operators are left.
var errLastDescriptors = fmt.Errorf("%w: the last ones are for operators", syscall.EMFILE)

// Listener is an address that the gateway accepts on. It lives as long as the address
// is configured. Its settings may change meanwhile.
type Listener struct {
	set      *Set
	name     string      // the configured address
	mode     fs.FileMode // of a unix socket, as configured
	passed   bool        // the socket is one of the service manager's, which outlives the listener
	net      net.Listener
	looped   Acceptor // the same for the loops; nil where there are none
	settings atomic.Pointer[inForce]
	tls      *tls.Config // calls handshakeConfig

	paused   atomic.Bool   // nothing is accepted
	accepted chan net.Conn // received by Accept of the server that serves now
	changed  chan struct{} // holds one element when the connection limit must be checked again
	closed   chan struct{}
	close    func()

	headers sync.WaitGroup // goroutines that read PROXY headers
	count   atomic.Int64   // of connections, until their sockets are closed, those of sessions too
	clients *limit.Counts  // the same by address
	server  *server        // for the settings in force; nil before it first serves
}

// inForce is Settings with the limiters they ask for.
type inForce struct {
	Settings
	connections, requests limit.Limiter // by address
}

// Name returns the address as it is configured.
func (l *Listener) Name() string { return l.name }

// Settings returns how the listener serves now.
func (l *Listener) Settings() Settings { return l.settings.Load().Settings }

// Requests returns what limits the requests of each client address.
func (l *Listener) Requests() limit.Limiter { return l.settings.Load().requests }

// Address returns the address that clients dial.
func (l *Listener) Address() string {
	if l.local() {
		return "unix:" + l.path()
	}
	return l.net.Addr().String()
}

// Connections returns the number of connections that are open, sessions among them.
func (l *Listener) Connections() int64 { return l.count.Load() }

// Close stops accepting. Connections that are open live on.
func (l *Listener) Close() { l.close() }

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// local reports whether it is a unix socket: the permissions of its file say who can
// connect.
func (l *Listener) local() bool { return l.net.Addr().Network() == "unix" }

// path returns the file of a unix socket.
func (l *Listener) path() string { return l.net.Addr().String() }

func (l *Listener) port() string {
	_, port, _ := net.SplitHostPort(l.net.Addr().String())
	return port
}

// configure changes how the listener serves. Limiters whose rate stays the same keep
// what they know of clients.
func (l *Listener) configure(s Settings) {
	old := l.settings.Load()
	if old == nil {
		old = &inForce{}
	}
	l.settings.Store(&inForce{
		Settings:    s,
		connections: s.ConnectionRate.Limiter(old.ConnectionRate, old.connections),
		requests:    s.RequestRate.Limiter(old.RequestRate, old.requests),
	})
	l.wake()
}

// accept accepts connections and passes them to the server, until the listener is
// closed.
func (l *Listener) accept() {
	defer l.headers.Wait()
	for l.awaitRoom() {
		raw, err := l.next()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.set.env.Log().Error().Err(err).Str("listener", l.name).Msg("listener failed")
			}
			return
		}
		l.begin(raw)
	}
}

// awaitRoom waits until another connection may be open. It returns false when the
// listener is closed.
func (l *Listener) awaitRoom() bool {
	for {
		var again <-chan time.Time
		if l.paused.Load() {
			// until wake
		} else if most := l.settings.Load().Connections; most > 0 {
			if l.count.Load() < int64(most) {
				return true
			}
		} else {
			short := l.set.connections.full()
			if short == 0 {
				return true
			}
			l.set.env.Shortages.Note(short, fmt.Errorf("listener %s: no more connections without 'max_connections'", l.name))
			again = time.After(fullInterval)
		}
		select {
		case <-l.changed:
		case <-again:
		case <-l.closed:
			return false
		}
	}
}

// wake makes awaitRoom check the connection limit again.
func (l *Listener) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// next accepts a connection. It waits while descriptors or memory are short.
func (l *Listener) next() (net.Conn, error) {
	delay := 5 * time.Millisecond
	for {
		c, err := l.acceptOne()
		if err == nil {
			return c, nil
		}
		short := limit.ShortageOf(err)
		switch {
		case short != 0:
			l.set.env.Shortages.Note(short, fmt.Errorf("listener %s: %w", l.name, err))
		case !errors.Is(err, syscall.ECONNABORTED) && !errors.Is(err, syscall.EINTR):
			return nil, err
		}
		select {
		case <-time.After(delay):
		case <-l.closed:
			return nil, net.ErrClosed
		}
		delay = min(2*delay, maxBackoff)
	}
}

// acceptOne accepts a connection, unless it would take one of the last descriptors. Where it finds out only when
// it has accepted one, it closes that: further ones wait in the queues of their sockets.
func (l *Listener) acceptOne() (net.Conn, error) {
	if l.set.margin.Load() < nearLast && limit.NextMargin() <= 0 {
		return nil, errLastDescriptors
	}
	c, err := l.acceptRaw()
	if err != nil {
		return nil, err
	}
	margin := limit.Margin(c)
	l.set.margin.Store(int64(margin))
	if margin <= 0 {
		c.Close()
		return nil, errLastDescriptors
	}
	return c, nil
}

// acceptRaw accepts a connection, for the loops if they are to be used.
func (l *Listener) acceptRaw() (net.Conn, error) {
	if l.looped != nil && l.settings.Load().OnLoops {
		return l.looped.Accept()
	}
	return l.net.Accept()
}

// host makes a connection one that goroutines can use, if it is one for the loops, and reports
// whether it is. Where a reload has changed the engine, it may be of the other kind than the
// server.
func (l *Listener) host(c *wire.Conn) (onLoop bool) {
	return l.looped != nil && l.set.env.Loops.Host(c.Conn)
}

// begin counts a connection that was accepted and reads its PROXY header, if it must
// have one.
func (l *Listener) begin(raw net.Conn) {
	s := l.settings.Load()
	c := wire.New(raw)
	if s.TLS {
		c = wire.NewTLS(raw)
		if s.TakeRecords {
			c.StartCapture()
		}
	}
	l.count.Add(1)
	l.set.connections.open.Add(1)
	c.OnClose(unadmitted{l})
	if !s.ProxyProtocol {
		l.admit(c, s)
		return
	}
	if !l.local() && !l.set.env.Trusted(c.Peer().Addr()) {
		l.refuse(c, c.Peer().Addr(), UntrustedProxy, nil)
		return
	}
	l.host(c)
	l.headers.Go(func() {
		if err := l.readProxyHeader(c, s.HeaderTimeout); err != nil {
			l.refuse(c, c.Peer().Addr(), BadProxyHeader, err)
			return
		}
		l.admit(c, s)
	})
}

// admit counts the client and passes its connection to the server, over TLS where the
// listener says so.
func (l *Listener) admit(c *wire.Conn, s *inForce) {
	key := limit.Key(c.Peer().Addr())
	if _, ok := s.connections.Take(key, time.Now()); !ok {
		l.refuse(c, key, ConnectionRate, nil)
		return
	}
	if !l.clients.Acquire(key, s.ConnectionsPerIP) {
		l.refuse(c, key, ConnectionsPerIP, nil)
		return
	}
	c.OnClose(&Permit{l, key})
	c.Linger(true)
	var conn net.Conn = c
	if s.TLS {
		conn = tls.Server(c, l.tls)
	}
	select {
	case l.accepted <- conn:
	case <-l.closed:
		c.Close()
	}
}

// handshakeConfig returns the configuration of one TLS handshake. The server runs the
// handshake before it reads the first request of a connection.
func (l *Listener) handshakeConfig(h *tls.ClientHelloInfo) (*tls.Config, error) {
	c, err := l.set.env.TLSConfig(h, l.settings.Load().HTTP2)
	if err != nil {
		return nil, err
	}
	w := wire.Of(h.Conn)
	if l.set.env.Traced() {
		c = w.TimeHandshake(c)
	}
	return w.HandshakeConfig(c), nil
}

// listenError says why an address could not be listened on.
func (s *Set) listenError(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		if blocking := s.passedOn(address); blocking != "" {
			return fmt.Errorf("address %s is in use: the service manager has opened %s; write that here, or %s in the socket unit", address, blocking, address)
		}
		return fmt.Errorf("address %s is in use: another program listens there", address)
	case errors.Is(err, syscall.EACCES) && !strings.HasPrefix(address, "unix:"):
		return fmt.Errorf("no permission to listen on %s: ports below 1024 need the CAP_NET_BIND_SERVICE capability", address)
	}
	return fmt.Errorf("cannot listen on %s: %w", address, err)
}

// passedOn returns the address of the socket of [Env.Passed] that keeps others from listening on a TCP
// address, or "".
func (s *Set) passedOn(address string) string {
	wanted, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return ""
	}
	for _, have := range s.env.Passed.Addresses() {
		if have.Network() == "tcp" && overlap(have.String(), wanted.String()) {
			return have.String()
		}
	}
	return ""
}
