package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/h1"
	"sluice/internal/message"
	"sluice/internal/record"
	"sluice/internal/wire"
	"sluice/proxy/clientio"
	"sluice/proxy/http1"
)

const (
	// connectionBuffer is the window of an HTTP/2 connection, in bytes. It holds the
	// buffers of 64 streams, so that one stream whose backend does not read does not stop
	// the others.
	connectionBuffer = 16 << 20

	// Where memory is limited, windows are so small that it could hold this many of
	// streams, or of connections.
	streamsInMemory     = 8 << 10
	connectionsInMemory = 64

	minWindow = 64 << 10 // bytes: the smallest window of HTTP/2
	maxFrame  = 16 << 10 // bytes of an HTTP/2 frame, as every client expects

	// maxFields is how many header fields a request may have. Every browser and library is
	// far below it.
	maxFields = 1000

	// A head may exceed the limit by this factor and still get an answer.
	headSlack = 4

	// handshakeTime is how long a shutdown waits for TLS handshakes.
	handshakeTime = 5 * time.Second

	// unaskedBytes is how many bytes an HTTP/2 client may send besides its requests, and
	// besides a head that is too long.
	unaskedBytes = 256 << 10
)

// server is net/http on the connections of a listener. Other settings need another
// server; the connections of the old one finish there.
type server struct {
	set      *Set
	listener *Listener
	settings ServerSettings
	http     *http.Server
	http2    *http.Server // has the HTTP/2 connections of http to shut them down, and serves none itself
	leaving  atomic.Bool  // connections end with their next answer
	loops    Server       // serves HTTP/1.1 instead of http; nil where it cannot
	stopped  chan struct{}
	stop     func()
	ended    chan struct{}  // closed when no more connections come
	forHTTP  chan net.Conn  // connections that http serves; closed when no more come
	securing *handshakes    // of connections that may be for the loops
	abouts   abouts         // of connections on the loops
	unused   sync.Map       // of net.Conn: those without a request yet
	starting sync.WaitGroup // the same, to wait for
}

func newServer(set *Set, l *Listener, s ServerSettings) *server {
	v := &server{set: set, listener: l, settings: s, stopped: make(chan struct{}), ended: make(chan struct{}), forHTTP: make(chan net.Conn)}
	v.securing = newHandshakes(v.secure)
	v.stop = sync.OnceFunc(func() { close(v.stopped) })
	if s.OnLoops && set.env.Loops != nil {
		v.loops = set.env.Loops.NewServer(v.onLoops())
	}
	stream, window := bufferSize(clientio.StreamBuffer, streamsInMemory), bufferSize(connectionBuffer, connectionsInMemory)
	v.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := clientio.ConnOf(r)
			v.started(c.Conn)
			set.env.Handler(l, c, w, message.FromHTTP(r, c.Wire.Peer()))
		}),
		ConnState:         v.connState(unaskedBytes+headSlack*int64(s.MaxHeader), int64(window)),
		ReadHeaderTimeout: s.HeaderTimeout,
		IdleTimeout:       s.IdleTimeout,
		MaxHeaderBytes:    headSlack * s.MaxHeader, // the handler checks the limit itself
		// No request may go past the handler.
		DisableGeneralOptionsHandler: true,

		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          s.MaxStreams,
			MaxReceiveBufferPerStream:     stream,
			MaxReceiveBufferPerConnection: window,
			MaxReadFrameSize:              maxFrame,
			WriteByteTimeout:              clientio.MaxCredit,
		},
		ErrorLog: log.New(serverLog{set.env.Log}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			conn := clientio.NewConn(c, set.heads)
			conn.Leaving = &v.leaving
			return clientio.WithConn(ctx, conn)
		},
	}
	v.shareHTTP2()
	return v
}

