package dial

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// ask sends a request, with a body if there is one, and returns the answer's body.
func ask(t *testing.T, d *Dialer, body ...string) string {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/", nil)
	for _, text := range body {
		r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
	res, err := d.RoundTrip(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// A connection carries as many requests as the Spec says. The last one tells the endpoint to
// close it; an endpoint that does not is not asked over it again, but with a body that could not
// be sent twice.
func TestRequestsOfAConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var said []string // what the requests say of their connection
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			said = append(said, "new")
			for in := bufio.NewReader(c); ; { // to the end of the connection, whatever the request says
				r, err := http.ReadRequest(in)
				if err != nil {
					break
				}
				how := "keep"
				if r.Close {
					how = "close"
				}
				said = append(said, how)
				io.Copy(io.Discard, r.Body)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
			c.Close()
		}
	})
	d := newDialer(t, Spec{Network: "tcp", Address: ln.Addr().String(), KeepAlive: KeepAlive{Requests: 2}})
	for range 4 {
		ask(t, d)
	}
	ask(t, d, "a body")
	ask(t, d)
	d.Close()
	ln.Close()
	running.Wait()
	if want := []string{"new", "keep", "close", "new", "keep", "close", "close", "new", "keep"}; !slices.Equal(said, want) {
		t.Errorf("the endpoint saw %q; want %q", said, want)
	}
}

// A connection of HTTP/2 is for all requests, whatever is kept over HTTP/1.1.
func TestKeepAliveOverHTTP2(t *testing.T) {
	for name, overTLS := range map[string]bool{"TLS": true, "in the clear": false} {
		t.Run(name, func(t *testing.T) {
			var opened atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
			s.EnableHTTP2 = true
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetHTTP2(true)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					opened.Add(1)
				}
			}
			spec := Spec{Network: "tcp", HTTP2: true, KeepAlive: KeepAlive{Idle: -1, Requests: 2}}
			if overTLS {
				s.StartTLS()
				roots := x509.NewCertPool()
				roots.AddCert(s.Certificate())
				spec.TLS = &tls.Config{ServerName: "example.com", RootCAs: roots}
			} else {
				s.Start()
			}
			t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
			spec.Address = s.Listener.Addr().String()
			d := newDialer(t, spec)
			for range 5 {
				if proto := ask(t, d); proto != "HTTP/2.0" {
					t.Errorf("a request went over %s", proto)
				}
			}
			if n := opened.Load(); n != 1 {
				t.Errorf("five requests took %d connections; want 1", n)
			}
		})
	}
}
