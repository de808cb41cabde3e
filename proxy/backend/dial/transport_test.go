package dial

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/internal/wstest"
)

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
		name string
		spec Spec
	}{
		{"plain", Spec{Network: "tcp", Address: s.Listener.Addr().String()}},
		{"Unix socket", Spec{Network: "unix", Address: socket}},
		{"TLS", Spec{Network: "tcp", Address: secure, TLS: &tls.Config{ServerName: "example.com", RootCAs: roots, NextProtos: []string{"http/1.1"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialer(t, tt.spec)
			for range 5 {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/x%2Fy?z", nil)
				res, err := d.RoundTrip(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if string(body) != "HTTP/1.1 a.test /x%2Fy?z " || err != nil {
					t.Errorf("the endpoint saw %q, %v", body, err)
				}
			}
		})
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("five requests one after the other took %d connections; want 1", n)
	}
}

// A request that reached no endpoint can go to another: its body is whole.
func TestRoundTripReadsNoBodyIfTheEndpointIsUnreachable(t *testing.T) {
	d := newDialer(t, Spec{Network: "tcp", Address: wstest.Reserve(t)})
	body := strings.NewReader("body")
	r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://a.test/", io.NopCloser(body))
	res, err := d.RoundTrip(r, nil)
	var unreachable *Error
	if !errors.As(err, &unreachable) || unreachable.Endpoint != "e1" || body.Len() != 4 {
		t.Errorf("RoundTrip = %v, %v with %d bytes of the body left; want an *Error and all 4", res, err, body.Len())
	}
}

// Dial connects for HTTP/1.1, whatever requests go over.
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
		name string
		spec Spec
		want string
	}{
		{"over TLS", Spec{Network: "tcp", Address: serve(true, true), TLS: trusting, HTTP2: true}, "HTTP/2.0"},
		{"not wanted by the Spec", Spec{Network: "tcp", Address: serve(true, true), TLS: trusting}, "HTTP/1.1"},
		{"not offered by the endpoint", Spec{Network: "tcp", Address: serve(true, false), TLS: trusting, HTTP2: true}, "HTTP/1.1"},
		{"in the clear", Spec{Network: "tcp", Address: serve(false, true), HTTP2: true}, "HTTP/2.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialer(t, tt.spec)
			for range 2 {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/", nil)
				res, err := d.RoundTrip(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if string(body) != tt.want || err != nil {
					t.Errorf("a request went over %q, %v; want %s", body, err, tt.want)
				}
			}
			c, err := d.Dial(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
			if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.ProtoMajor != 1 {
				t.Errorf("the answer on the connection of Dial = %v, %v; want HTTP/1.1", res, err)
			}
		})
	}
}
