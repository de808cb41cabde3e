package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/wire"
)

const (
	headerTimeout = 10 * time.Second // for a request's head, and for a TLS handshake
	idleTimeout   = 2 * time.Minute  // between requests
	maxHeader     = 64 << 10
	maxBackoff    = time.Second // between accepts while descriptors are short
)

// listener is an address the gateway accepts on. It lives as long as the
// address is configured; how it serves may change under it.
type listener struct {
	name     string // as configured
	net      net.Listener
	server   *http.Server
	settings atomic.Pointer[settings]
	tls      *tls.Config     // lives with the listener: its ticket keys outlast reloads
	closed   context.Context // done once the listener is closed
	close    context.CancelFunc
	log      func() *zerolog.Logger
}

// settings is how a listener serves.
type settings struct{ tls, http2, redirectHTTPS bool }

func settingsOf(c *config.Listener) *settings {
	return &settings{tls: c.TLS, http2: c.HTTP2, redirectHTTPS: c.RedirectHTTPS}
}

// listen opens an address as configured.
func (g *Gateway) listen(name string, how *settings) (*listener, error) {
	network, address := "tcp", name
	if path, ok := strings.CutPrefix(name, "unix:"); ok {
		network, address = "unix", path
		removeStale(path)
	}
	ln, err := net.Listen(network, address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is in use: another program listens there", name)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("no permission to listen on %s: ports below 1024 need the CAP_NET_BIND_SERVICE capability", name)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", name, err)
	}
	l := &listener{name: name, net: ln, log: g.logger}
	l.closed, l.close = context.WithCancel(context.Background())
	l.settings.Store(how)
	l.tls = &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			store := g.current.Load().store
			if store == nil {
				return nil, errors.New("no certificate is configured")
			}
			return store.Config(l.settings.Load().http2), nil
		},
	}
	l.server = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(l, w, r) }),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(serverLog{g.logger}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, wireKey{}, wire.Of(c))
		},
	}
	return l, nil
}

// removeStale removes the socket of a listener that is gone.
func removeStale(path string) {
	if info, err := os.Stat(path); err != nil || info.Mode()&os.ModeSocket == 0 {
		return
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(path)
	}
}

// wireKey is the context key of a connection's *wire.Conn.
type wireKey struct{}

// address returns where the listener really listens, as a client dials it.
func (l *listener) address() string {
	if a := l.net.Addr(); a.Network() != "unix" {
		return a.String()
	}
	return "unix:" + l.net.Addr().String()
}

// serve accepts until the listener is closed.
func (l *listener) serve() {
	if err := l.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		l.log().Error().Err(err).Str("listener", l.name).Msg("listener failed")
	}
}

// shutdown stops accepting and waits until requests are done or ctx ends, when
// they are cut.
func (l *listener) shutdown(ctx context.Context) {
	l.close()
	if l.server.Shutdown(ctx) != nil {
		l.server.Close()
	}
	l.net.Close() // if it never served
}

// Accept returns the next connection. Shortage of descriptors or memory is
// waited out: it is said once, and again when it is over.
func (l *listener) Accept() (net.Conn, error) {
	delay := 5 * time.Millisecond
	short := false
	for {
		c, err := l.net.Accept()
		if err == nil {
			if short {
				l.log().Info().Str("listener", l.name).Msg("accepting connections again")
			}
			return l.wrap(c), nil
		}
		if !temporary(err) {
			return nil, err
		}
		if !short {
			short = true
			l.log().Error().Err(err).Str("listener", l.name).Msg(
				"cannot accept connections: the process is out of file descriptors or memory; raise its limit (ulimit -n, LimitNOFILE=)")
		}
		select {
		case <-time.After(delay):
		case <-l.closed.Done():
			return nil, net.ErrClosed
		}
		delay = min(2*delay, maxBackoff)
	}
}

func temporary(err error) bool {
	for _, e := range [...]error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.ECONNABORTED, syscall.EINTR,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (l *listener) wrap(c net.Conn) net.Conn {
	if l.settings.Load().tls {
		return tls.Server(wire.NewTLS(c), l.tls)
	}
	return wire.New(c)
}

// Close and Addr complete the net.Listener that the server accepts from.
func (l *listener) Close() error   { return l.net.Close() }
func (l *listener) Addr() net.Addr { return l.net.Addr() }

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

func (l *listener) port() string {
	_, port, _ := net.SplitHostPort(l.net.Addr().String())
	return port
}
