package backend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/wire"
)

// named returns a pool of endpoints that nobody dials.
func named(names ...string) *Pool {
	var endpoints []Endpoint
	for _, n := range names {
		endpoints = append(endpoints, Endpoint{Name: n, Network: "tcp", Address: "127.0.0.1:1"})
	}
	return New("app", endpoints, Options{})
}

func acquire(t testing.TB, p *Pool, tried *Tried) *Lease {
	t.Helper()
	l, err := p.Acquire(tried)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// busy returns the counts of p in order of its endpoints.
func busy(p *Pool) (counts []int64) {
	for _, e := range p.endpoints {
		counts = append(counts, e.busy.Load())
	}
	return counts
}

func TestAcquirePicksTheLeastBusy(t *testing.T) {
	p := named("a", "b", "c")
	held := make(map[string][]*Lease)
	for range 9 {
		l := acquire(t, p, &Tried{})
		held[l.Endpoint()] = append(held[l.Endpoint()], l)
	}
	if got := busy(p); !slices.Equal(got, []int64{3, 3, 3}) {
		t.Fatalf("nine leases are spread as %v, want three each", got)
	}
	for _, l := range held["b"][:2] {
		l.Release()
	}
	for range 2 {
		if l := acquire(t, p, &Tried{}); l.Endpoint() != "b" || l.Backend() != "app" {
			t.Errorf("with %v busy the pick was %s of %s, want b of app", busy(p), l.Endpoint(), l.Backend())
		}
	}
}

func TestAcquireTakesTurnsOnTies(t *testing.T) {
	p := named("a", "b", "c")
	picks := make(map[string]int)
	for range 300 {
		l := acquire(t, p, &Tried{})
		picks[l.Endpoint()]++
		l.Release()
	}
	if picks["a"] != 100 || picks["b"] != 100 || picks["c"] != 100 {
		t.Errorf("300 requests one after the other went %v, want 100 each", picks)
	}
}

func TestAcquireSkipsWhatWasTried(t *testing.T) {
	for range 20 { // whichever comes first
		p := named("a", "b", "c")
		var tried Tried
		var last error
		seen := make(map[string]bool)
		for range 3 {
			l := acquire(t, p, &tried)
			if seen[l.Endpoint()] {
				t.Fatalf("%s was picked again after it had failed", l.Endpoint())
			}
			seen[l.Endpoint()] = true
			last = errors.New(l.Endpoint() + " is down")
			l.Fail(&tried, last)
		}
		if l, err := p.Acquire(&tried); l != nil || err != last {
			t.Fatalf("Acquire when all were tried = %v, %v; want %v, the last", l, err, last)
		}
		if got := busy(p); !slices.Equal(got, []int64{0, 0, 0}) {
			t.Fatalf("busy = %v after every lease failed, want none", got)
		}
		acquire(t, p, &Tried{}) // another request starts anew
	}
}

func TestReleaseCountsOnce(t *testing.T) {
	p := named("a")
	l, other := acquire(t, p, &Tried{}), acquire(t, p, &Tried{})
	l.Release()
	l.Release()
	l.Fail(&Tried{}, io.EOF)
	if got := busy(p); got[0] != 1 {
		t.Errorf("busy = %v after one of two leases was released three times, want 1", got)
	}
	other.Release()
	if got := busy(p); got[0] != 0 {
		t.Errorf("busy = %v, want 0", got)
	}
}

func TestCountsReturnToZero(t *testing.T) {
	p := named("a", "b", "c", "d")
	var running sync.WaitGroup
	for g := range 8 {
		running.Go(func() {
			for i := range 500 {
				var tried Tried
				for {
					l, err := p.Acquire(&tried)
					if err != nil {
						break
					}
					if (g+i)%3 == 0 {
						l.Fail(&tried, io.EOF)
						continue
					}
					var ends sync.WaitGroup // both sides of a session may report its end
					ends.Go(l.Release)
					ends.Go(l.Release)
					ends.Wait()
					break
				}
			}
		})
	}
	running.Wait()
	if got := busy(p); !slices.Equal(got, []int64{0, 0, 0, 0}) {
		t.Errorf("busy = %v, want none", got)
	}
}

// A pick costs the lease and nothing else.
func TestAcquireAllocatesOnlyTheLease(t *testing.T) {
	p := named("a", "b", "c")
	var tried Tried
	if n := testing.AllocsPerRun(100, func() { acquire(t, p, &tried).Release() }); n > 1 {
		t.Errorf("Acquire makes %v allocations, want 1", n)
	}
}

// one returns a lease of the only endpoint e.
func one(t testing.TB, e Endpoint, o Options) *Lease {
	t.Helper()
	e.Name = "e1"
	p := New("app", []Endpoint{e}, o)
	t.Cleanup(p.Close)
	l := acquire(t, p, &Tried{})
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

// refused is an address where nobody listens.
func refused(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
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
			c, err := one(t, tt.endpoint, Options{TakeRecords: true}).Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s, secure := c.(*tls.Conn)
			if wire.Of(c) == nil || secure != (tt.endpoint.TLS != nil) || secure && !s.ConnectionState().HandshakeComplete {
				t.Errorf("Dial = %T, TLS done %v; want a *wire.Conn, or a finished *tls.Conn over one", c, secure)
			}
			if _, ok := wire.Of(c).Recall(); ok != secure {
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
		{name: "refused", endpoint: Endpoint{Network: "tcp", Address: refused(t)}, text: "connection refused"},
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
			c, err := one(t, tt.endpoint, Options{ConnectTimeout: tt.timeout}).Dial(ctx)
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
	l := one(t, Endpoint{Network: "tcp", Address: listen(t, "tcp", "127.0.0.1:0"), TLS: &tls.Config{ServerName: "a.test"}}, Options{ConnectTimeout: time.Hour})
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
			l := one(t, tt.endpoint, Options{})
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
	l := one(t, Endpoint{Network: "tcp", Address: refused(t)}, Options{})
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
	p := New("app", []Endpoint{{Name: "e1", Network: "tcp", Address: s.Listener.Addr().String()}}, Options{})
	defer p.Close()
	l := acquire(t, p, &Tried{})
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

func TestSame(t *testing.T) {
	pool := func(edit func(name *string, e *Endpoint, o *Options)) *Pool {
		name, e, o := "app", Endpoint{Name: "e", Network: "tcp", Address: "a:1", TLS: &tls.Config{ServerName: "a"}}, Options{}
		if edit != nil {
			edit(&name, &e, &o)
		}
		return New(name, []Endpoint{e}, o)
	}
	_, roots := overTLS(t, http.NotFoundHandler())
	tests := []struct {
		name string
		edit func(name *string, e *Endpoint, o *Options)
		want bool
	}{
		{"unchanged", nil, true},
		{"the default written out", func(_ *string, _ *Endpoint, o *Options) { o.ConnectTimeout = 5 * time.Second }, true},
		{"name", func(n *string, _ *Endpoint, _ *Options) { *n = "other" }, false},
		{"timeout", func(_ *string, _ *Endpoint, o *Options) { o.ConnectTimeout = time.Second }, false},
		{"endpoint's name", func(_ *string, e *Endpoint, _ *Options) { e.Name = "f" }, false},
		{"address", func(_ *string, e *Endpoint, _ *Options) { e.Address = "a:2" }, false},
		{"network", func(_ *string, e *Endpoint, _ *Options) { e.Network = "unix" }, false},
		{"h2c", func(_ *string, e *Endpoint, _ *Options) { e.H2C = true }, false},
		{"no TLS", func(_ *string, e *Endpoint, _ *Options) { e.TLS = nil }, false},
		{"server name", func(_ *string, e *Endpoint, _ *Options) { e.TLS = &tls.Config{ServerName: "b"} }, false},
		{"authorities", func(_ *string, e *Endpoint, _ *Options) { e.TLS = &tls.Config{ServerName: "a", RootCAs: roots} }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pool(nil), pool(tt.edit)
			if a.Same(b) != tt.want || b.Same(a) != tt.want {
				t.Errorf("Same = %v and %v, want %v", a.Same(b), b.Same(a), tt.want)
			}
		})
	}
	if p := named("a", "b"); p.Same(nil) || p.Same(named("a")) || p.Same(named("b", "a")) || !p.Same(named("a", "b")) || !p.Has("b") || p.Has("c") {
		t.Error("Same or Has is wrong about a pool of a and b")
	}
}

func BenchmarkAcquire(b *testing.B) {
	p := named("a", "b", "c", "d", "e", "f", "g", "h")
	var tried Tried
	b.ReportAllocs()
	for b.Loop() {
		acquire(b, p, &tried).Release()
	}
}
