package backend

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// one returns a lease of the only endpoint e.
func one(t testing.TB, e Endpoint, o Settings) *Lease {
	t.Helper()
	e.Name = "e1"
	o.Endpoints = []Endpoint{e}
	p := New("app", o, nil)
	t.Cleanup(p.Close)
	l := acquire(t, p, Need{})
	t.Cleanup(l.Release)
	return l
}

// listen accepts connections and holds them until the test ends.
func listen(t testing.TB, network, address string) string {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				io.Copy(io.Discard, c)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); running.Wait() })
	return ln.Addr().String()
}

// overTLS is an HTTPS server, and what trusts it.
func overTLS(t testing.TB, h http.Handler) (address string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.Listener.Addr().String(), roots
}

func TestDial(t *testing.T) {
	secure, roots := overTLS(t, http.NotFoundHandler())
	socket := filepath.Join(t.TempDir(), "s")
	listen(t, "unix", socket)
	tests := []struct {
		name     string
		endpoint Endpoint
	}{
		{"plain", Endpoint{Network: "tcp", Address: listen(t, "tcp", "127.0.0.1:0")}},
		{"unix", Endpoint{Network: "unix", Address: socket}},
		{"TLS", Endpoint{Network: "tcp", Address: secure, TLS: &tls.Config{ServerName: "example.com", RootCAs: roots}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := one(t, tt.endpoint, Settings{TakeRecords: true}).Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s, secure := c.(*tls.Conn)
			if wire.Of(c) == nil || secure != (tt.endpoint.TLS != nil) || secure && !s.ConnectionState().HandshakeComplete {
				t.Errorf("Dial = %T, TLS done %v; want a *wire.Conn, or a finished *tls.Conn over one", c, secure)
			}
			if _, ok := wire.Of(c).TakeCapture(); ok != secure {
				t.Errorf("the connection remembers its handshake: %v; want %v", ok, secure)
			}
		})
	}
}

func TestDialErrors(t *testing.T) {
	secure, roots := overTLS(t, http.NotFoundHandler())
	silent := listen(t, "tcp", "127.0.0.1:0")
	gone := errors.New("the client is gone")
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(gone)
	trusting := &tls.Config{ServerName: "example.com", RootCAs: roots}
	tests := []struct {
		name     string
		endpoint Endpoint
		ctx      context.Context
		timeout  time.Duration
		is       error
		text     string
		timedOut bool
	}{
		{name: "refused", endpoint: Endpoint{Network: "tcp", Address: wstest.Reserve(t)}, text: "connection refused"},
		{name: "no socket", endpoint: Endpoint{Network: "unix", Address: filepath.Join(t.TempDir(), "none")}, text: "no such file"},
		{name: "plain server", endpoint: Endpoint{Network: "tcp", Address: plain(t), TLS: trusting}, text: "TLS handshake: "},
		{name: "unknown authority", endpoint: Endpoint{Network: "tcp", Address: secure, TLS: &tls.Config{ServerName: "example.com", RootCAs: x509.NewCertPool()}}, text: "TLS handshake: "},
		{name: "wrong name", endpoint: Endpoint{Network: "tcp", Address: secure, TLS: &tls.Config{ServerName: "other.test", RootCAs: roots}}, text: "other.test"},
		{name: "TLS that does not answer", endpoint: Endpoint{Network: "tcp", Address: silent, TLS: trusting}, timeout: 20 * time.Millisecond, is: context.DeadlineExceeded, text: "no connection within 20ms", timedOut: true},
		{name: "cancelled", endpoint: Endpoint{Network: "tcp", Address: silent}, ctx: ended, is: gone, text: "gone"},
		{name: "cancelled before TLS", endpoint: Endpoint{Network: "tcp", Address: silent, TLS: trusting}, ctx: ended, is: gone, text: "gone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := tt.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			c, err := one(t, tt.endpoint, Settings{ConnectTimeout: tt.timeout}).Dial(ctx)
			var d *DialError
			if c != nil || !errors.As(err, &d) || d.Backend != "app" || d.Endpoint != "e1" {
				t.Fatalf("Dial = %v, %v; want a *DialError that names both", c, err)
			}
			if !strings.HasPrefix(err.Error(), "backend app: endpoint e1: ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Dial = %v; want backend, endpoint and %q", err, tt.text)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Dial = %v; want %v in it", err, tt.is)
			}
			var timeout interface{ Timeout() bool }
			if got := errors.As(err, &timeout) && timeout.Timeout(); got != tt.timedOut {
				t.Errorf("Dial = %v, a timeout: %v; want %v", err, got, tt.timedOut)
			}
		})
	}
}

