package forward

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestBrokenRequestBody(t *testing.T) {
	g := startGateway(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Error("the backend read a broken body without an error")
		}
	}))
	res, _, err := ask(t, g, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nzz\r\n")
	if err != nil || res.StatusCode != 502 {
		t.Errorf("answer = %v, %v; want 502", res, err)
	}
	var e *Error
	if r := g.result(t); !errors.As(r.Err, &e) || !e.Client || e.Stage != "reading the request's body" || r.In != 4 {
		t.Errorf("result = %+v; want 4 bytes and an error of the client's body", r)
	}
}

// If a backend answers early, or wrongly, the rest of the body stays on the client's
// connection. No part of it may become the next request.
func TestAnswerBeforeTheBodyHasEnded(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	bodies := map[string]string{ // how they begin
		"of known length": "Content-Length: 4000\r\n\r\nhalf",
		"in chunks":       "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	}
	tests := []struct {
		name, answer string
		status       int
	}{
		{name: "an answer", answer: "HTTP/1.1 418 x\r\nContent-Length: 2\r\n\r\nno", status: 418},
		{name: "a chunked answer", answer: "HTTP/1.1 418 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", status: 418},
		{name: "an invalid status", answer: "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", status: 502},
		{name: "a 101 that was not asked for", answer: "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", status: 502},
	}
	for _, tt := range tests {
		for kind, body := range bodies {
			t.Run(tt.name+" to a body "+kind, func(t *testing.T) {
				g := startGateway(t, serveRaw(t, func(c net.Conn, r *bufio.Reader) {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if req.URL.Path != "/" {
						t.Errorf("%s reached the backend; want only the first request", req.URL)
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
					t.Errorf("after the answer came %q, %v; want nothing", more, err)
				}
			})
		}
	}
}

// The transport may read a body after its exchange; then it gets nothing.
func TestTheBodyBelongsToTheServerAfterTheExchange(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("body"))
	b := &requestBody{request: from(r, netip.Addr{})}
	got := make([]byte, 2)
	if n, err := b.Read(got); n != 2 || err != nil {
		t.Fatalf("Read = %d, %v; want 2", n, err)
	}
	if n := b.end(); n != 2 {
		t.Errorf("end = %d; want 2", n)
	}
	if n, err := b.Read(got); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("Read after end = %d, %v; want ErrBodyReadAfterClose", n, err)
	}
	if rest, _ := io.ReadAll(r.Body); string(rest) != "dy" {
		t.Errorf("the server finds %q; want dy", rest)
	}
}
