package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// silent is a backend that takes requests and never answers. Each request goes to asked.
func silent(t *testing.T) (address string, asked <-chan *http.Request) {
	t.Helper()
	requests := make(chan *http.Request, 8)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests <- r
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), requests
}

// send opens a connection and writes text to it.
func send(t *testing.T, address, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(wstest.Guard))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// answered reads the head and the body of an answer.
func answered(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func TestShutdownDoesNotWaitForPROXYHeaders(t *testing.T) {
	g, address := start(t, `
listeners: [{address: "127.0.0.1:0", proxy_protocol: true, timeouts: {header: 10m}}]
trusted_proxies: [127.0.0.1]
shutdown_timeout: 100ms
routes: [{path: /*, respond: {body: hello}}]
`)
	mute := send(t, address, "")
	answered(t, send(t, address, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"+get)) // so the first was accepted
	g.stop()
	cutUnanswered(t, mute)
}

// cutUnanswered checks that the gateway has ended a connection without an answer.
func cutUnanswered(t *testing.T, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection read %q, %v; want its end", b, err)
	}
}

func TestShutdownTimeoutHoldsForServersOfEarlierSettings(t *testing.T) {
	backend, asked := silent(t)
	text := `
listeners: [{address: "127.0.0.1:0", timeouts: {idle: %s}}]
shutdown_timeout: %s
routes: [{path: /*, backend: "` + backend + `"}]
`
	g, address := start(t, fmt.Sprintf(text, "1m", "10m"))
	waiting := send(t, address, get)
	request := <-asked
	g.apply(fmt.Sprintf(text, "2m", "10m"))
	g.apply(fmt.Sprintf(text, "2m", "100ms"))
	g.stop()
	cutUnanswered(t, waiting)
	select {
	case <-request.Context().Done():
	case <-time.After(wstest.Guard):
		t.Error("the backend still waits with its request")
	}
}

func TestApplyAfterShutdownFails(t *testing.T) {
	text := `
listeners: [{address: "127.0.0.1:0"}]
routes: [{path: /*, respond: {body: hello}}]
`
	g, _ := start(t, text)
	g.stop()
	cfg, result := parse(t, text), make(chan error)
	go func() {
		_, err := g.Apply(cfg)
		result <- err
	}()
	select {
	case err := <-result:
		if !errors.Is(err, ErrStopped) {
			t.Errorf("Apply = %v; want %v", err, ErrStopped)
		}
	case <-time.After(wstest.Guard):
		t.Error("Apply does not return")
	}
}

// Open connections count, whatever the configuration was when they were opened.
func TestConnectionLimitsHoldAcrossReloads(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"another limit changes", "connections_per_ip: 1", "connections_per_ip: 1, request_rate: 1000/s"},
		{"lower", "connections_per_ip: 9", "connections_per_ip: 1"},
		{"on", "request_rate: 1000/s", "connections_per_ip: 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := `
listeners: [{address: "127.0.0.1:0", %s}]
routes: [{path: /*, backend: "` + echo(t) + `"}]
`
			g, address := start(t, fmt.Sprintf(text, tt.before))
			session := dial(t, address, "/")
			exchange1(t, session)
			g.apply(fmt.Sprintf(text, tt.after))
			cutUnanswered(t, send(t, address, "")) // a second connection
			exchange1(t, session)
			session.Close()
			g.await(`"session ended"`)
			for { // the count comes back once the session's sockets are closed
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprint(c, get)
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				c.Close()
				if err == nil {
					res.Body.Close()
					break
				}
			}
		})
	}
}

func TestMaxConnectionsHoldsAcrossReloads(t *testing.T) {
	text := `
listeners: [{address: "127.0.0.1:0", max_connections: %d}]
routes: [{path: /*, backend: "` + echo(t) + `"}]
`
	g, address := start(t, fmt.Sprintf(text, 3))
	first, second := dial(t, address, "/"), dial(t, address, "/")
	g.apply(fmt.Sprintf(text, 2))
	send(t, address, "") // may be the one that was waited for before
	waiting := send(t, address, get)
	waiting.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := waiting.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection too many read %d bytes, %v; want it to wait", n, err)
	}
	first.Close()
	second.Close()
	waiting.SetReadDeadline(time.Now().Add(wstest.Guard))
	answered(t, waiting)
}

func TestHandshakesHaveVia(t *testing.T) {
	got := make(chan http.Header, 2)
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(refuse.Close)
	_, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
via: true
routes: [{path: /no, backend: "%s"}, {path: /yes, backend: "%s"}]
`, refuse.Listener.Addr(), echo(t)))
	handshake := "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	for path, status := range map[string]int{"/no": 403, "/yes": 101} {
		res, err := http.ReadResponse(bufio.NewReader(send(t, address, fmt.Sprintf(handshake, path))), nil)
		if err != nil {
			t.Fatal(err)
		}
		if via := res.Header.Values("Via"); res.StatusCode != status || len(via) != 1 || via[0] != "1.1 sluice" {
			t.Errorf("%s: status %d, Via %q; want %d and 1.1 sluice", path, res.StatusCode, via, status)
		}
	}
	if via := (<-got).Values("Via"); len(via) != 1 || via[0] != "1.1 sluice" {
		t.Errorf("the backend saw Via %q; want 1.1 sluice", via)
	}
}

// Where a proxy in front may have seen another end of a request, the connection ends
// with the answer, whether a route, CORS or the gateway itself gives it.
func TestNoAnswerKeepsAConnectionAfterAnAmbiguousRequest(t *testing.T) {
	_, address := start(t, `
listeners: [{address: "127.0.0.1:0"}]
routes:
  - {path: /a, methods: [GET], respond: {body: hello}, cors: {origins: ["https://a.test"]}}
  - {path: /b, respond: {body: hello}, cors: {origins: ["https://a.test"]}}
`)
	for _, target := range []string{"/a", "/b", "*"} {
		c := send(t, address, "OPTIONS "+target+" HTTP/1.1\r\nHost: x\r\nOrigin: https://a.test\r\nAccess-Control-Request-Method: GET\r\n"+
			"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+get)
		b, err := io.ReadAll(c)
		if err != nil || strings.Count(string(b), "HTTP/1.1 ") != 1 {
			t.Errorf("OPTIONS %s: got %q, %v; want one answer and the end", target, b, err)
		}
	}
}
