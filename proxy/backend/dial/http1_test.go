package dial

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/http2"

	"sluice/internal/httpsyntax"
)

// An endpoint that speaks HTTP/2 alone sends its SETTINGS at once: before a request is written, or after.
func TestEndpointsThatSpeakHTTP2Alone(t *testing.T) {
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS()
	defer certificates.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certificates.Certificate())
	for name, tt := range map[string]struct{ secure, waits, slow, leaves bool }{
		"before the request":                {},
		"before the request, over TLS":      {secure: true},
		"before the request, byte for byte": {slow: true},
		"before the request, and leaves":    {leaves: true},
		"leaves, over TLS":                  {leaves: true, secure: true},
		"after the request":                 {waits: true},
		"after the request, over TLS":       {waits: true, secure: true},
		"after the request, byte for byte":  {waits: true, slow: true},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			spec := Spec{Network: "tcp", Address: l.Addr().String()}
			if tt.secure {
				l = tls.NewListener(l, &tls.Config{Certificates: certificates.TLS.Certificates})
				spec.TLS = &tls.Config{ServerName: "example.com", RootCAs: roots}
			}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						if tt.waits {
							c.Read(make([]byte, 4096))
						}
						f := http2.NewFramer(c, c)
						if tt.slow {
							f = http2.NewFramer(byteWriter{c}, c)
						}
						f.WriteSettings()
						f.WriteGoAway(0, http2.ErrCodeProtocol, nil)
						if tt.leaves { // with a reset, if the request has come
							return
						}
						io.Copy(io.Discard, c)
					}()
				}
			}()
			d := newDialer(t, spec)
			for range 20 {
				for _, body := range []string{"", "x", strings.Repeat("x", 1<<20)} {
					r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://a.test/", strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					if _, err := d.RoundTrip(r, nil); !errors.Is(err, httpsyntax.ErrHTTP2) {
						t.Fatalf("with a body of %d bytes: %v", len(body), err)
					}
				}
			}
		})
	}
}

// byteWriter writes each byte by itself.
type byteWriter struct{ io.Writer }

func (w byteWriter) Write(p []byte) (n int, err error) {
	for n = range p {
		if _, err = w.Writer.Write(p[n : n+1]); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// halves is a connection whose Writes fail, and whose Reads wait until one has.
type halves struct {
	net.Conn
	failed chan struct{} // closed by a Write
	in     io.Reader     // what is read then; nil for nothing
	over   <-chan struct{}
}

func (c *halves) Write([]byte) (int, error) {
	close(c.failed)
	return 0, syscall.EPIPE
}

func (c *halves) Read(p []byte) (int, error) {
	<-c.failed
	if c.in == nil {
		<-c.over
		return 0, io.EOF
	}
	return c.in.Read(p)
}

// A Write that fails before anything was read says what the endpoint has sent, if it sends something: whoever waits
// for that is not left waiting.
func TestWritesThatFailFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		in   io.Reader
		want error
	}{
		"HTTP/2":    {strings.NewReader("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), httpsyntax.ErrHTTP2},
		"HTTP/1.1":  {strings.NewReader("HTTP/1.1 400 Bad Request\r\n"), syscall.EPIPE},
		"an end":    {strings.NewReader(""), syscall.EPIPE},
		"a silence": {nil, syscall.EPIPE},
	} {
		t.Run(name, func(t *testing.T) {
			below := &halves{failed: make(chan struct{}), in: tt.in, over: t.Context().Done()}
			c := &requestConn{Conn: below, opening: httpsyntax.Opening{R: below}, begun: make(chan struct{})}
			go c.Read(make([]byte, 100))
			if n, err := c.Write([]byte("GET / HTTP/1.1")); n != 0 || err != tt.want {
				t.Errorf("Write() = %d, %v; want 0, %v", n, err, tt.want)
			}
		})
	}
}
