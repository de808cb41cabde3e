package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"sluice/internal/tracing/tracingtest"
)

// An answer that the backend has cut has a status, and has failed all the same.
func TestCutAnswersAreTracedAsFailures(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	go func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			c.Close()
		}
	}()
	onBothEngines(t, func(t *testing.T, engine string) {
		c := tracingtest.NewCollector(t, nil)
		g, address := start(t, engine+fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: %s
routes: [{name: app, path: /*, backend: "%s"}]
`, c.URL, backend.Addr()))
		client := connect(t, address)
		io.WriteString(client, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
		if _, err := io.Copy(io.Discard, client); err != nil {
			t.Fatal(err)
		}
		g.stop()
		for _, name := range []string{"GET app", "try"} {
			s := c.AwaitSpan(t, name)
			if s.Values["http.response.status_code"] != "200" || s.Values["error.type"] != "_OTHER" || s.Status == nil || s.Status.Message == "" {
				t.Errorf("%v", s.Span)
			}
		}
	})
}

// The server of a request is what the client asked for, also where a proxy in front says that; the
// server of a try is where the endpoint is, however that is written.
func TestServersAreTraced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip("no Unix sockets: ", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go server.Serve(l)
	defer server.Close()
	onBothEngines(t, func(t *testing.T, engine string) {
		c := tracingtest.NewCollector(t, nil)
		g, address := start(t, engine+fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: %s
trusted_proxies: [127.0.0.1]
routes: [{name: app, path: /*, backend: "unix:%s"}]
`, c.URL, socket))
		getOn(t, connect(t, address), "/", "X-Forwarded-Proto: https", "X-Forwarded-Host: public.test")
		g.stop()
		root, try := c.AwaitSpan(t, "GET app"), c.AwaitSpan(t, "try")
		if root.Values["server.address"] != "public.test" || root.Values["server.port"] != "" || root.Values["url.scheme"] != "https" {
			t.Errorf("the request: %v", root.Values)
		}
		if try.Values["server.address"] != socket || try.Values["server.port"] != "" || try.Values["sluice.endpoint"] != "unix:"+socket {
			t.Errorf("the try: %v", try.Values)
		}
	})
}
