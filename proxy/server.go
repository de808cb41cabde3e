package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/limit"
	"sluice/internal/wire"
	"sluice/proxy/forward"
)

// server is HTTP on the connections of a listener. Other settings need another
// one; the connections of the old one finish there.
type server struct {
	http     *http.Server
	settings serverSettings
	listener *listener
	stopped  chan struct{}
	stop     func()
	ended    chan struct{}  // closed when no more connections come
	fresh    sync.Map       // of net.Conn: those without a request yet
	starting sync.WaitGroup // the same, to wait for
}

const (
	// A stream whose backend does not read holds its own buffer and not those
	// of its siblings: it takes many to stop a connection.
	streamBuffer     = 256 << 10
	connectionBuffer = 16 << 20
	// Where memory is short, all of it holds so many of either.
	streamsInMemory     = 8 << 10
	connectionsInMemory = 64
	writeTimeout        = mostCredit // without a byte taken by an HTTP/2 client
	maxFrame            = 16 << 10   // of HTTP/2, as every client expects

	// A head may be longer than the limit by so much and still get an answer.
	headSlack = 4

	// What a client sends over HTTP/2 may be so many times what its requests
	// hold, and so much more, beside what the windows let it send ahead: what is
	// beyond asks for nothing, such as frames without content.
	payloadShare = 8
	freeBytes    = 256 << 10
)

// connection is what is known of a client's connection, over all its requests.
type connection struct {
	net.Conn // as net/http has it
	wire     *wire.Conn

	requests, given atomic.Int32 // given up by the client before they were answered
}

// began notes a request, and lets the client send what belongs to it: of a body as
// much as comes before it is read.
func (c *connection) began(r *http.Request) {
	c.requests.Add(1)
	if r.ProtoMajor == 1 {
		c.wire.AllowAll()
		return
	}
	ahead := int64(streamBuffer)
	if r.ContentLength >= 0 {
		ahead = min(ahead, r.ContentLength)
	}
	c.wire.Allow(payloadShare*forward.HeadSize(r) + 2*ahead)
}

// taken and came return how many bytes the client has taken and sent so far.
func (c *connection) taken() int64 { taken, _ := c.wire.Progress(); return taken }
func (c *connection) came() int64  { _, came := c.wire.Progress(); return came }

// Requests that a client may give up on one HTTP/2 connection before that
// looks like an attack (CVE-2023-44487): so many, and half of all.
const maxGivenUp = 200

// giveUp notes a request that the client gave up. A connection that does little
// else is closed.
func (c *connection) giveUp() {
	if n := c.given.Add(1); n > maxGivenUp && n > c.requests.Load()/2 {
		c.wire.Cut()
	}
}

// connectionKey is the context key of a *connection.
type connectionKey struct{}

func connectionOf(r *http.Request) *connection {
	return r.Context().Value(connectionKey{}).(*connection)
}

func (g *Gateway) newServer(l *listener, s serverSettings) *server {
	v := &server{settings: s, listener: l, stopped: make(chan struct{}), ended: make(chan struct{})}
	v.stop = sync.OnceFunc(func() { close(v.stopped) })
	stream, window := bufferSize(streamBuffer, streamsInMemory), bufferSize(connectionBuffer, connectionsInMemory)
	v.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v.started(connectionOf(r).Conn)
			g.serve(l, w, r)
		}),
		ConnState:         v.connState(g, freeBytes+headSlack*int64(s.maxHeader), int64(window)),
		ReadHeaderTimeout: s.headerTimeout,
		IdleTimeout:       s.idleTimeout,
		MaxHeaderBytes:    headSlack * s.maxHeader, // screened again
		// No request may go past serve.
		DisableGeneralOptionsHandler: true,

		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          s.maxStreams,
			MaxReceiveBufferPerStream:     stream,
			MaxReceiveBufferPerConnection: window,
			MaxReadFrameSize:              maxFrame,
			WriteByteTimeout:              writeTimeout,
		},
		ErrorLog: log.New(serverLog{g.logger}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, &connection{Conn: c, wire: wire.Of(c)})
		},
	}
	return v
}

