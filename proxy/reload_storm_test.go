package proxy

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/internal/wstest"
)

func TestReloadsLoseNoConnections(t *testing.T) {
	text := `
listeners: [{address: "127.0.0.1:0", timeouts: {idle: %ds}, max_connections: %d, connections_per_ip: 60}]
routes: [{path: /ws, backend: "` + echo(t) + `"}, {path: /*, respond: {body: hello}}]
`
	g, address := start(t, fmt.Sprintf(text, 1, 50))
	var clients sync.WaitGroup
	var done atomic.Bool
	for range 4 {
		clients.Go(func() {
			c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: wstest.Guard}
			for !done.Load() {
				res, err := c.Get("http://" + address + "/")
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
	clients.Go(func() {
		for !done.Load() {
			c := dial(t, address, "/ws")
			exchange1(t, c)
			c.Close()
		}
	})
	for i := range 200 { // other settings each time: another server
		g.apply(fmt.Sprintf(text, 1+i%7, 40+i%11))
	}
	done.Store(true)
	clients.Wait()
}
