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
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// gateway serves exchanges with one backend.
type gateway struct {
	*httptest.Server
	results chan Result
}

// toward is the transport to one address.
type toward struct {
	address   string
	transport *http.Transport
}

func (b toward) RoundTrip(r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = "http", b.address
	return b.transport.RoundTrip(r)
}

// start runs a gateway in front of address. Each edit may change an exchange.
func start(t testing.TB, address string, edits ...func(*Exchange)) *gateway {
	t.Helper()
	g := &gateway{results: make(chan Result, 64)}
	b := toward{address, &http.Transport{DisableCompression: true, ExpectContinueTimeout: wstest.Guard}}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := NewOrigin(r, netip.MustParseAddr("192.0.2.1"), false, func(netip.Addr) bool { return false })
		x := &Exchange{Backend: b, Path: r.URL.EscapedPath(), Origin: &origin, ID: "id", Edit: func(http.Header) {}}
		for _, edit := range edits {
			edit(x)
		}
		result := x.Do(w, r)
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

// begin starts g over HTTP/1.1, plain.
func begin(t testing.TB, address string, edits ...func(*Exchange)) *gateway {
	t.Helper()
	g := start(t, address, edits...)
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

// serving is a backend of net/http.
func serving(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.Listener.Addr().String()
}

// raw is a backend whose connections are all handled by h, closed at its end.
func raw(t testing.TB, h func(c net.Conn, r *bufio.Reader)) string {
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

// saying is a raw backend that reads the head of each request and says text.
func saying(t testing.TB, text string) string {
	return raw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			io.WriteString(c, text)
		}
	})
}

// ask sends text and reads one answer to a GET.
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

