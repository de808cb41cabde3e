package forward

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/header"
	"sluice/internal/message"
	"sluice/internal/wstest"
)

// gateway is a server that forwards all requests to one backend.
type gateway struct {
	*httptest.Server
	results chan Result
}

// backendAt is the transport to the backend at one address.
type backendAt struct {
	address   string
	transport *http.Transport
}

func (b backendAt) RoundTrip(r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = "http", b.address
	return b.transport.RoundTrip(r)
}

// newGateway returns a gateway in front of address, which is not started. Each
// edit may change an exchange.
func newGateway(t testing.TB, address string, edits ...func(*Exchange)) *gateway {
	t.Helper()
	g := &gateway{results: make(chan Result, 64)}
	b := backendAt{address, &http.Transport{DisableCompression: true, ExpectContinueTimeout: wstest.Guard}}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := from(r, netip.MustParseAddr("192.0.2.1"))
		origin := NewOrigin(m, false, func(netip.Addr) bool { return false })
		x := &Exchange{Backend: b, Path: r.URL.EscapedPath(), Origin: &origin, ID: "id", Edit: func(*header.Fields) {}}
		for _, edit := range edits {
			edit(x)
		}
		result := x.Do(w, m)
		g.results <- result
		switch {
		case result.Err == nil:
		case result.Status != 0:
			panic(http.ErrAbortHandler)
		default:
			http.Error(w, result.Err.Error(), http.StatusBadGateway)
		}
	}))
	g.EnableHTTP2 = true
	t.Cleanup(func() {
		g.CloseClientConnections()
		g.Close()
		b.transport.CloseIdleConnections()
	})
	return g
}

// startGateway starts a gateway that speaks plain HTTP/1.1.
func startGateway(t testing.TB, address string, edits ...func(*Exchange)) *gateway {
	t.Helper()
	g := newGateway(t, address, edits...)
	g.Start()
	return g
}

// result returns how the next exchange ended.
func (g *gateway) result(t testing.TB) Result {
	t.Helper()
	select {
	case r := <-g.results:
		return r
	case <-time.After(wstest.Guard):
		t.Fatal("the exchange has not ended")
		panic("unreachable")
	}
}

// dial returns a raw connection to g.
func (g *gateway) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", g.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(wstest.Guard))
	return c
}

// serveHTTP starts a backend with the handler h.
func serveHTTP(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.Listener.Addr().String()
}

// serveRaw starts a backend that calls h for each connection and then closes it.
func serveRaw(t testing.TB, h func(c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(wstest.Guard))
				h(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}

// answerWith starts a backend that reads the head of each request and answers with
// text.
func answerWith(t testing.TB, text string) string {
	return serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			io.WriteString(c, text)
		}
	})
}