// plain is a server that answers everything with one line that is not TLS.
func plain(t testing.TB) string {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// Who gives up while a connection is being made does not wait for it.
func TestDialEndsWithItsContext(t *testing.T) {
	l := one(t, Endpoint{Network: "tcp", Address: listen(t, "tcp", "127.0.0.1:0"), TLS: &tls.Config{ServerName: "a.test"}}, Settings{ConnectTimeout: time.Hour})
	gone := errors.New("the client is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { _, err := l.Dial(ctx); done <- err }()
	cancel(gone)
	if err := <-done; !errors.Is(err, gone) {
		t.Errorf("Dial = %v, want %v", err, gone)
	}
}

func TestRoundTrip(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %s", r.Proto, r.Host, r.RequestURI, r.Header.Get("Accept-Encoding"))
	})
	secure, roots := overTLS(t, answer)
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(answer)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	local := httptest.NewUnstartedServer(answer)
	local.Listener.Close()
	local.Listener = ln
	local.Start()
	t.Cleanup(local.Close)
	tests := []struct {
		name     string
		endpoint Endpoint
	}{
		{"plain", Endpoint{Network: "tcp", Address: s.Listener.Addr().String()}},
		{"unix", Endpoint{Network: "unix", Address: socket}},
		{"TLS", Endpoint{Network: "tcp", Address: secure, TLS: &tls.Config{ServerName: "example.com", RootCAs: roots, NextProtos: []string{"http/1.1"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := one(t, tt.endpoint, Settings{})
			for range 5 {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/x%2Fy?z", nil)
				res, err := l.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if string(body) != "HTTP/1.1 a.test /x%2Fy?z " || err != nil {
					t.Errorf("the backend saw %q, %v", body, err)
				}
			}
		})
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("five requests one after the other took %d connections, want 1", n)
	}
}

// A request that reached no endpoint can go to the next: its body is whole.
func TestRoundTripToNobodyReadsNothing(t *testing.T) {
	l := one(t, Endpoint{Network: "tcp", Address: wstest.Reserve(t)}, Settings{})
	body := strings.NewReader("body")
	r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://a.test/", io.NopCloser(body))
	res, err := l.RoundTrip(r)
	var d *DialError
	if !errors.As(err, &d) || d.Endpoint != "e1" || body.Len() != 4 {
		t.Errorf("RoundTrip = %v, %v with %d bytes of the body left; want a *DialError and all 4", res, err, body.Len())
	}
}

func TestCloseLeavesLeasesValid(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	t.Cleanup(s.Close)
	p := New("app", Settings{Endpoints: []Endpoint{{Name: "e1", Network: "tcp", Address: s.Listener.Addr().String()}}}, nil)
	defer p.Close()
	l := acquire(t, p, Need{})
	for range 2 {
		p.Close()
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/", nil)
		res, err := l.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); string(body) != "ok" || err != nil {
			t.Errorf("behind Close: %q, %v", body, err)
		}
		res.Body.Close()
	}
	l.Release()
}

// A WebSocket asks over HTTP/1.1 whatever requests go over.
func TestHTTP2(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })
	roots := x509.NewCertPool()
	serve := func(tls, h2 bool) string {
		s := httptest.NewUnstartedServer(answer)
		s.EnableHTTP2 = h2
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetHTTP2(h2)
		s.Config.Protocols.SetUnencryptedHTTP2(h2)
		if tls {
			s.StartTLS()
			roots.AddCert(s.Certificate())
		} else {
			s.Start()
		}
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
		return s.Listener.Addr().String()
	}
	trusting := &tls.Config{ServerName: "example.com", RootCAs: roots}
	tests := []struct {
		name     string
		endpoint Endpoint
		want     string
	}{
		{"over TLS", Endpoint{Network: "tcp", Address: serve(true, true), TLS: trusting, HTTP2: true}, "HTTP/2.0"},
		{"not wanted", Endpoint{Network: "tcp", Address: serve(true, true), TLS: trusting}, "HTTP/1.1"},
		{"not offered", Endpoint{Network: "tcp", Address: serve(true, false), TLS: trusting, HTTP2: true}, "HTTP/1.1"},
		{"in the clear", Endpoint{Network: "tcp", Address: serve(false, true), HTTP2: true}, "HTTP/2.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := one(t, tt.endpoint, Settings{})
			for range 2 {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/", nil)
				res, err := l.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if string(body) != tt.want || err != nil {
					t.Errorf("a request went over %q, %v; want %s", body, err, tt.want)
				}
			}
			c, err := l.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
			if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.ProtoMajor != 1 {
				t.Errorf("Dial's connection answered %v, %v; want HTTP/1.1", res, err)
			}
		})
	}
}

