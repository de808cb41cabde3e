package backend

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// leaseOf returns a lease of a pool whose only endpoint is e.
func leaseOf(t testing.TB, e Endpoint) *Lease {
	t.Helper()
	e.Name = "e1"
	p := New("app", Settings{Endpoints: []Endpoint{e}}, nil)
	t.Cleanup(p.Close)
	l := acquire(t, p, Need{})
	t.Cleanup(l.Release)
	return l
}

// plainServer starts an HTTP server and returns its address.
func plainServer(t testing.TB) string {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestLeasesStayValidAfterClose(t *testing.T) {
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
			t.Errorf("the answer after Close = %q, %v; want ok", body, err)
		}
		res.Body.Close()
	}
	l.Release()
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
	request := func() {
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
	request()
	with.Balance, with.Endpoints = RoundRobin, []Endpoint{with.Endpoints[0], {Name: "e2", Network: "unix", Address: "/none", Drain: true}}
	p.Configure(with)
	request()
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections were opened; want that the first one is kept", n)
	}
	with.ConnectTimeout = time.Minute
	p.Configure(with)
	request()
	if n := opened.Load(); n != 2 {
		t.Errorf("%d connections were opened; want a second one because the endpoint is reached in another way", n)
	}
}

func TestTheServerOfAnEndpoint(t *testing.T) {
	for _, e := range []Endpoint{{Network: "tcp", Address: "127.0.0.1:80"}, {Network: "tcp", Address: "[::1]:80"}, {Network: "unix", Address: "/run/a.sock"}} {
		if got := leaseOf(t, e).Server(); got != e.Address {
			t.Errorf("Server of %s %s = %q", e.Network, e.Address, got)
		}
	}
}

// All connections to an endpoint count while they are open.
func TestConnectionsAreCounted(t *testing.T) {
	address := plainServer(t)
	l := leaseOf(t, Endpoint{Network: "tcp", Address: address})
	expect := func(what string, want int64) {
		t.Helper()
		if got := l.endpoint.open.Load(); got != want {
			t.Errorf("%d connections count %s; want %d", got, what, want)
		}
	}
	expect("at first", 0)
	session := acquire(t, l.pool, Need{})
	c, err := session.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expect("with one for a session", 1)
	r, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := l.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	expect("with one more that is kept for requests", 2)
	c.Close()
	expect("when the session's connection is closed but its lease is not released", 2)
	session.Release()
	session.Release()
	expect("when the lease is released", 1)
	l.pool.Close()
	expect("when no connection is kept", 0)
	if _, err := leaseOf(t, Endpoint{Network: "tcp", Address: wstest.Reserve(t)}).Dial(t.Context()); err == nil {
		t.Fatal("Dial = nil; want an error, nothing listens there")
	}
	expect("with one that failed", 0)
}