// ask sends the request text on a new connection and reads one answer.
func ask(t testing.TB, g *gateway, text string) (*http.Response, string, error) {
	t.Helper()
	c := g.dial(t)
	io.WriteString(c, text)
	method, _, _ := strings.Cut(text, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRequestHead(t *testing.T) {
	heads := make(chan string, 1)
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		var head strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if head.WriteString(line); line == "\r\n" {
				break
			}
		}
		heads <- head.String()
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	const host = "Host: a.test:81\r\n"
	set := func(name, value string) func(*Exchange) {
		return func(x *Exchange) { x.Edit = func(h *header.Fields) { h.SetName(name, value) } }
	}
	tests := []struct {
		name, request string
		edit          func(*Exchange)
		start         string
		has           []string // complete lines
		lacks         []string // parts that must not be there
	}{
		{name: "plain", request: "GET / HTTP/1.1\r\n" + host + "\r\n", start: "GET / HTTP/1.1", has: []string{"Host: a.test:81"}, lacks: []string{"User-Agent", "Accept-Encoding", "Content-Length", "Connection"}},
		{name: "HTTP/1.0", request: "GET / HTTP/1.0\r\n" + host + "\r\n", start: "GET / HTTP/1.1"},
		{name: "escapes", request: "GET /a%2Fb%5Cc//d%20%41/. HTTP/1.1\r\n" + host + "\r\n", start: "GET /a%2Fb%5Cc//d%20%41/. HTTP/1.1"},
		{name: "two slashes first", request: "GET //evil.test/x HTTP/1.1\r\n" + host + "\r\n", start: "GET //evil.test/x HTTP/1.1"},
		{name: "every literal byte", request: "GET /-._~!$&'()*+,;=:@ HTTP/1.1\r\n" + host + "\r\n", start: "GET /-._~!$&'()*+,;=:@ HTTP/1.1"},
		{name: "the query is not changed", request: "GET /?a;b&c=%zz&%2f=%&q=é\"+ HTTP/1.1\r\n" + host + "\r\n", start: "GET /?a;b&c=%zz&%2f=%&q=é\"+ HTTP/1.1"},
		{name: "empty query", request: "GET /? HTTP/1.1\r\n" + host + "\r\n", start: "GET /? HTTP/1.1"},
		{name: "the route's path", request: "GET /old?q HTTP/1.1\r\n" + host + "\r\n", edit: func(x *Exchange) { x.Path = "/new%2F//" }, start: "GET /new%2F//?q HTTP/1.1"},
		{name: "an unknown method", request: "PURGE / HTTP/1.1\r\n" + host + "\r\n", start: "PURGE / HTTP/1.1"},
		{name: "Host set", request: "GET / HTTP/1.1\r\n" + host + "\r\n", edit: set("Host", "b.test"), start: "GET / HTTP/1.1", has: []string{"Host: b.test", "X-Forwarded-Host: a.test:81"}},
		{name: "absolute target", request: "GET http://b.test/x HTTP/1.1\r\n" + host + "\r\n", start: "GET /x HTTP/1.1", has: []string{"Host: b.test"}},
		{name: "hop-by-hop headers", request: "GET / HTTP/1.1\r\n" + host + "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy: evil\r\nUpgrade: h2c\r\nTE: gzip\r\nX-Kept: 1\r\n\r\n",
			start: "GET / HTTP/1.1", has: []string{"X-Kept: 1"}, lacks: []string{"X-Hop", "Keep-Alive", "Proxy", "Upgrade", "TE:", "Te:", "evil"}},
		{name: "TE: trailers", request: "GET / HTTP/1.1\r\n" + host + "TE: gzip;q=1, trailers\r\nConnection: TE\r\n\r\n", start: "GET / HTTP/1.1", has: []string{"Te: trailers"}},
		{name: "forwarding headers are replaced", request: "GET / HTTP/1.1\r\n" + host + "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: gopher\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Port: 666\r\n\r\n",
			start: "GET / HTTP/1.1", has: []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: a.test:81", "X-Forwarded-Proto: http"}, lacks: []string{"6.6.6.6", "evil", "gopher", "666"}},
		{name: "forwarding headers with underscores are removed", request: "GET / HTTP/1.1\r\n" + host + "X_Forwarded_For: 6.6.6.6\r\nx-forwarded_host: evil\r\nX_REAL_IP: 6.6.6.6\r\nX_Kept: 1\r\n\r\n",
			start: "GET / HTTP/1.1", has: []string{"X_kept: 1"}, lacks: []string{"6.6.6.6", "evil"}},
		{name: "Connection cannot remove forwarding headers", request: "GET / HTTP/1.1\r\n" + host + "Connection: X-Forwarded-For, X-Forwarded-Proto\r\n\r\n", start: "GET / HTTP/1.1", has: []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var edits []func(*Exchange)
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			g := startGateway(t, address, edits...)
			res, body, err := ask(t, g, tt.request)
			if err != nil || res.StatusCode != 204 {
				t.Fatalf("answer = %v %q, %v; want 204", res, body, err)
			}
			head := <-heads
			lines := strings.Split(head, "\r\n")
			if lines[0] != tt.start {
				t.Errorf("request line %q; want %q", lines[0], tt.start)
			}
			for _, line := range tt.has {
				if !slices.Contains(lines, line) {
					t.Errorf("no line %q in the head %q", line, head)
				}
			}
			for _, part := range tt.lacks {
				if strings.Contains(head, part) {
					t.Errorf("%q is in the head %q; want it removed", part, head)
				}
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	tests := []struct {
		name, request, answer string
		status                int
		body                  string
		has                   http.Header // a nil value must not be there
	}{
		{name: "200", request: get, answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/x\r\n\r\nhi", status: 200, body: "hi", has: http.Header{"Content-Type": {"text/x"}, "Content-Length": {"2"}}},
		{name: "chunked", request: get, answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", status: 200, body: "hi"},
		{name: "until the connection ends", request: get, answer: "HTTP/1.1 200 OK\r\n\r\nhi", status: 200, body: "hi"},
		{name: "no Content-Type is added", request: get, answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", status: 200, body: "<html>", has: http.Header{"Content-Type": nil}},
		{name: "compressed bodies stay compressed", request: get, answer: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", status: 200, body: "xx", has: http.Header{"Content-Encoding": {"gzip"}}},
		{name: "HEAD", request: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nContent-Type: text/x\r\n\r\n", status: 200, has: http.Header{"Content-Length": {"1234"}, "Content-Type": {"text/x"}}},
		{name: "HEAD without a length", request: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", status: 200, has: http.Header{"Content-Length": nil}},
		{name: "204", request: get, answer: "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", status: 204, has: http.Header{"X-A": {"1"}, "Content-Length": nil}},
		{name: "304", request: get, answer: "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nContent-Length: 99\r\n\r\n", status: 304, has: http.Header{"Etag": {`"x"`}}},
		{name: "several values", request: get, answer: "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", status: 200, has: http.Header{"Set-Cookie": {"a", "b"}}},
		{name: "hop-by-hop headers", request: get, answer: "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nProxy-Authenticate: x\r\nContent-Length: 0\r\n\r\n", status: 200,
			has: http.Header{"X-Hop": nil, "Keep-Alive": nil, "Upgrade": nil, "Proxy-Authenticate": nil}},
		{name: "unknown status", request: get, answer: "HTTP/1.1 799 x\r\nContent-Length: 0\r\n\r\n", status: 799},
		{name: "a 100 that was not asked for", request: get, answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", status: 200, body: "hi"},
		{name: "a 101 that was not asked for", request: get, answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", status: 502, body: "backend: reading the answer: 101 to a request that asked for no upgrade\n"},
		{name: "a 101 for another protocol", request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", status: 502, body: "backend: reading the answer: 101 to a request that asked for no upgrade\n"},
		{name: "status 99", request: get, answer: "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", status: 502, body: "backend: reading the answer: 099 is no status\n"},
		{name: "status 0", request: get, answer: "HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n", status: 502, body: "backend: reading the answer: 000 is no status\n"},
		{name: "1xx for HTTP/1.0", request: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", status: 200, body: "hi"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := startGateway(t, answerWith(t, tt.answer))
			res, body, err := ask(t, g, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || body != tt.body {
				t.Errorf("answer = %d %q; want %d %q", res.StatusCode, body, tt.status, tt.body)
			}
			for name, want := range tt.has {
				if got := res.Header[name]; !slices.Equal(got, want) {
					t.Errorf("%s = %q; want %q", name, got, want)
				}
			}
			if r := g.result(t); r.Status != 0 && (r.Err != nil || r.Out != int64(len(tt.body)) || r.Status != tt.status) {
				t.Errorf("result = %+v; want status %d, %d bytes", r, tt.status, len(tt.body))
			}
		})
	}
}

func TestBadAnswers(t *testing.T) {
	tests := []struct{ name, answer string }{
		{"nothing", ""},
		{"garbage", "\x00\x01\x02\r\n\r\n"},
		{"half a head", "HTTP/1.1 200 OK\r\nContent-Le"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"},
		{"bad chunk encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := startGateway(t, answerWith(t, tt.answer))
			if res, body, err := ask(t, g, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil || res.StatusCode != 502 {
				t.Errorf("answer = %v %q, %v; want 502", res, body, err)
			}
			var e *Error
			if r := g.result(t); r.Status != 0 || !errors.As(r.Err, &e) || e.Client {
				t.Errorf("result = %+v; want an error of the backend", r)
			}
		})
	}
}

// An answer may begin before the request has ended. What the client sends after
// that still reaches the backend.
func TestFullDuplex(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", secure), func(t *testing.T) {
			g := newGateway(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				rc.EnableFullDuplex()
				rc.Flush()
				buf := make([]byte, 1<<10)
				for {
					n, err := r.Body.Read(buf)
					w.Write(buf[:n])
					rc.Flush()
					if err != nil {
						return
					}
				}
			}))
			if secure {
				g.StartTLS()
			} else {
				g.Start()
			}
			pr, pw := io.Pipe()
			t.Cleanup(func() { pw.Close() })
			req, _ := http.NewRequestWithContext(t.Context(), "POST", g.URL, pr)
			res, err := g.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			got := make([]byte, 4)
			for range 100 {
				if _, err := io.WriteString(pw, "ping"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != "ping" {
					t.Fatalf("the echo of ping = %q, %v; want ping", got, err)
				}
			}
			pw.Close()
			if rest, err := io.ReadAll(res.Body); len(rest) != 0 || err != nil {
				t.Errorf("at the end the client got %q, %v; want nothing", rest, err)
			}
			if r := g.result(t); r.In != 400 || r.Out != 400 || r.Err != nil {
				t.Errorf("result = %+v; want 400 bytes in each direction", r)
			}
		})
	}
}

func TestClientLeaves(t *testing.T) {
	tests := []struct {
		name, request string
		answer        bool // the client leaves after the head of the answer
	}{
		{name: "while it waits", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{name: "inside its body", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf"},
		{name: "inside a chunk", request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf"},
		{name: "inside the answer", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer: true},
		{name: "inside its body and the answer", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf", answer: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reached, ended := make(chan struct{}), make(chan error, 1)
			g := startGateway(t, serveRaw(t, func(c net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				if tt.answer {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
				}
				close(reached)
				_, err = io.Copy(io.Discard, req.Body)
				if err == nil {
					_, err = io.Copy(io.Discard, r) // until the gateway closes
				}
				ended <- err
			}))
			c := g.dial(t)
			io.WriteString(c, tt.request)
			<-reached
			if tt.answer {
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				io.ReadFull(res.Body, make([]byte, 2))
			}
			c.Close()
			if err := <-ended; strings.Contains(tt.request, "POST") && err == nil {
				t.Error("the backend read half a body without an error")
			} else if errors.As(err, new(net.Error)) && err.(net.Error).Timeout() {
				t.Error("the connection to the backend stayed open")
			}
			var e *Error
			if r := g.result(t); !errors.As(r.Err, &e) || !e.Client || (r.Status != 0) != tt.answer {
				t.Errorf("result = %+v; want an error of the client", r)
			}
		})
	}
}

// Requests whose bodies were read leave their connection open.
func TestConnectionsAreKept(t *testing.T) {
	g := startGateway(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	c := g.dial(t)
	in := bufio.NewReader(c)
	for range 20 {
		for _, request := range []string{
			"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		} {
			io.WriteString(c, request)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(res.Body); err != nil || res.Close {
				t.Fatalf("the answer to %q has Connection: close %v, %v; want a kept connection", request, res.Close, err)
			}
			g.result(t)
		}
	}
}

func TestHTTP2Client(t *testing.T) {
	g := newGateway(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%s %s %s %s %s %s", r.Proto, r.Method, r.RequestURI, r.Host, r.Header.Get("X-Forwarded-Proto"), body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	}))
	g.StartTLS()
	req, _ := http.NewRequestWithContext(t.Context(), "PUT", g.URL+"/a%2Fb?c;d", io.MultiReader(strings.NewReader("body")))
	req.Host = "a.test"
	req.Trailer = http.Header{"X-Sum": {"1"}}
	res, err := g.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	const want = "HTTP/1.1 PUT /a%2Fb?c;d a.test https body"
	if res.ProtoMajor != 2 || string(body) != want || err != nil || res.Trailer.Get("X-Sum") != "1" {
		t.Errorf("answer over %s = %q, %v, trailers %v; want %q", res.Proto, body, err, res.Trailer, want)
	}
}

func TestErrorNamesSideAndStage(t *testing.T) {
	err := &Error{Client: true, Stage: "reading the request's body", Err: context.Canceled}
	if err.Error() != "client: reading the request's body: context canceled" || !errors.Is(err, context.Canceled) {
		t.Errorf("Error = %q; want the side, the stage and the cause", err)
	}
}

func BenchmarkExchange(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1<<10)
	g := startGateway(b, serveHTTP(b, func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	go func() {
		for range g.results {
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		res, err := g.Client().Get(g.URL)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

// from returns r as policies see it, with the address of its peer.
func from(r *http.Request, peer netip.Addr) *message.Request {
	m := message.FromHTTP(r, netip.AddrPortFrom(peer, 1))
	return &m
}