// prefixes is a server that takes a connection, tells the first n bytes of it
// and answers as HTTP.
func prefixes(t *testing.T, n int) (address string, heard <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan string, 8)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				head := make([]byte, n)
				io.ReadFull(c, head)
				all <- string(head)
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Close: "+fmt.Sprint(r.Close)+"\r\n\r\nok")
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); running.Wait() })
	return ln.Addr().String(), all
}

func TestPROXYHeaders(t *testing.T) {
	v2 := "\r\n\r\n\x00\r\nQUIT\n"
	parse := netip.MustParseAddrPort
	tests := []struct {
		name           string
		version        int
		client, server netip.AddrPort
		want           string
	}{
		{"v1", 1, parse("192.0.2.1:1000"), parse("192.0.2.2:443"), "PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n"},
		{"v1 of IPv6", 1, parse("[2001:db8::1]:1000"), parse("[2001:db8::2]:443"), "PROXY TCP6 2001:db8::1 2001:db8::2 1000 443\r\n"},
		{"v1 of both", 1, parse("[2001:db8::1]:1000"), parse("192.0.2.2:443"), "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 1000 443\r\n"},
		{"v1 of both, the other way", 1, parse("192.0.2.1:1000"), parse("[2001:db8::2]:443"), "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1000 443\r\n"},
		{"v1 of nobody", 1, netip.AddrPort{}, parse("192.0.2.2:443"), "PROXY UNKNOWN\r\n"},
		{"v2", 2, parse("192.0.2.1:1000"), parse("192.0.2.2:443"), v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x01\xbb"},
		{"v2 of both", 2, parse("[::ffff:192.0.2.1]:1"), parse("192.0.2.2:2"), v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02"},
		{"v2 of nobody", 2, netip.AddrPort{}, netip.AddrPort{}, v2 + "\x20\x00\x00\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address, heard := prefixes(t, len(tt.want))
			s := Settings{Endpoints: []Endpoint{{Name: "e1", Network: "tcp", Address: address, PROXY: tt.version}}}
			l := acquire(t, New("app", s, nil), Need{Client: tt.client, Server: tt.server})
			c, err := l.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := <-heard; got != tt.want {
				t.Errorf("Dial wrote %q, want %q", got, tt.want)
			}
			for range 2 { // each on a connection of its own
				r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/", nil)
				res, err := l.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if got := <-heard; got != tt.want || res.Header.Get("X-Close") != "true" {
					t.Errorf("RoundTrip wrote %q with close %s, want %q and true", got, res.Header.Get("X-Close"), tt.want)
				}
			}
		})
	}
}

// A host is reached over whichever of its addresses works.
func TestDualStack(t *testing.T) {
	alive, dead := listen(t, "tcp", "127.0.0.1:0"), wstest.Reserve(t)
	tests := []struct {
		name, first, second string
		ok                  bool
	}{
		{"the first", alive, dead, true},
		{"the second", dead, alive, true},
		{"both", alive, alive, true},
		{"none", dead, dead, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLink(way{backend: "app", endpoint: "e1", network: "tcp", first: tt.first, second: tt.second, timeout: wstest.Guard}, nil, new(atomic.Int64))
			l.fallback = time.Hour // a first one that fails does not let the second wait
			c, err := l.connect(t.Context(), nil, overHTTP1)
			if (err == nil) != tt.ok || err == nil && c.RemoteAddr().String() != alive {
				t.Fatalf("connect = %v, %v", c, err)
			}
			if err == nil {
				c.Close()
			}
		})
	}
}

func TestConnectionsOutliveAConfiguration(t *testing.T) {
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	with := Settings{Endpoints: []Endpoint{{Name: "e1", Network: "tcp", Address: s.Listener.Addr().String()}}}
	p := New("app", with, nil)
	t.Cleanup(p.Close)
	ask := func() {
		t.Helper()
		l := acquire(t, p, Need{})
		defer l.Release()
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/", nil)
		res, err := l.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	ask()
	with.Balance, with.Endpoints = RoundRobin, []Endpoint{with.Endpoints[0], {Name: "e2", Network: "unix", Address: "/none", Drain: true}}
	p.Configure(with)
	ask()
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections were opened, want the one to stay", n)
	}
	with.ConnectTimeout = time.Minute
	p.Configure(with)
	ask()
	if n := opened.Load(); n != 2 {
		t.Errorf("%d connections were opened, want a second one for another way", n)
	}
}
