package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/limit"
	"sluice/internal/wire"
)

const maxBackoff = time.Second // between accepts while descriptors are short

// listener is an address the gateway accepts on. It lives as long as the
// address is configured; how it serves may change under it.
type listener struct {
	name     string      // as configured
	mode     fs.FileMode // of a unix socket, as configured
	net      net.Listener
	settings atomic.Pointer[settings]
	accepted chan net.Conn // to whichever server serves now
	changed  chan struct{} // holds one element when there may be room for a connection
	closed   chan struct{}
	close    func()
	greeters sync.WaitGroup   // goroutines that read PROXY headers
	open     atomic.Int64     // connections, until their session ends
	all      *connectionCount // the same over all listeners
	clients  *limit.Counts    // the same by address
	tls      *tls.Config      // asks the store in force for each client's
	server   *server          // of the settings in force; nil before it first serves

	log       func() *zerolog.Logger
	short     *shortages
	strangers *tally // connections refused, as their proxy is not trusted
}

// settings is how a listener serves. They are comparable.
type settings struct {
	tls, redirectHTTPS bool
	records            bool // the relay may take TLS records over
	proxyProtocol      bool
	serverSettings
	limits limitSettings

	// By address; carried over while rate and burst stay the same.
	fresh, requests *limit.Rates
}

// serverSettings is what an HTTP server is made of: it cannot be changed.
type serverSettings struct {
	http2         bool
	headerTimeout time.Duration
	idleTimeout   time.Duration
	maxHeader     int
	maxStreams    int
}

type limitSettings struct {
	connections      int
	connectionsPerIP int
	fresh, requests  pace
}

// pace is a rate a second and its burst.
type pace struct {
	rate  float64
	burst int
}

// rates returns what holds clients to p: old if that does it already.
func (p pace) rates(before pace, old *limit.Rates) *limit.Rates {
	switch {
	case p.rate <= 0:
		return nil
	case p == before && old != nil:
		return old
	}
	return limit.NewRates(p.rate, p.burst)
}

// settingsOf returns the settings that a configuration asks for; what paces
// clients is taken from old where it is the same.
func settingsOf(cfg *config.Config, c *config.Listener, old *settings) *settings {
	s := &settings{
		tls: c.TLS, redirectHTTPS: c.RedirectHTTPS, proxyProtocol: c.ProxyProtocol, records: takesRecords(cfg),
		serverSettings: serverSettings{
			http2: c.HTTP2, headerTimeout: c.Timeouts.Header, idleTimeout: c.Timeouts.Idle,
			maxHeader: int(c.MaxHeaderBytes), maxStreams: c.MaxStreams,
		},
		limits: limitSettings{
			connections: c.MaxConnections, connectionsPerIP: c.ConnectionsPerIP,
			fresh:    pace{float64(c.ConnectionRate), c.ConnectionBurst},
			requests: pace{float64(c.RequestRate), c.RequestBurst},
		},
	}
	before := settings{}
	if old != nil {
		before = *old
	}
	s.fresh = s.limits.fresh.rates(before.limits.fresh, before.fresh)
	s.requests = s.limits.requests.rates(before.limits.requests, before.requests)
	return s
}

// takesRecords reports whether the relay takes TLS records over from crypto/tls.
func takesRecords(cfg *config.Config) bool { return cfg.TLS == nil || cfg.TLS.Records == "sluice" }

// address returns where the listener really listens, as a client dials it.
func (l *listener) address() string {
	if a := l.net.Addr(); a.Network() != "unix" {
		return a.String()
	}
	return "unix:" + l.net.Addr().String()
}

func (l *listener) port() string {
	_, port, _ := net.SplitHostPort(l.net.Addr().String())
	return port
}

// accept hands connections to the servers until the listener is closed.
func (l *listener) accept(trusted func(netip.Addr) bool) {
	defer l.greeters.Wait()
	for {
		if !l.room() {
			return
		}
		raw, err := l.next()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.log().Error().Err(err).Str("listener", l.name).Msg("listener failed")
			}
			return
		}
		s := l.settings.Load()
		c := wire.New(raw)
		if s.tls {
			c = wire.NewTLS(raw)
			if s.records {
				c.Remember()
			}
		}
		l.open.Add(1)
		l.all.open.Add(1)
		c.Hold(l)
		if !s.proxyProtocol {
			l.admit(c, s)
			continue
		}
		if !l.local() && !trusted(c.Peer().Addr()) {
			l.log().Debug().Str("listener", l.name).Stringer("client", c.Peer().Addr()).Msg("connection of a proxy that is not trusted")
			l.strangers.count(l.name)
			c.Close()
			continue
		}
		l.greeters.Go(func() {
			if err := l.greet(c, s.headerTimeout); err != nil {
				l.log().Debug().Err(err).Str("listener", l.name).Stringer("client", c.Peer().Addr()).Msg("no valid PROXY header")
				c.Close()
				return
			}
			l.admit(c, s)
		})
	}
}