func TestRequestHead(t *testing.T) {
	heads := make(chan string, 1)
	address := raw(t, func(c net.Conn, r *bufio.Reader) {
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
		return func(x *Exchange) { x.Edit = func(h http.Header) { h.Set(name, value) } }
	}
	tests := []struct {
		name, request string
		edit          func(*Exchange)
		start         string
		has           []string // whole lines
		lacks         []string // parts
	}{
		{name: "plain", request: "GET / HTTP/1.1\r\n" + host + "\r\n", start: "GET / HTTP/1.1", has: []string{"Host: a.test:81"}, lacks: []string{"User-Agent", "Accept-Encoding", "Content-Length", "Connection"}},
		{name: "HTTP/1.0", request: "GET / HTTP/1.0\r\n" + host + "\r\n", start: "GET / HTTP/1.1"},
		{name: "escapes", request: "GET /a%2Fb%5Cc//d%20%41/. HTTP/1.1\r\n" + host + "\r\n", start: "GET /a%2Fb%5Cc//d%20%41/. HTTP/1.1"},
		{name: "slashes first", request: "GET //evil.test/x HTTP/1.1\r\n" + host + "\r\n", start: "GET //evil.test/x HTTP/1.1"},
		{name: "every literal byte", request: "GET /-._~!$&'()*+,;=:@ HTTP/1.1\r\n" + host + "\r\n", start: "GET /-._~!$&'()*+,;=:@ HTTP/1.1"},
		{name: "query untouched", request: "GET /?a;b&c=%zz&%2f=%&q=é\"+ HTTP/1.1\r\n" + host + "\r\n", start: "GET /?a;b&c=%zz&%2f=%&q=é\"+ HTTP/1.1"},
		{name: "empty query", request: "GET /? HTTP/1.1\r\n" + host + "\r\n", start: "GET /? HTTP/1.1"},
		{name: "the route's path", request: "GET /old?q HTTP/1.1\r\n" + host + "\r\n", edit: func(x *Exchange) { x.Path = "/new%2F//" }, start: "GET /new%2F//?q HTTP/1.1"},
		{name: "own method", request: "PURGE / HTTP/1.1\r\n" + host + "\r\n", start: "PURGE / HTTP/1.1"},
		{name: "Host set", request: "GET / HTTP/1.1\r\n" + host + "\r\n", edit: set("Host", "b.test"), start: "GET / HTTP/1.1", has: []string{"Host: b.test", "X-Forwarded-Host: a.test:81"}},
		{name: "absolute target", request: "GET http://b.test/x HTTP/1.1\r\n" + host + "\r\n", start: "GET /x HTTP/1.1", has: []string{"Host: b.test"}},
		{name: "hop by hop", request: "GET / HTTP/1.1\r\n" + host + "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy: evil\r\nUpgrade: h2c\r\nTE: gzip\r\nX-Kept: 1\r\n\r\n",
			start: "GET / HTTP/1.1", has: []string{"X-Kept: 1"}, lacks: []string{"X-Hop", "Keep-Alive", "Proxy", "Upgrade", "TE:", "Te:", "evil"}},
		{name: "TE: trailers", request: "GET / HTTP/1.1\r\n" + host + "TE: gzip;q=1, trailers\r\nConnection: TE\r\n\r\n", start: "GET / HTTP/1.1", has: []string{"Te: trailers"}},
		{name: "forwarding headers are replaced", request: "GET / HTTP/1.1\r\n" + host + "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: gopher\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Port: 666\r\n\r\n",
			start: "GET / HTTP/1.1", has: []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: a.test:81", "X-Forwarded-Proto: http"}, lacks: []string{"6.6.6.6", "evil", "gopher", "666"}},
		{name: "nor with underscores", request: "GET / HTTP/1.1\r\n" + host + "X_Forwarded_For: 6.6.6.6\r\nx-forwarded_host: evil\r\nX_REAL_IP: 6.6.6.6\r\nX_Kept: 1\r\n\r\n",
			start: "GET / HTTP/1.1", has: []string{"X_kept: 1"}, lacks: []string{"6.6.6.6", "evil"}},
		{name: "Connection cannot take them away", request: "GET / HTTP/1.1\r\n" + host + "Connection: X-Forwarded-For, X-Forwarded-Proto\r\n\r\n", start: "GET / HTTP/1.1", has: []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var edits []func(*Exchange)
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			g := begin(t, address, edits...)
			res, body, err := ask(t, g, tt.request)
			if err != nil || res.StatusCode != 204 {
				t.Fatalf("answer %v %q, %v", res, body, err)
			}
			head := <-heads
			lines := strings.Split(head, "\r\n")
			if lines[0] != tt.start {
				t.Errorf("request line %q, want %q", lines[0], tt.start)
			}
			for _, line := range tt.has {
				if !slices.Contains(lines, line) {
					t.Errorf("no line %q in %q", line, head)
				}
			}
			for _, part := range tt.lacks {
				if strings.Contains(head, part) {
					t.Errorf("%q is in %q", part, head)
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
		has                   http.Header // nil values: must not be there
	}{
		{name: "200", request: get, answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/x\r\n\r\nhi", status: 200, body: "hi", has: http.Header{"Content-Type": {"text/x"}, "Content-Length": {"2"}}},
		{name: "chunked", request: get, answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", status: 200, body: "hi"},
		{name: "until the end", request: get, answer: "HTTP/1.1 200 OK\r\n\r\nhi", status: 200, body: "hi"},
		{name: "no type is made up", request: get, answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", status: 200, body: "<html>", has: http.Header{"Content-Type": nil}},
		{name: "compressed bodies stay so", request: get, answer: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", status: 200, body: "xx", has: http.Header{"Content-Encoding": {"gzip"}}},
		{name: "HEAD", request: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nContent-Type: text/x\r\n\r\n", status: 200, has: http.Header{"Content-Length": {"1234"}, "Content-Type": {"text/x"}}},
		{name: "HEAD without a length", request: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", status: 200, has: http.Header{"Content-Length": nil}},
		{name: "204", request: get, answer: "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", status: 204, has: http.Header{"X-A": {"1"}, "Content-Length": nil}},
		{name: "304", request: get, answer: "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nContent-Length: 99\r\n\r\n", status: 304, has: http.Header{"Etag": {`"x"`}}},
		{name: "several values", request: get, answer: "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", status: 200, has: http.Header{"Set-Cookie": {"a", "b"}}},
		{name: "hop by hop", request: get, answer: "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nProxy-Authenticate: x\r\nContent-Length: 0\r\n\r\n", status: 200,
			has: http.Header{"X-Hop": nil, "Keep-Alive": nil, "Upgrade": nil, "Proxy-Authenticate": nil}},
		{name: "unknown status", request: get, answer: "HTTP/1.1 799 x\r\nContent-Length: 0\r\n\r\n", status: 799},
		{name: "100 unasked", request: get, answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", status: 200, body: "hi"},
		{name: "101 unasked", request: get, answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", status: 502, body: "backend: reading the answer: 101 to a request that asked for no upgrade\n"},
		{name: "101 asked for something else", request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", status: 502, body: "backend: reading the answer: 101 to a request that asked for no upgrade\n"},
		{name: "status 99", request: get, answer: "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", status: 502, body: "backend: reading the answer: 099 is no status\n"},
		{name: "status 0", request: get, answer: "HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n", status: 502, body: "backend: reading the answer: 000 is no status\n"},
		{name: "1xx for HTTP/1.0", request: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", status: 200, body: "hi"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := begin(t, saying(t, tt.answer))
			res, body, err := ask(t, g, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || body != tt.body {
				t.Errorf("answer = %d %q, want %d %q", res.StatusCode, body, tt.status, tt.body)
			}
			for name, want := range tt.has {
				if got := res.Header[name]; !slices.Equal(got, want) {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if r := g.result(t); r.Status != 0 && (r.Err != nil || r.Out != int64(len(tt.body)) || r.Status != tt.status) {
				t.Errorf("result = %+v, want status %d, %d bytes", r, tt.status, len(tt.body))
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
			g := begin(t, saying(t, tt.answer))
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

// An answer may begin, and be read, before the request has ended; what the
// client sends then still reaches the backend.
func TestFullDuplex(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", secure), func(t *testing.T) {
			g := start(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
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
					t.Fatalf("the echo of ping = %q, %v", got, err)
				}
			}
			pw.Close()
			if rest, err := io.ReadAll(res.Body); len(rest) != 0 || err != nil {
				t.Errorf("at the end %q, %v", rest, err)
			}
			if r := g.result(t); r.In != 400 || r.Out != 400 || r.Err != nil {
				t.Errorf("result = %+v, want 400 bytes each way", r)
			}
		})
	}
}

// The head of an answer is there before its first byte, and every piece as it
// comes, whether or not its length is known.
func TestPiecesArriveAsTheyCome(t *testing.T) {
	for name, header := range map[string]http.Header{
		"event stream":         {"Content-Type": {"text/event-stream"}},
		"body of any type":     {},
		"body of known length": {"Content-Length": {"9"}},
	} {
		t.Run(name, func(t *testing.T) {
			pieces := make(chan string)
			g := begin(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
				for n, v := range header {
					w.Header()[n] = v
				}
				for {
					http.NewResponseController(w).Flush()
					p, ok := <-pieces
					if !ok {
						return
					}
					io.WriteString(w, p)
				}
			}))
			defer close(pieces)
			c := g.dial(t)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if header["Content-Length"] != nil {
				pieces <- "one"
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if header["Content-Length"] == nil {
				pieces <- "one"
			}
			got := make([]byte, 3)
			for i, want := range []string{"one", "two"} {
				if i > 0 {
					pieces <- want
				}
				if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
					t.Fatalf("piece = %q, %v; want %q", got, err, want)
				}
			}
		})
	}
}

func TestTrailers(t *testing.T) {
	for _, announce := range []bool{true, false} {
		for _, method := range []string{"POST", "GET"} { // net/http treats the body of a GET in its own way
			t.Run(fmt.Sprintf("%s announced %v", method, announce), func(t *testing.T) {
				g := begin(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if got := r.Trailer["X-Sum"]; string(body) != "body" || err != nil || !slices.Equal(got, []string{"in"}) || r.Trailer["Cookie"] != nil {
						t.Errorf("the backend got %q, %v with trailers %v; want body and X-Sum: in", body, err, r.Trailer)
					}
					if announce {
						w.Header().Set("Trailer", "X-Sum")
						defer w.Header().Set("X-Sum", "out")
					} else {
						defer w.Header().Set(http.TrailerPrefix+"X-Sum", "out")
					}
					io.WriteString(w, "answer")
					http.NewResponseController(w).Flush()
				}))
				head := method + " / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nTE: trailers\r\n"
				if announce {
					head += "Trailer: X-Sum\r\n"
				}
				res, body, err := ask(t, g, head+"\r\n4\r\nbody\r\n0\r\nX-Sum: in\r\n\r\n")
				if err != nil || body != "answer" || !slices.Equal(res.Trailer["X-Sum"], []string{"out"}) {
					t.Errorf("answer = %q, %v with trailers %v; want answer and X-Sum: out", body, err, res.Trailer)
				}
				if r := g.result(t); r.Err != nil || r.In != 4 {
					t.Errorf("result = %+v", r)
				}
			})
		}
	}
}

func TestInformationalAnswers(t *testing.T) {
	const final = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	tests := []struct {
		name, expect, before, after string // what the backend says before and after it has the body
		want                        []int
	}{
		{name: "none", want: []int{}},
		{name: "103", before: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n", want: []int{103}},
		{name: "102 behind the body", after: "HTTP/1.1 102 Processing\r\n\r\n", want: []int{102}},
		{name: "100 unasked", before: "HTTP/1.1 100 Continue\r\n\r\n", want: []int{}},
		{name: "100 asked", expect: "Expect: 100-continue\r\n", before: "HTTP/1.1 100 Continue\r\n\r\n", want: []int{100}},
		{name: "100 once", expect: "Expect: 100-continue\r\n", before: "HTTP/1.1 100 Continue\r\n\r\n", after: "HTTP/1.1 100 Continue\r\n\r\n", want: []int{100}},
		{name: "103 and 100", expect: "Expect: 100-continue\r\n", before: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", after: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", want: []int{103, 100, 103}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := begin(t, raw(t, func(c net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				io.WriteString(c, tt.before)
				if body, err := io.ReadAll(req.Body); string(body) != "body" || err != nil {
					t.Errorf("the backend got %q, %v", body, err)
				}
				io.WriteString(c, tt.after+final)
			}))
			got := []int{}
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				got = append(got, code)
				if code == 103 && (h.Get("Link") != "</x>" || h.Get("X-Hop") != "") {
					t.Errorf("103 with %v", h)
				}
				return nil
			}})
			req, _ := http.NewRequestWithContext(ctx, "POST", g.URL, strings.NewReader("body"))
			if name, value, ok := strings.Cut(strings.TrimSpace(tt.expect), ": "); ok {
				req.Header.Set(name, value)
			}
			client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: wstest.Guard, DisableKeepAlives: true}}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != 200 || string(body) != "hi" || err != nil || res.Header.Get("Link") != "" {
				t.Errorf("answer = %d %q %v, %v", res.StatusCode, body, res.Header, err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("informational answers %v, want %v", got, tt.want)
			}
		})
	}
}

// The body of a request that waits for a 100 is not asked for when the backend
// has answered without it.
func TestNoContinueOnceTheBackendRefused(t *testing.T) {
	g := begin(t, saying(t, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	res, body, err := ask(t, g, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
	if err != nil || res.StatusCode != 413 {
		t.Errorf("answer = %v %q, %v; want 413 and no 100 before it", res, body, err)
	}
}

// Where the backend dies within its answer the client must not take what it
// has for whole.
func TestBackendDiesWithinItsAnswer(t *testing.T) {
	for name, head := range map[string]string{
		"of known length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"in chunks":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"within a chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", name, secure), func(t *testing.T) {
				g := start(t, saying(t, head))
				if secure {
					g.StartTLS()
				} else {
					g.Start()
				}
				res, err := g.Client().Get(g.URL)
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				if err == nil {
					t.Error("the client took half an answer for a whole one")
				}
				var e *Error
				if r := g.result(t); r.Status != 200 || !errors.As(r.Err, &e) || e.Client || r.Out != 4 {
					t.Errorf("result = %+v, want 4 bytes and an error of the backend", r)
				}
			})
		}
	}
}

func TestClientLeaves(t *testing.T) {
	tests := []struct {
		name, request string
		answer        bool // the client leaves behind the head of the answer
	}{
		{name: "while it waits", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{name: "within its body", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf"},
		{name: "within a chunk", request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf"},
		{name: "within the answer", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer: true},
		{name: "within its body and the answer", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf", answer: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			there, ended := make(chan struct{}), make(chan error, 1)
			g := begin(t, raw(t, func(c net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				if tt.answer {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
				}
				close(there)
				_, err = io.Copy(io.Discard, req.Body)
				if err == nil {
					_, err = io.Copy(io.Discard, r) // until the gateway closes
				}
				ended <- err
			}))
			c := g.dial(t)
			io.WriteString(c, tt.request)
			<-there
			if tt.answer {
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				io.ReadFull(res.Body, make([]byte, 2))
			}
			c.Close()
			if err := <-ended; strings.Contains(tt.request, "POST") && err == nil {
				t.Error("the backend took half a body for a whole one")
			} else if errors.As(err, new(net.Error)) && err.(net.Error).Timeout() {
				t.Error("the backend's connection stayed open")
			}
			var e *Error
			if r := g.result(t); !errors.As(r.Err, &e) || !e.Client || (r.Status != 0) != tt.answer {
				t.Errorf("result = %+v, want an error of the client", r)
			}
		})
	}
}

func TestBrokenRequestBody(t *testing.T) {
	g := begin(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Error("the backend took a broken body for a whole one")
		}
	}))
	res, _, err := ask(t, g, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nzz\r\n")
	if err != nil || res.StatusCode != 502 {
		t.Errorf("answer = %v, %v", res, err)
	}
	var e *Error
	if r := g.result(t); !errors.As(r.Err, &e) || !e.Client || e.Stage != "reading the request's body" || r.In != 4 {
		t.Errorf("result = %+v, want an error of the client's body behind 4 bytes", r)
	}
}

// A backend that answers early, or wrongly, leaves the rest of the body with the
// client's connection. Nothing of it may become the next request.
func TestAnswerBeforeTheBodyHasEnded(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	bodies := map[string]string{ // their beginnings
		"of known length": "Content-Length: 4000\r\n\r\nhalf",
		"in chunks":       "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	}
	tests := []struct {
		name, answer string
		status       int
	}{
		{name: "an answer", answer: "HTTP/1.1 418 x\r\nContent-Length: 2\r\n\r\nno", status: 418},
		{name: "a chunked answer", answer: "HTTP/1.1 418 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", status: 418},
		{name: "a status that is none", answer: "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", status: 502},
		{name: "an unasked 101", answer: "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", status: 502},
	}
	for _, tt := range tests {
		for kind, body := range bodies {
			t.Run(tt.name+" to a body "+kind, func(t *testing.T) {
				g := begin(t, raw(t, func(c net.Conn, r *bufio.Reader) {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if req.URL.Path != "/" {
						t.Errorf("%s reached the backend", req.URL)
					}
					io.ReadFull(req.Body, make([]byte, 4)) // the transport waits for more now
					io.WriteString(c, tt.answer)
				}))
				c := g.dial(t)
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+body)
				in := bufio.NewReader(c)
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				io.ReadAll(res.Body)
				if res.StatusCode != tt.status || !res.Close {
					t.Errorf("answer = %d, close %v; want %d, true", res.StatusCode, res.Close, tt.status)
				}
				io.WriteString(c, smuggled)
				c.(*net.TCPConn).CloseWrite()
				if more, err := io.ReadAll(in); len(more) != 0 {
					t.Errorf("behind the answer came %q, %v; want nothing", more, err)
				}
			})
		}
	}
}

// Requests whose bodies were read leave their connection open.
func TestConnectionsAreKept(t *testing.T) {
	g := begin(t, serving(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
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
				t.Fatalf("%q was answered with Connection: close %v, %v", request, res.Close, err)
			}
			g.result(t)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Bodies pass without being held.
func TestBigBodiesInBoundedMemory(t *testing.T) {
	const size = 64 << 20
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", secure), func(t *testing.T) {
			g := start(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(io.Discard, r.Body)
				if n != size || err != nil {
					t.Errorf("the backend got %d bytes, %v; want %d", n, err, size)
				}
				io.CopyN(w, zeros{}, size)
			}))
			if secure {
				g.StartTLS()
			} else {
				g.Start()
			}
			req, _ := http.NewRequestWithContext(t.Context(), "POST", g.URL, io.LimitReader(zeros{}, size))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			res, err := g.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			n, err := io.Copy(io.Discard, res.Body)
			runtime.ReadMemStats(&after)
			if n != size || err != nil {
				t.Errorf("the client got %d bytes, %v; want %d", n, err, size)
			}
			if grown := after.HeapSys - min(before.HeapSys, after.HeapSys); grown > size/2 {
				t.Errorf("the heap grew by %d bytes for bodies of %d", grown, size)
			}
			if r := g.result(t); r.In != size || r.Out != size || r.Err != nil {
				t.Errorf("result = %+v", r)
			}
		})
	}
}

func TestHTTP2Client(t *testing.T) {
	g := start(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
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

// The transport may still read a body when its exchange is over.
func TestRequestBodyIsTheServersAfterTheExchange(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("body"))
	b := &requestBody{request: r}
	got := make([]byte, 2)
	if n, err := b.Read(got); n != 2 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if n := b.end(); n != 2 {
		t.Errorf("end = %d, want 2", n)
	}
	if n, err := b.Read(got); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("Read after the end = %d, %v", n, err)
	}
	if rest, _ := io.ReadAll(r.Body); string(rest) != "dy" {
		t.Errorf("the server finds %q, want dy", rest)
	}
}

func TestErrorNamesSideAndStage(t *testing.T) {
	err := &Error{Client: true, Stage: "reading the request's body", Err: context.Canceled}
	if err.Error() != "client: reading the request's body: context canceled" || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func BenchmarkExchange(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1<<10)
	g := begin(b, serving(b, func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
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
