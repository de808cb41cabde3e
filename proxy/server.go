package proxy

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/wire"
)

// server is HTTP on the connections of a listener. Other settings need another
// one; the connections of the old one finish there.
type server struct {
	http     *http.Server
	settings serverSettings
	listener *listener
	stopped  chan struct{}
	stop     func()
}

const (
	// A stream whose backend does not read holds its own buffer and not those
	// of its siblings: it takes many to stop a connection.
	streamBuffer     = 256 << 10
	connectionBuffer = 16 << 20
	writeTimeout     = 30 * time.Second // without a byte taken by an HTTP/2 client
)

// wireKey is the context key of a connection's *wire.Conn.
type wireKey struct{}

func (g *Gateway) newServer(l *listener, s serverSettings) *server {
	v := &server{settings: s, listener: l, stopped: make(chan struct{})}
	v.stop = sync.OnceFunc(func() { close(v.stopped) })
	v.http = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(l, w, r) }),
		ReadHeaderTimeout: s.headerTimeout,
		IdleTimeout:       s.idleTimeout,
		MaxHeaderBytes:    s.maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          s.maxStreams,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReceiveBufferPerConnection: connectionBuffer,
			WriteByteTimeout:              writeTimeout,
		},
		ErrorLog: log.New(serverLog{g.logger}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, wireKey{}, wire.Of(c))
		},
	}
	return v
}

// serve takes connections until the server is shut down.
func (v *server) serve() {
	if err := v.http.Serve(v); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		v.listener.log().Error().Err(err).Str("listener", v.listener.name).Msg("server failed")
	}
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