// shareHTTP2 makes http serve HTTP/2 with what net/http has made for another server. GOAWAY can then be
// sent to its connections without the shutdown of http, which would cut them while they are idle and
// serve no new ones: net/http offers no other way.
func (v *server) shareHTTP2() {
	v.http2 = &http.Server{IdleTimeout: v.settings.IdleTimeout}
	v.http2.Serve(closedListener{}) // net/http configures HTTP/2 here, and ends
	v.http.TLSNextProto = v.http2.TLSNextProto
	v.http.RegisterOnShutdown(func() { v.http2.Shutdown(context.Background()) })
}

// closedListener is a listener without connections.
type closedListener struct{ net.Listener }

func (closedListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (closedListener) Close() error              { return nil }

// distribute gives connections to the loops, where there are any, and to net/http, until the
// server is stopped.
func (v *server) distribute() {
	defer close(v.forHTTP)
	defer v.securing.end()
	for {
		select {
		case c := <-v.listener.accepted:
			v.begin(c)
		case <-v.stopped:
			return
		}
	}
}

// begin serves a connection.
func (v *server) begin(c net.Conn) {
	if r, ok := c.(*resumed); ok {
		v.resume(r)
		return
	}
	plain, ok := c.(*wire.Conn)
	if ok && v.loops != nil && v.loops.Serve(clientio.NewConn(plain, v.set.heads)) {
		return
	}
	onLoop := v.listener.host(wire.Of(c))
	if t, ok := c.(*tls.Conn); ok && onLoop && v.loops != nil {
		v.securing.begin(t)
		return
	}
	v.forHTTP <- c
}

// secure makes the TLS handshake of a connection, which belongs to the loops if the client
// speaks HTTP/1.1 and they can protect its records.
func (v *server) secure(t *tls.Conn) {
	w := wire.Of(t)
	defer func() {
		if cause := recover(); cause != nil {
			v.panicked(cause, debug.Stack())
			w.Close()
		}
	}()
	w.OneRecord(true)
	if err := v.securing.finish(t, v.settings.HeaderTimeout); err != nil {
		serverLog{v.set.env.Log}.Write(fmt.Appendf(nil, "TLS handshake error from %s: %v", t.RemoteAddr(), err))
		w.Close()
		return
	}
	w.OneRecord(false)
	w.EndHandshake()
	if v.multiplexed(t) {
		v.forHTTP <- t
		return
	}
	about := v.abouts.of(t)
	state, ok := record.TakeFresh(t)
	if !ok {
		v.forHTTP <- t
		return
	}
	c := record.NewConn(w, about, &state, w.TakeAhead())
	if !v.loops.Serve(clientio.NewConn(c, v.set.heads)) {
		c.Close()
	}
}

// Accept, Close and Addr make the server a net.Listener for net/http.
func (v *server) Accept() (net.Conn, error) {
	if c, ok := <-v.forHTTP; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (v *server) Close() error { v.stop(); return nil }

func (v *server) Addr() net.Addr { return v.listener.net.Addr() }

// onLoops returns how plain connections are served on event loops.
func (v *server) onLoops() http1.Options {
	return http1.Options{
		MaxHeader: v.settings.MaxHeader, MaxFields: maxFields, HeaderTimeout: v.settings.HeaderTimeout, IdleTimeout: v.settings.IdleTimeout,
		Begin: func(c *clientio.Conn, r message.Request) http1.Exchange { return v.set.env.Begin(v.listener, c, r) },
		Refuse: func(ctx context.Context, c *clientio.Conn, w http.ResponseWriter, r message.Request, why *h1.Refusal) {
			v.set.env.Refuse(ctx, v.listener, c, w, r, why)
		},
		Panicked: v.panicked,
	}
}

// panicked logs a panic, which ends one connection.
func (v *server) panicked(cause any, stack []byte) {
	v.set.env.Log().Error().Str("listener", v.listener.name).Msgf("panic serving a connection: %v\n%s", cause, stack)
}

// bufferSize returns size, or less where the memory limit does not hold number of
// them, but at least the smallest window of HTTP/2.
func bufferSize(size, number int) int {
	return int(min(int64(size), max(debug.SetMemoryLimit(-1)/int64(number), minWindow)))
}

// run serves connections until the server is shut down.
func (v *server) run() {
	defer close(v.ended)
	go v.distribute()
	if err := v.http.Serve(v); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		v.set.env.Log().Error().Err(err).Str("listener", v.listener.name).Msg("server failed")
	}
}

// connState returns what follows a change in the state of a connection. A client may
// send unasked bytes without a request, and window bytes of bodies besides while it has
// streams open.
func (v *server) connState(unasked, window int64) func(net.Conn, http.ConnState) {
	return func(served net.Conn, s http.ConnState) {
		c := clientio.Of(served)
		switch s {
		case http.StateNew:
			v.starting.Add(1)
			v.unused.Store(served, nil)
			c.Allow(unasked)
			c.BeginHead()
		case http.StateActive:
			c.EndHead()
			if v.multiplexed(served) {
				c.AllowAtLeast(unasked + window)
			} else {
				c.LimitNextRequest()
			}
		case http.StateIdle:
			c.AllowAtMost(unasked + window) // bodies of streams that are over may still come
			if _, unused := v.unused.Load(served); unused {
				c.AllowAtMost(unasked)
			}
			c.BeginHead()
		case http.StateClosed:
			v.started(served)
			if c.Flooded() {
				v.set.env.Refused(Refusal{Listener: v.listener.name, Client: c.Wire.Peer().Addr(), Reason: Flood})
			}
		}
	}
}

// multiplexed reports whether c, whose TLS handshake is done, carries HTTP/2.
func (v *server) multiplexed(c net.Conn) bool {
	t, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	return ok && v.settings.HTTP2 && t.ConnectionState().NegotiatedProtocol == "h2"
}

// started is called for a connection that has its first request, or never will.
func (v *server) started(c net.Conn) {
	if _, ok := v.unused.LoadAndDelete(c); ok {
		v.starting.Done()
	}
}

// leave makes connections of HTTP/1.1 end with their next answer, and sends GOAWAY to those of HTTP/2.
// All are served as ever.
func (v *server) leave() {
	v.leaving.Store(true)
	if v.loops != nil {
		v.loops.Leave()
	}
	v.http2.Shutdown(context.Background()) // returns at once: it has no connections
}

// drain stops accepting and finishes the connections, as shutdown does. It first
// waits for the first request of each, until hurry is closed: net/http's own shutdown
// drops connections whose first request is on its way.
func (v *server) drain(ctx context.Context, hurry <-chan struct{}) {
	v.stop()
	select {
	case <-v.ended:
	case <-hurry:
	case <-ctx.Done():
	}
	v.http.SetKeepAlivesEnabled(false)
	started := make(chan struct{})
	go func() { // ends with the connections
		if v.loops != nil {
			v.loops.Drain(ctx)
		}
		v.starting.Wait()
		close(started)
	}()
	select {
	case <-started:
	case <-hurry:
	case <-ctx.Done():
	}
	v.shutdown(ctx)
}

// shutdown accepts no more connections and returns when the requests are answered.
// When ctx ends, it cuts those that are left.
func (v *server) shutdown(ctx context.Context) {
	v.stop()
	inTime := time.AfterFunc(handshakeTime, v.securing.hurry)
	defer inTime.Stop()
	defer context.AfterFunc(ctx, v.securing.hurry)()
	defer v.securing.hurry()
	var both sync.WaitGroup
	defer both.Wait()
	if v.loops != nil {
		<-v.ended // no connection comes any more
		both.Go(func() { v.loops.Shutdown(ctx) })
	}
	if v.http.Shutdown(ctx) != nil {
		v.http.Close()
	}
}

// serverLog takes what net/http logs. Most of it is about clients that do not speak
// HTTP, which is for debugging. Panics are errors.
type serverLog struct{ log func() *zerolog.Logger }

func (s serverLog) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	level := zerolog.DebugLevel
	if strings.Contains(text, "panic serving") {
		level = zerolog.ErrorLevel
	}
	s.log().WithLevel(level).Str("from", "net/http").Msg(text)
	return len(p), nil
}
