package upgrade

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/header"
	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// serve runs a server that calls f for each handshake. The function that it returns
// connects to it.
func serve(t *testing.T, secure bool, f func(c *HTTP1Client)) (dial func() net.Conn) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, refusal := Check(asMessage(r))
		if refusal != nil {
			t.Errorf("Check: %v", refusal)
			return
		}
		f(NewHTTP1Client(w, q))
	}))
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return func() net.Conn {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if secure {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(wstest.Guard))
		return c
	}
}

func TestAcceptReturnsTheConnectionAndItsEarlyBytes(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, n := range []int{0, 1, 4096, 100 << 10} {
			sides := make(chan wire.Side, 1)
			dial := serve(t, secure, func(c *HTTP1Client) {
				side, err := c.Accept(&Answer{
					Status: 101, Protocol: "v1", Extensions: "permessage-deflate",
					Header: header.Fields{{Name: "Set-Cookie", Value: "a=1"}, {Name: "X-A", Value: "1\r\nX-B: 2"}},
				})
				if err != nil {
					t.Errorf("Accept: %v", err)
				}
				sides <- side
			})
			c := dial()
			after := bytes.Repeat([]byte("x"), n)
			go c.Write(append([]byte(wstest.Handshake("/", "Sec-WebSocket-Protocol: v1")), after...))
			side := <-sides
			got := make([]byte, n)
			k := copy(got, side.Early)
			if _, err := io.ReadFull(side.Conn, got[k:]); err != nil || k != len(side.Early) || !bytes.Equal(got, after) {
				t.Errorf("TLS %v: of %d bytes after the request %d are early and the others differ (%v)", secure, n, k, err)
			}
			if side.Conn == nil {
				continue
			}
			io.WriteString(side.Conn, "frames")
			side.Conn.Close()
			all, err := io.ReadAll(c)
			const want = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
				"Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a=1\r\nX-A: 1  X-B: 2\r\n\r\nframes"
			if string(all) != want || err != nil {
				t.Errorf("TLS %v: the client got %q, %v; want %q", secure, all, err, want)
			}
		}
	}
}

func TestAcceptFailsWithoutAConnection(t *testing.T) {
	w := httptest.NewRecorder()
	if side, err := NewHTTP1Client(w, &Request{}).Accept(&Answer{Status: 101}); err == nil || side.Conn != nil {
		t.Errorf("Accept = %+v, %v; want an error", side, err)
	}
}

// closing is a body that counts how often it was closed.
type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

func TestRefuse(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		answer Answer
		body   io.Reader
		err    error
		want   string // what the client gets, without Date
	}{
		{name: "401", answer: Answer{Status: 401, Header: header.FromHTTP(http.Header{"Www-Authenticate": {"Basic"}, "Content-Type": {"text/plain"}, "Content-Length": {"3"}})}, body: strings.NewReader("who"),
			want: "HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\nContent-Type: text/plain\r\nWww-Authenticate: Basic\r\n\r\nwho"},
		{name: "no Content-Type is added", answer: Answer{Status: 404, Header: header.FromHTTP(http.Header{"Content-Length": {"6"}})}, body: strings.NewReader("<html>"),
			want: "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>"},
		{name: "426", answer: Answer{Status: 426, Header: header.FromHTTP(http.Header{"Sec-WebSocket-Version": {"8"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Content-Length": {"0"}})}, body: strings.NewReader(""),
			want: "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nContent-Length: 0\r\nSec-WebSocket-Version: 8\r\nUpgrade: websocket\r\n\r\n"},
		{name: "204", answer: Answer{Status: 204, Header: header.FromHTTP(http.Header{"Content-Length": {"0"}})}, body: strings.NewReader(""),
			want: "HTTP/1.1 204 No Content\r\n\r\n"},
		{name: "cut off", answer: Answer{Status: 500, Header: header.FromHTTP(http.Header{"Content-Length": {"9"}, "Content-Type": {"x/y"}})}, body: io.MultiReader(strings.NewReader("half"), errReader{broken}), err: broken,
			want: "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\nContent-Type: x/y\r\n\r\nhalf"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := &closing{Reader: tt.body}
			tt.answer.Body = body
			refused := make(chan error, 1)
			c := serve(t, false, func(c *HTTP1Client) { refused <- c.Refuse(&tt.answer) })()
			io.WriteString(c, wstest.Handshake("/"))
			if err := <-refused; !errors.Is(err, tt.err) || body.closed != 1 {
				t.Errorf("Refuse = %v with the body closed %d times; want %v, once", err, body.closed, tt.err)
			}
			c.(*net.TCPConn).CloseWrite()
			all, err := io.ReadAll(c)
			lines := slices.DeleteFunc(strings.SplitAfter(string(all), "\n"), func(l string) bool { return strings.HasPrefix(l, "Date:") })
			if got := strings.Join(lines, ""); !sameMessage(got, tt.want) || err != nil {
				t.Errorf("the client got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// sameMessage compares two messages whose headers may be in another order.
func sameMessage(a, b string) bool {
	headA, bodyA, _ := strings.Cut(a, "\r\n\r\n")
	headB, bodyB, _ := strings.Cut(b, "\r\n\r\n")
	linesA, linesB := strings.Split(headA, "\r\n"), strings.Split(headB, "\r\n")
	slices.Sort(linesA)
	slices.Sort(linesB)
	return bodyA == bodyB && slices.Equal(linesA, linesB)
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// The client gets each piece of a refusal while the backend still sends.
func TestRefuseStreams(t *testing.T) {
	r, w := io.Pipe()
	c := serve(t, false, func(c *HTTP1Client) {
		defer r.Close()
		c.Refuse(&Answer{Status: 401, Header: header.FromHTTP(http.Header{}), Body: r})
	})()
	t.Cleanup(func() { w.Close() }) // before the server is closed
	io.WriteString(c, wstest.Handshake("/"))
	go io.WriteString(w, "first")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, got); string(got) != "first" || err != nil {
		t.Errorf("while the backend sends, the client got %q, %v; want first", got, err)
	}
	w.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) != 0 || err != nil {
		t.Errorf("at the end the client got %q, %v; want nothing", rest, err)
	}
}