// local reports whether only processes of this machine can connect, those that
// the permissions of the socket let.
func (l *listener) local() bool { return l.net.Addr().Network() == "unix" }

// room waits until another connection may be open. It is false once the
// listener is closed.
func (l *listener) room() bool {
	for {
		var again <-chan time.Time
		if most := l.settings.Load().limits.connections; most > 0 {
			if l.open.Load() < int64(most) {
				return true
			}
		} else {
			short := l.all.full()
			if short == 0 {
				return true
			}
			l.short.met(short, fmt.Errorf("listener %s: no more connections without 'max_connections'", l.name))
			again = time.After(crowdInterval)
		}
		select {
		case <-l.changed:
		case <-again:
		case <-l.closed:
			return false
		}
	}
}

// set changes how the listener serves.
func (l *listener) set(s *settings) {
	l.settings.Store(s)
	l.wake()
}

// Leave is for a connection that is over.
func (l *listener) Leave() {
	l.open.Add(-1)
	l.all.open.Add(-1)
	l.wake()
}

// guest is a connection that counts for its client's address.
type guest struct {
	listener *listener
	key      netip.Addr
}

// guestOf takes the guest of an admitted connection, to tell when its socket is
// closed.
func guestOf(c *wire.Conn) *guest { return c.TakeHolder().(*guest) }

// Leave is for a connection that is over.
func (g *guest) Leave() {
	g.listener.clients.Release(g.key)
	g.listener.Leave()
}

// wake has room look again.
func (l *listener) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// admit counts the client and passes its connection on.
func (l *listener) admit(c *wire.Conn, s *settings) {
	key := limit.Key(c.Peer().Addr())
	if s.fresh != nil {
		if _, ok := s.fresh.Take(key, time.Now()); !ok {
			l.log().Debug().Str("listener", l.name).Stringer("client", key).Msg("connection refused: its address is over 'connection_rate'")
			c.Close()
			return
		}
	}
	if !l.clients.Acquire(key, s.limits.connectionsPerIP) {
		l.log().Debug().Str("listener", l.name).Stringer("client", key).Msg("connection refused: its address has 'connections_per_ip' open")
		c.Close()
		return
	}
	c.Hold(&guest{l, key})
	c.Linger(true)
	var conn net.Conn = c
	if s.tls {
		conn = tls.Server(c, l.tls)
	}
	select {
	case l.accepted <- conn:
	case <-l.closed:
		c.Close()
	}
}

// next accepts a connection. Shortage of descriptors or memory is waited out.
func (l *listener) next() (net.Conn, error) {
	delay := 5 * time.Millisecond
	for {
		c, err := l.net.Accept()
		if err == nil {
			return c, nil
		}
		short := limit.ShortageOf(err)
		switch {
		case short != 0:
			l.short.met(short, fmt.Errorf("listener %s: %w", l.name, err))
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

// greet reads the PROXY header that a trusted proxy sends first. It is not
// waited for any more once the listener is closed.
func (l *listener) greet(c *wire.Conn, timeout time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	greeted := make(chan struct{})
	defer close(greeted)
	go func() {
		select {
		case <-l.closed:
			c.SetReadDeadline(time.Unix(1, 0))
		case <-greeted:
		}
	}()
	br := bufio.NewReader(c.Conn)
	h, err := proxyproto.Read(br)
	if err != nil {
		return err
	}
	var peer netip.AddrPort // of a LOCAL header, as health checks send it, the proxy's own
	if src, _, ok := h.TCPAddrs(); ok && !h.Command.IsLocal() {
		p := src.AddrPort()
		peer = netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	ahead, _ := br.Peek(br.Buffered())
	c.SetPeer(peer, ahead)
	return c.SetReadDeadline(time.Time{})
}
