package dial

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// newDialer returns a dialer for the endpoint e1 of the backend app, and closes
// it when the test ends.
func newDialer(t testing.TB, s Spec) *Dialer {
	t.Helper()
	s.Backend, s.Endpoint = "app", "e1"
	s.Authority = cmp.Or(s.Authority, s.Address)
	s.Timeout = cmp.Or(s.Timeout, 5*time.Second)
	d := New(s, new(atomic.Int64), nil)
	t.Cleanup(d.Close)
	return d
}

// listen accepts connections and reads from them until the test ends.
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

// overTLS starts an HTTPS server and returns its address and the roots that
// verify it.
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
		name string
		spec Spec
	}{
		{"plain", Spec{Network: "tcp", Address: listen(t, "tcp", "127.0.0.1:0")}},
		{"Unix socket", Spec{Network: "unix", Address: socket}},
		{"TLS", Spec{Network: "tcp", Address: secure, TLS: &tls.Config{ServerName: "example.com", RootCAs: roots}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.TakeRecords = true
			c, err := newDialer(t, tt.spec).Dial(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s, secure := c.(*tls.Conn)
			if wire.Of(c) == nil || secure != (tt.spec.TLS != nil) || secure && !s.ConnectionState().HandshakeComplete {
				t.Errorf("Dial = %T, TLS handshake done: %v; want a *wire.Conn, or a *tls.Conn over one after its handshake", c, secure)
			}
			if _, ok := wire.Of(c).TakeCapture(); ok != secure {
				t.Errorf("the connection has recorded its handshake: %v; want %v", ok, secure)
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
		spec     Spec
		ctx      context.Context
		timeout  time.Duration
		is       error
		text     string
		timedOut bool
	}{
		{name: "refused", spec: Spec{Network: "tcp", Address: wstest.Reserve(t)}, text: "connection refused"},
		{name: "no such socket", spec: Spec{Network: "unix", Address: filepath.Join(t.TempDir(), "none")}, text: "no such file"},
		{name: "a server without TLS", spec: Spec{Network: "tcp", Address: plain(t), TLS: trusting}, text: "TLS handshake: "},
		{name: "unknown authority", spec: Spec{Network: "tcp", Address: secure, TLS: &tls.Config{ServerName: "example.com", RootCAs: x509.NewCertPool()}}, text: "TLS handshake: "},
		{name: "wrong name", spec: Spec{Network: "tcp", Address: secure, TLS: &tls.Config{ServerName: "other.test", RootCAs: roots}}, text: "other.test"},
		{name: "a TLS server that does not answer", spec: Spec{Network: "tcp", Address: silent, TLS: trusting}, timeout: 20 * time.Millisecond, is: context.DeadlineExceeded, text: "no connection within 20ms", timedOut: true},
		{name: "cancelled", spec: Spec{Network: "tcp", Address: silent}, ctx: ended, is: gone, text: "gone"},
		{name: "cancelled before TLS", spec: Spec{Network: "tcp", Address: silent, TLS: trusting}, ctx: ended, is: gone, text: "gone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := tt.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			tt.spec.Timeout = tt.timeout
			c, err := newDialer(t, tt.spec).Dial(ctx, nil)
			var d *Error
			if c != nil || !errors.As(err, &d) || d.Backend != "app" || d.Endpoint != "e1" {
				t.Fatalf("Dial = %v, %v; want an *Error that names both", c, err)
			}
			if !strings.HasPrefix(err.Error(), "backend app: endpoint e1: ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Dial = %v; want the backend, the endpoint and %q", err, tt.text)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Dial = %v; want an error that wraps %v", err, tt.is)
			}
			var timeout interface{ Timeout() bool }
			if got := errors.As(err, &timeout) && timeout.Timeout(); got != tt.timedOut {
				t.Errorf("Dial = %v, which is a timeout: %v; want %v", err, got, tt.timedOut)
			}
		})
	}
}

// plain starts an HTTP server without TLS and returns its address.
func plain(t testing.TB) string {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// Dial returns when its context ends, in the middle of a TLS handshake too.
func TestDialEndsWithItsContext(t *testing.T) {
	d := newDialer(t, Spec{Network: "tcp", Address: listen(t, "tcp", "127.0.0.1:0"), TLS: &tls.Config{ServerName: "a.test"}, Timeout: time.Hour})
	gone := errors.New("the client is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { _, err := d.Dial(ctx, nil); done <- err }()
	cancel(gone)
	if err := <-done; !errors.Is(err, gone) {
		t.Errorf("Dial = %v, want %v", err, gone)
	}
}
