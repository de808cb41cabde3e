package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rs/zerolog"

	"sluice/config"
)

// BenchmarkForward is a GET of 1 KiB through the gateway on kept connections,
// client and backend in the same process.
func BenchmarkForward(b *testing.B) {
	body := make([]byte, 1024)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	defer backend.Close()
	cfg, err := config.Parse("bench.yaml", fmt.Appendf(nil, `
listeners: [{address: "127.0.0.1:0"}]
log: {access: false}
routes: [{path: /*, backend: "%s"}]
`, backend.Listener.Addr()), config.Options{})
	if err != nil {
		b.Fatal(err)
	}
	g := New(func(config.Log) zerolog.Logger { return zerolog.Nop() })
	change, err := g.Apply(cfg)
	if err != nil {
		b.Fatal(err)
	}
	go g.Run(b.Context())
	c, err := net.Dial("tcp", change.Listeners[0].Address)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	b.ReportAllocs()
	for b.Loop() {
		io.WriteString(c, "GET /x HTTP/1.1\r\nHost: a.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			b.Fatal(err)
		}
	}
}
