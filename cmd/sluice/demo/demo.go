// Package demo is the backend of "sluice demo": a page that uses WebSockets, an
// echo and a small chat, and the configuration that puts the gateway in front of
// them. It knows nothing of the gateway: it is an ordinary backend. A hostile
// client cannot hurt it, because the demo may be shown to an audience.
package demo

import (
	"context"
	"embed"
	"errors"
	"net"
	"net/http"
	"time"
)

//go:embed assets
var assets embed.FS

const (
	maxSockets      = 256              // open WebSockets, echo and chat together
	maxHeaderBytes  = 16 << 10         // of a request
	requestTimeout  = 5 * time.Second  // to read a request
	responseTimeout = 10 * time.Second // to write a response
	keepAlive       = time.Minute      // of an idle HTTP connection
	policy          = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; " +
		"connect-src 'self' ws: wss:; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)

// server holds what the handlers share.
type server struct {
	config []byte
	hub    *hub
	slots  chan struct{} // holds one element for each open WebSocket
}

// Serve answers on l until ctx ends: the page at /, the echo at /ws/echo, the
// chat at /ws/chat, and config at /assets/config.yaml, which the page shows as
// the configuration of its gateway. When ctx ends, open WebSockets end with 1001,
// and Serve returns nil after the last one, within seconds. It closes l.
func Serve(ctx context.Context, l net.Listener, config []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newServer(config)
	h := &http.Server{
		Handler:           s.handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      responseTimeout,
		IdleTimeout:       keepAlive,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(stopped)
		// ctx has ended; requests that are being answered get the usual time.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), responseTimeout)
		defer cancel()
		if h.Shutdown(grace) != nil {
			h.Close()
		}
	})
	err := h.Serve(l)
	cancel()
	<-stopped
	s.wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func newServer(config []byte) *server {
	return &server{config: config, hub: newHub(), slots: make(chan struct{}, maxSockets)}
}

// wait returns when no WebSocket is open. After that none can open.
func (s *server) wait() {
	for range cap(s.slots) {
		s.slots <- struct{}{}
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		serveAsset(w, r, "page.html")
	})
	mux.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) {
		serveAsset(w, r, r.PathValue("name"))
	})
	mux.HandleFunc("GET /assets/config.yaml", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(s.config)
	})
	mux.HandleFunc("GET /ws/echo", s.limited(echo))
	mux.HandleFunc("GET /ws/chat", s.limited(s.hub.chat))
	return mux
}

// limited lets at most maxSockets calls of next run at once.
func (s *server) limited(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "10")
			http.Error(w, "the demo has no free WebSocket", http.StatusServiceUnavailable)
		}
	}
}

// serveAsset answers with an embedded file.
func serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeFileFS(w, r, assets, "assets/"+name)
}
