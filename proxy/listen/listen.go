// Package listen is the addresses that the gateway accepts on: their sockets, the
// PROXY header, the counts of connections by client address, and the HTTP servers that
// read requests from the connections. It knows no routes: a request goes to a handler.
package listen

import (
	"context"
	"crypto/tls"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/activation"
	"sluice/internal/h1"
	"sluice/internal/limit"
	"sluice/internal/message"
	"sluice/internal/telemetry"
	"sluice/proxy/clientio"
	"sluice/proxy/http1"
)

// Env is what listeners need of the gateway.
type Env struct {
	// Handler answers the requests that come to a listener, each with its connection.
	Handler func(*Listener, *clientio.Conn, http.ResponseWriter, message.Request)

	// Refuse answers what came to a listener and is no request.
	Refuse func(context.Context, *Listener, *clientio.Conn, http.ResponseWriter, message.Request, *h1.Refusal)

	// Begin returns the exchange for a request that came to a listener, for event loops.
	Begin func(*Listener, *clientio.Conn, message.Request) http1.Exchange

	Loops Loops // nil where there are none

	// TLSConfig returns the configuration for one TLS handshake. It must offer
	// HTTP/2 if http2 is set.
	TLSConfig func(h *tls.ClientHelloInfo, http2 bool) (*tls.Config, error)

	// Trusted reports whether an address is that of a trusted proxy.
	Trusted func(netip.Addr) bool

	// Traced reports whether TLS handshakes are timed for traces.
	Traced func() bool

	// Sessions returns the number of connections that are WebSocket sessions.
	Sessions func() int64

	// Refused is told of every connection that is refused. It must not block.
	Refused func(Refusal)

	Passed *activation.Sockets // are listened on where an address is theirs

	// Inherited are listening sockets that another process of this program had open, by the key of their listener,
	// which is its address as it is configured and a number. The set takes those over that its first
	// configuration has, and closes the others.
	Inherited map[string]*os.File

	Log       func() *zerolog.Logger // the logger in force
	Shortages *telemetry.Shortages

	Stopping context.Context // ends when the listeners close
	Overdue  context.Context // ends when the shutdown has taken its time
}

// Options is one listener as it is configured.
type Options struct {
	Address string      // host:port, or unix:path
	Mode    fs.FileMode // of a unix socket; 0 for that of the process
	Settings
}

// Settings is how a listener serves. They can change while it is open, and are
// comparable.
type Settings struct {
	TLS           bool
	RedirectHTTPS bool
	TakeRecords   bool // the relay may take TLS records over from crypto/tls
	ProxyProtocol bool

	Connections      int // open at once; 0 means as many as the process has room for
	ConnectionsPerIP int // open at once from one address; 0 means any number
	ConnectionRate   limit.Rate
	RequestRate      limit.Rate

	ServerSettings
}

// ServerSettings is what an HTTP server is made with. Other ones need another server.
type ServerSettings struct {
	OnLoops       bool // [Env.Loops] are used, where there are any
	HTTP2         bool
	HeaderTimeout time.Duration
	IdleTimeout   time.Duration
	MaxHeader     int // bytes
	MaxStreams    int // of an HTTP/2 connection
}

// Loops is event loops, which connections of clients may live on.
type Loops interface {
	// NewAcceptor returns what accepts connections of a listener for the loops. The
	// caller closes both.
	NewAcceptor(net.Listener) (Acceptor, error)

	// Host makes a loop serve the goroutines that use a connection of an Acceptor, unless
	// one does. It closes the connection if none can. It is false for another connection,
	// which stays as it is.
	Host(net.Conn) bool

	// NewServer returns a server for plain connections.
	NewServer(http1.Options) Server

	// StopIdle stops idle connections of the servers, as [http1.Engine.StopIdle] does; nil if none was taken.
	StopIdle(add func(c *clientio.Conn, state *http1.Moved, socket int) (taken, more bool)) Stopped

	// OfferAgain makes StopIdle offer all connections again.
	OfferAgain()

	// Socket returns a connection for a server on a connected, non-blocking socket. It owns the descriptor, and closes it
	// if it fails.
	Socket(descriptor int) (net.Conn, error)
}

