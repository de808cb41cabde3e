package admin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Browser lets a browser use the interface that a client asks. A browser can open no Unix socket and
// shows no token, so it gets a listener of its own on the loopback interface. What protects that is
// a key that works once: the browser gets a cookie for it.
type Browser struct {
	client   *Client
	listener net.Listener
	host     string // of the listener, host:port
	path     string // below which it serves: browsers send a cookie to all ports of a host, but only below its path
	cookie   string // its name
	secret   string // its value

	mu  sync.Mutex
	key string // "" once it was used
}

// How it is noticed that the gateway is gone.
const (
	goneEvery = time.Second // between two questions whether the gateway still answers
	goneAfter = 3           // so many without an answer mean that it does not
)

// NewBrowser opens a listener on a free port of the loopback interface.
func NewBrowser(c *Client) (*Browser, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &Browser{
		client: c, listener: limitConns(l, maxConns), host: l.Addr().String(), path: "/" + rand.Text(), cookie: "sluice",
		secret: rand.Text(), key: rand.Text(),
	}, nil
}

// URL returns the address to open. It works once.
func (b *Browser) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return "http://" + b.host + b.path + "/?key=" + b.key
}

// Run serves until ctx ends, or the gateway does not answer any more, which is an error.
func (b *Browser) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler: b.handler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(nowhere{}, "", 0), BaseContext: func(net.Listener) context.Context { return ctx }, ConnContext: withPeer,
	}
	var gone error
	var wg sync.WaitGroup
	wg.Go(func() {
		gone = b.awaitEnd(ctx)
		cancel()
		server.Close()
	})
	failed := server.Serve(b.listener)
	if ctx.Err() != nil { // it was closed above
		failed = nil
	}
	cancel()
	wg.Wait()
	return errors.Join(failed, gone)
}

// nowhere takes what net/http says of connections that browsers end.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// awaitEnd returns when ctx ends, or with an error when the gateway does not answer any more.
func (b *Browser) awaitEnd(ctx context.Context) error {
	tick := time.NewTicker(goneEvery)
	defer tick.Stop()
	for missing := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		status, err := b.client.Do(ctx, http.MethodGet, "/healthz", nil, nil)
		if status != 0 {
			missing = 0
			continue
		}
		if missing++; missing == goneAfter && ctx.Err() == nil {
			return fmt.Errorf("the gateway has stopped, or has closed its interface: %w", err)
		}
	}
}

// handler checks requests, and sends those of the browser that has shown the key to the gateway.
func (b *Browser) handler() http.Handler {
	proxy := b.proxy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if err := b.check(r); err != nil {
			writeError(w, err)
			return
		}
		rest, below := strings.CutPrefix(r.URL.Path, b.path)
		if !below || !strings.HasPrefix(rest, "/") {
			writeError(w, &failure{http.StatusNotFound, "there is nothing here: open the address that 'sluice dashboard' has printed"})
			return
		}
		if key := r.URL.Query().Get("key"); rest == "/" && key != "" && r.Method == http.MethodGet {
			if !b.spend(key) {
				writeError(w, &failure{http.StatusForbidden, "this address has been used already, or is not the one that was printed: run 'sluice dashboard' again"})
				return
			}
			http.SetCookie(w, &http.Cookie{Name: b.cookie, Value: b.secret, Path: b.path, HttpOnly: true, SameSite: http.SameSiteStrictMode})
			http.Redirect(w, r, b.path+"/dashboard", http.StatusSeeOther)
			return
		}
		if !b.knows(r) {
			writeError(w, &failure{http.StatusForbidden, "this browser has not opened the address that 'sluice dashboard' has printed: run it again, and open its address here"})
			return
		}
		if rest == "/" {
			http.Redirect(w, r, b.path+"/dashboard", http.StatusSeeOther)
			return
		}
		if c, _ := r.Context().Value(connKey{}).(*limitedConn); c != nil {
			c.requests.Add(1)
			defer c.requests.Add(-1)
		}
		// The gateway sets its own.
		for _, name := range []string{"Cache-Control", "Referrer-Policy", "X-Content-Type-Options", "X-Frame-Options"} {
			h.Del(name)
		}
		proxy.ServeHTTP(w, r)
	})
}

// check returns why a request may not come from the operator's browser, or nil.
func (b *Browser) check(r *http.Request) error {
	host, port, err := net.SplitHostPort(r.Host)
	_, own, _ := net.SplitHostPort(b.host)
	if err != nil || port != own || host != "127.0.0.1" && !strings.EqualFold(host, "localhost") {
		return &failure{http.StatusMisdirectedRequest, "the host " + shorten(r.Host) + " is not this dashboard: open the address that 'sluice dashboard' has printed"}
	}
	if wrong := crossSite(r); wrong != "" {
		return &failure{http.StatusForbidden, wrong}
	}
	return nil
}

// spend reports whether a key is the right one, and makes it worthless.
func (b *Browser) spend(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.key == "" || subtle.ConstantTimeCompare([]byte(key), []byte(b.key)) != 1 {
		return false
	}
	b.key = ""
	return true
}

// knows reports whether a request has the cookie.
func (b *Browser) knows(r *http.Request) bool {
	c, err := r.Cookie(b.cookie)
	return err == nil && subtle.ConstantTimeCompare([]byte(c.Value), []byte(b.secret)) == 1
}

// proxy sends requests to the gateway as the client would.
func (b *Browser) proxy() http.Handler {
	target, err := url.Parse(b.client.base)
	if err != nil {
		panic(err) // the client has made it
	}
	transport := b.client.http.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // events arrive at once
		ErrorLog:      log.New(nowhere{}, "", 0),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Path = strings.TrimPrefix(p.In.URL.Path, b.path)
			p.Out.URL.RawPath = strings.TrimPrefix(p.In.URL.EscapedPath(), b.path)
			p.SetURL(target)
			p.Out.Host = target.Host
			h := p.Out.Header
			h.Del("Cookie")
			h.Del("Authorization")
			h.Del("Referer")
			if h.Get("Origin") != "" { // it was this listener's: now it is the gateway's
				h.Set("Origin", target.Scheme+"://"+target.Host)
			}
			if b.client.token != "" {
				h.Set("Authorization", "Bearer "+b.client.token)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			writeError(w, &failure{http.StatusBadGateway, b.client.failed(err).Error()})
		},
	}
}
