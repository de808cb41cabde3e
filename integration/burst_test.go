//go:build unix

package integration

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// A burst of connections loses none, and each loop gets its part of them.
func TestBurstOfConnects(t *testing.T) {
	if runtime.GOOS != "linux" || portable() {
		t.Skip("it needs event loops")
	}
	const connects, loops = 1000, 2
	t.Setenv("GOMAXPROCS", "2") // of the gateway
	b := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	g := start(t, "http: { engine: loops }\nroutes: [{ path: /*, backend: '"+b.Address+"' }]")
	var all sync.WaitGroup
	conns := make(chan net.Conn, connects)
	begin := make(chan struct{})
	for range connects {
		all.Go(func() {
			<-begin
			c, err := net.DialTimeout("tcp", g.http.Address, wstest.LongGuard)
			if err != nil {
				t.Error(err)
				return
			}
			conns <- c
			c.SetDeadline(time.Now().Add(wstest.LongGuard))
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || r.StatusCode != 200 {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
	close(begin)
	all.Wait()
	g.signal(syscall.SIGUSR1)
	for n := range loops {
		r := g.wait("status of a loop", func(r record) bool { return r["loop"] == float64(n) })
		// Connections to the backend are there too.
		if has, _ := r["connections"].(float64); has < 0.7*connects/loops {
			t.Errorf("loop %d has %v connections of %d", n, has, connects)
		}
	}
	close(conns)
	for c := range conns {
		c.Close()
	}
}