// Stopped is connections that wait to go on, here or in another process.
type Stopped interface {
	// Settle says of each whether another process has it now: see [http1.Stopped.Settle].
	Settle(gone []bool)
}

// An Acceptor accepts connections.
type Acceptor interface {
	Accept() (net.Conn, error) // [net.ErrClosed] after Close
	Close()
}

// A Server serves connections of clients.
type Server interface {
	// Serve takes a connection over. It is false if it cannot: then nothing has happened.
	Serve(*clientio.Conn) bool

	// Resume is Serve for a connection that another process has had.
	Resume(*clientio.Conn, *http1.Moved) bool

	// Leave makes every connection end with its next answer. Those that are idle stay open for one.
	Leave()

	// Drain makes every connection end with its next answer. It returns when all have had
	// a request, or when ctx ends.
	Drain(ctx context.Context)

	// Shutdown returns when the requests are answered. When ctx ends, it cuts those that
	// are left. No connection may come any more.
	Shutdown(ctx context.Context)
}

// A Set is the open listeners of a gateway. Its methods, but for the counts, must not
// be called at the same time.
type Set struct {
	env         Env
	connections connectionCount
	margin      atomic.Int64 // of the connection accepted last, as limit.Margin has it
	heads       *clientio.HeadBudget

	open    map[string]*Listener // by key
	closing []*Listener          // another listener has taken their port over; closed soon
	running sync.WaitGroup       // listeners, and servers that finish their last requests
}

// NewSet returns a set without listeners.
func NewSet(env Env) *Set {
	return &Set{env: env, connections: connectionCount{sessions: env.Sessions}, heads: clientio.NewHeadBudget()}
}

// All returns the listeners in order of their addresses.
func (s *Set) All() []*Listener {
	var all []*Listener
	for _, key := range slices.Sorted(maps.Keys(s.open)) {
		all = append(all, s.open[key])
	}
	return all
}

// Unused describes the sockets of [Env.Passed] that no open listener uses.
func (s *Set) Unused() []string {
	var used []net.Addr
	for _, l := range s.open {
		used = append(used, l.net.Addr())
	}
	return s.env.Passed.Unused(used)
}

// StartServers starts an HTTP server for every listener that has none. Where its settings ask for another
// HTTP server, the old one finishes its connections within timeout.
func (s *Set) StartServers(timeout time.Duration) {
	for _, l := range s.open {
		how := l.settings.Load().ServerSettings
		switch {
		case l.server == nil:
			s.running.Go(l.accept)
		case l.server.settings == how:
			continue
		default:
			s.drainInBackground(l.server, timeout)
		}
		l.server = newServer(s, l, how)
		s.running.Go(l.server.run)
	}
}

// drainInBackground shuts a server down in the background.
func (s *Set) drainInBackground(v *server, timeout time.Duration) {
	s.running.Go(func() {
		ctx, cancel := context.WithTimeout(s.env.Overdue, timeout)
		defer cancel()
		v.drain(ctx, s.env.Stopping.Done())
	})
}

// Leave makes clients go elsewhere while they are served as ever: connections of HTTP/1.1 end with
// their next answer, and those of HTTP/2 get a GOAWAY frame.
func (s *Set) Leave() {
	for _, l := range s.open {
		l.server.leave()
	}
}

// StopAccepting closes the sockets of all listeners.
func (s *Set) StopAccepting() {
	for _, l := range s.open {
		l.Close()
	}
}

// Shutdown returns when all requests are answered. When ctx ends, it cuts those that are
// left. No listener may accept any more.
func (s *Set) Shutdown(ctx context.Context) {
	var servers sync.WaitGroup
	for _, l := range s.open {
		servers.Go(func() { l.server.shutdown(ctx) })
	}
	servers.Wait()
	s.running.Wait()
}

// AwaitConnections returns when no connection of a client is open, or ctx ends.
func (s *Set) AwaitConnections(ctx context.Context) { s.connections.awaitNone(ctx) }