// tellFloods logs that connections were closed.
func (g *Gateway) tellFloods(listener string, since, total uint64) {
	g.logger().Warn().Str("listener", listener).Uint64("connections", since).Uint64("total", total).Msg(
		"connections closed: their clients sent far more over HTTP/2 than their requests held")
}

// bufferSize returns size, or less where the memory limit does not hold number of
// them: 64 KiB at least, the smallest window of HTTP/2.
func bufferSize(size, number int) int {
	return int(min(int64(size), max(debug.SetMemoryLimit(-1)/int64(number), 64<<10)))
}

// serve takes connections until the server is shut down.
func (v *server) serve() {
	defer close(v.ended)
	if err := v.http.Serve(v); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		v.listener.log().Error().Err(err).Str("listener", v.listener.name).Msg("server failed")
	}
}

// connState returns what is to be done when the state of a connection changes. Idle
// is what a client may send without a request, in bytes, and window how much of
// bodies besides while it has streams open.
func (v *server) connState(g *Gateway, idle, window int64) func(net.Conn, http.ConnState) {
	return func(c net.Conn, s http.ConnState) {
		w := wire.Of(c)
		switch s {
		case http.StateNew:
			v.starting.Add(1)
			v.fresh.Store(c, nil)
			w.Allow(idle)
			w.BeginHead(headsOf{g.heads, limit.Key(w.Peer().Addr())})
		case http.StateActive:
			w.EndHead()
			if v.multiplexed(c) {
				w.AllowAtLeast(idle + window)
				return
			}
			// For what net/http answers, and reads, without a handler.
			now := time.Now()
			c.SetReadDeadline(now.Add(grace))
			c.SetWriteDeadline(now.Add(lastTime))
		case http.StateIdle:
			w.AllowAtMost(idle + window) // bodies of streams that are over may still come
			if _, fresh := v.fresh.Load(c); fresh {
				w.AllowAtMost(idle)
			}
			w.BeginHead(headsOf{g.heads, limit.Key(w.Peer().Addr())})
		case http.StateClosed:
			v.started(c)
			if w.Flooded() {
				g.floods.count(v.listener.name)
			}
		}
	}
}

// multiplexed reports whether c, whose handshake is done, carries HTTP/2.
func (v *server) multiplexed(c net.Conn) bool {
	t, ok := c.(*tls.Conn)
	return ok && v.settings.http2 && t.ConnectionState().NegotiatedProtocol == "h2"
}

// started is for a connection that has its first request, or never will.
func (v *server) started(c net.Conn) {
	if _, ok := v.fresh.LoadAndDelete(c); ok {
		v.starting.Done()
	}
}

// replaced lets another server take what comes. Then it is as shutdown, which
// alone would drop the connections whose first request is on its way: net/http
// does not serve them any more. They are not waited for after hurry.
func (v *server) replaced(ctx context.Context, hurry <-chan struct{}) {
	v.stop()
	<-v.ended
	v.http.SetKeepAlivesEnabled(false)
	started := make(chan struct{})
	go func() { v.starting.Wait(); close(started) }() // ends with the connections
	select {
	case <-started:
	case <-hurry:
	case <-ctx.Done():
	}
	v.shutdown(ctx)
}

// shutdown takes no more connections, and waits until requests are done or ctx
// ends, when they are cut.
func (v *server) shutdown(ctx context.Context) {
	v.stop()
	if v.http.Shutdown(ctx) != nil {
		v.http.Close()
	}
}

// Accept, Close and Addr make the server a net.Listener for net/http.
func (v *server) Accept() (net.Conn, error) {
	select {
	case c := <-v.listener.accepted:
		return c, nil
	case <-v.stopped:
		return nil, net.ErrClosed
	}
}

func (v *server) Close() error { v.stop(); return nil }

func (v *server) Addr() net.Addr { return v.listener.net.Addr() }

// serverLog takes what net/http has to say: mostly about clients that are no
// clients, which is for debugging, and about panics, which are not.
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
