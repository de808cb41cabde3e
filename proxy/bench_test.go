package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"sluice/config"
)

// forwarded is a GET through a gateway on kept connections, again and again, with client and
// backend in the same process: neither allocates anything.
type forwarded struct {
	client  net.Conn
	request []byte
	answer  []byte // memory for what comes
	length  int    // of an answer
}

// newForwarded starts a backend that answers with size bytes, and a gateway before it, with more sections
// in its configuration.
func newForwarded(tb testing.TB, engine string, size int, more ...string) *forwarded {
	tb.Helper()
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
	address := startForwarding(tb, engine, "{}", func(c net.Conn) { answerAll(c, answer) }, more...)
	f := &forwarded{request: []byte("GET /x HTTP/1.1\r\nHost: a.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"), answer: make([]byte, 4096+size)}
	var err error
	if f.client, err = net.Dial("tcp", address); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.client.Close() })
	f.length = -1
	f.once(tb, size)
	return f
}

// startForwarding starts a backend that does serve with each connection, and a gateway before it, with
// more sections in its configuration and that of its tls. It returns the gateway's address.
func startForwarding(tb testing.TB, engine, tls string, serve func(net.Conn), more ...string) (address string) {
	tb.Helper()
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { backend.Close() })
	go func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	cfg, err := config.Parse("bench.yaml", fmt.Appendf(nil, `
http: {engine: %s}
listeners: [{address: "127.0.0.1:0", tls: %t}]
tls: %s
log: {access: false}
routes: [{path: /*, backend: "%s"}]
%s`, engine, tls != "{}", tls, backend.Addr(), strings.Join(more, "\n")), config.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	g := New(func(config.Log) zerolog.Logger { return zerolog.Nop() }, Options{})
	change, err := g.Apply(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	go g.Run(tb.Context(), tb.Context())
	return change.Listeners[0].Address
}

// answerAll answers every request that comes, each of which has no body and comes at once.
func answerAll(c net.Conn, answer []byte) {
	defer c.Close()
	in := make([]byte, 4096)
	for {
		if n, err := c.Read(in); err != nil || !bytes.HasSuffix(in[:n], []byte("\r\n\r\n")) {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// once asks once. The first answer tells how long the others are.
func (f *forwarded) once(tb testing.TB, size int) {
	if _, err := f.client.Write(f.request); err != nil {
		tb.Fatal(err)
	}
	if f.length >= 0 {
		if _, err := io.ReadFull(f.client, f.answer[:f.length]); err != nil {
			tb.Fatal(err)
		}
		return
	}
	for n := 0; ; {
		m, err := f.client.Read(f.answer[n:])
		if err != nil {
			tb.Fatal(err)
		}
		n += m
		if end := bytes.Index(f.answer[:n], []byte("\r\n\r\n")); end >= 0 && n == end+4+size {
			f.length = n
			return
		}
	}
}

// BenchmarkForward is a GET of 1 KiB, and the same with tracing.
func BenchmarkForward(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer collector.Close()
	traced := func(share string) string {
		return fmt.Sprintf("tracing: {endpoint: %s, sample: %s}", collector.URL, share)
	}
	for _, tt := range []struct{ name, engine, more string }{
		{"loops", "loops", ""}, {"go", "go", ""},
		{"loops, not sampled", "loops", traced("0%")}, {"loops, sampled", "loops", traced("100%")},
	} {
		b.Run(tt.name, func(b *testing.B) {
			f := newForwarded(b, tt.engine, 1024, tt.more)
			b.ReportAllocs()
			for b.Loop() {
				f.once(b, 1024)
			}
		})
	}
}
