package demo

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// guard bounds every wait of these tests; reaching it is a failure.
const guard = 30 * time.Second

// serve runs the demo until the test ends and returns its address, and a
// function that stops it and returns what Serve did.
func serve(t *testing.T) (address string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- Serve(ctx, l, []byte("routes: []\n")) }()
	stop = func() error {
		cancel()
		select {
		case err := <-result:
			result <- nil
			return err
		case <-time.After(guard):
			t.Fatal("Serve did not return")
			return nil
		}
	}
	t.Cleanup(func() { stop() })
	return l.Addr().String(), stop
}

func dial(t *testing.T, address, path string) net.Conn {
	t.Helper()
	d := ws.Dialer{Timeout: guard}
	conn, br, _, err := d.Dial(t.Context(), "ws://"+address+path)
	if err != nil {
		t.Fatalf("Dial(%s): %v", path, err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(guard))
	if br != nil {
		return buffered{conn, br}
	}
	return conn
}

// buffered is a connection whose first bytes were read with the handshake.
type buffered struct {
	net.Conn
	r io.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// read returns the next frame.
func read(t *testing.T, conn net.Conn) ws.Frame {
	t.Helper()
	h, err := ws.ReadHeader(conn)
	if err != nil {
		t.Fatalf("reading a frame: %v", err)
	}
	if h.Length > maxEcho {
		t.Fatalf("a frame of %d bytes", h.Length)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(conn, payload); err != nil {
		t.Fatalf("reading a frame of %d bytes: %v", h.Length, err)
	}
	return ws.Frame{Header: h, Payload: payload}
}

func send(t *testing.T, conn net.Conn, frames ...ws.Frame) {
	t.Helper()
	var all []byte
	for _, f := range frames {
		all = append(all, ws.MustCompileFrame(f)...)
	}
	if _, err := conn.Write(all); err != nil {
		t.Fatalf("writing: %v", err)
	}
}

func masked(op ws.OpCode, fin bool, payload string) ws.Frame {
	return ws.MaskFrameInPlace(ws.NewFrame(op, fin, []byte(payload)))
}

func wantClose(t *testing.T, conn net.Conn, code ws.StatusCode, reason string) {
	t.Helper()
	f := read(t, conn)
	gotCode, gotReason := ws.ParseCloseFrameData(f.Payload)
	if f.Header.OpCode != ws.OpClose || gotCode != code || gotReason != reason {
		t.Errorf("got opcode %d, close %d %q; want close %d %q", f.Header.OpCode, gotCode, gotReason, code, reason)
	}
}

func TestPages(t *testing.T) {
	address, _ := serve(t)
	tests := []struct {
		name, method, path string
		status             int
		contentType, body  string // body: a part of it
	}{
		{name: "page", path: "/", status: 200, contentType: "text/html; charset=utf-8", body: `src="/assets/demo.js"`},
		{name: "style", path: "/assets/demo.css", status: 200, contentType: "text/css; charset=utf-8", body: "light-dark("},
		{name: "script", path: "/assets/demo.js", status: 200, contentType: "text/javascript; charset=utf-8", body: "new WebSocket("},
		{name: "foreign frame", path: "/assets/foreign.html", status: 200, contentType: "text/html; charset=utf-8", body: "foreign.js"},
		{name: "configuration", path: "/assets/config.yaml", status: 200, contentType: "text/plain; charset=utf-8", body: "routes: []"},
		{name: "no such page", path: "/other", status: 404},
		{name: "no such asset", path: "/assets/other", status: 404},
		{name: "no listing", path: "/assets/", status: 404},
		{name: "out of the assets", path: "/assets/..%2fdemo.go", status: 400},
		{name: "post", method: http.MethodPost, path: "/", status: 405},
		{name: "plain request to the echo", path: "/ws/echo", status: 426},
		{name: "head of the chat", method: http.MethodHead, path: "/ws/chat", status: 426},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+address+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || tt.contentType != "" && resp.Header.Get("Content-Type") != tt.contentType || !strings.Contains(string(body), tt.body) {
				t.Errorf("%s %s = %d, %q, %q; want %d, %q, a body with %q",
					tt.method, tt.path, resp.StatusCode, resp.Header.Get("Content-Type"), body, tt.status, tt.contentType, tt.body)
			}
		})
	}
}

func TestEcho(t *testing.T) {
	address, _ := serve(t)
	long := strings.Repeat("x", maxEcho)
	tests := []struct {
		name string
		in   []ws.Frame
		want []ws.Frame // a Close is compared by its code
	}{
		{
			name: "text",
			in:   []ws.Frame{masked(ws.OpText, true, "hello")},
			want: []ws.Frame{ws.NewTextFrame([]byte("hello"))},
		},
		{
			name: "empty binary",
			in:   []ws.Frame{masked(ws.OpBinary, true, "")},
			want: []ws.Frame{ws.NewBinaryFrame(nil)},
		},
		{
			name: "fragments around a ping",
			in:   []ws.Frame{masked(ws.OpText, false, "a"), masked(ws.OpPing, true, "p"), masked(ws.OpContinuation, true, "b")},
			want: []ws.Frame{ws.NewPongFrame([]byte("p")), ws.NewTextFrame([]byte("ab"))},
		},
		{
			name: "largest",
			in:   []ws.Frame{masked(ws.OpBinary, true, long)},
			want: []ws.Frame{ws.NewBinaryFrame([]byte(long))},
		},
		{
			name: "a byte too large over two fragments",
			in:   []ws.Frame{masked(ws.OpBinary, false, long), masked(ws.OpContinuation, true, "x")},
			want: []ws.Frame{closeFrame(ws.StatusMessageTooBig)},
		},
		{
			name: "not UTF-8",
			in:   []ws.Frame{masked(ws.OpText, true, "\xff")},
			want: []ws.Frame{closeFrame(ws.StatusInvalidFramePayloadData)},
		},
		{
			name: "not masked",
			in:   []ws.Frame{ws.NewTextFrame([]byte("hello"))},
			want: []ws.Frame{closeFrame(ws.StatusProtocolError)},
		},
		{
			name: "ping, then continuation of nothing",
			in:   []ws.Frame{masked(ws.OpPing, true, ""), masked(ws.OpContinuation, true, "")},
			want: []ws.Frame{ws.NewPongFrame(nil), closeFrame(ws.StatusProtocolError)},
		},
		{
			name: "close is answered in kind",
			in:   []ws.Frame{masked(ws.OpClose, true, "\x0f\xa0bye")},
			want: []ws.Frame{closeFrame(4000)},
		},
		{
			name: "close without a code",
			in:   []ws.Frame{masked(ws.OpClose, true, "")},
			want: []ws.Frame{ws.NewCloseFrame(nil)},
		},
		{
			name: "close of one byte",
			in:   []ws.Frame{masked(ws.OpClose, true, "\x03")},
			want: []ws.Frame{closeFrame(ws.StatusProtocolError)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, address, "/ws/echo")
			send(t, conn, tt.in...)
			for i, want := range tt.want {
				got := read(t, conn)
				if want.Header.OpCode == ws.OpClose {
					got.Payload, want.Payload = got.Payload[:min(2, len(got.Payload))], want.Payload[:min(2, len(want.Payload))]
				}
				if got.Header.OpCode != want.Header.OpCode || !got.Header.Fin || string(got.Payload) != string(want.Payload) {
					t.Errorf("frame %d: got opcode %d with %d bytes %.20q; want opcode %d with %d bytes %.20q", i,
						got.Header.OpCode, len(got.Payload), got.Payload, want.Header.OpCode, len(want.Payload), want.Payload)
				}
			}
		})
	}
}

func closeFrame(code ws.StatusCode) ws.Frame {
	return ws.NewCloseFrame(ws.NewCloseFrameBody(code, ""))
}

// A frame in the packet of the request is not lost.
func TestEchoOfBytesBehindTheHandshake(t *testing.T) {
	address, _ := serve(t)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(guard))
	request := "GET /ws/echo HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	frame := ws.MustCompileFrame(masked(ws.OpText, true, "early"))
	if _, err := conn.Write(append([]byte(request), frame...)); err != nil {
		t.Fatal(err)
	}
	const want = "\x81\x05early"
	for got := ""; !strings.HasSuffix(got, want); {
		buf := make([]byte, 512)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got += string(buf[:n])
	}
}

func TestServeEndsSocketsWhenItsContextDoes(t *testing.T) {
	address, stop := serve(t)
	echoed := dial(t, address, "/ws/echo")
	member := dial(t, address, "/ws/chat?name=Ada")
	wantEvent(t, member, event{Kind: "welcome", Room: "lobby", Name: "Ada"})
	wantEvent(t, member, event{Kind: "join", Room: "lobby", Name: "Ada", Members: []string{"Ada"}})
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for _, conn := range []net.Conn{echoed, member} {
		wantClose(t, conn, ws.StatusGoingAway, "the demo is stopping")
		conn.Close()
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestServeOnAClosedListenerFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), l, nil); err == nil {
		t.Error("Serve = nil, want the listener's error")
	}
}

func TestSocketsAreLimited(t *testing.T) {
	s := newServer(nil)
	for range cap(s.slots) {
		s.slots <- struct{}{}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: s.handler()}
	defer h.Close()
	go h.Serve(l)
	_, _, _, err = ws.Dial(t.Context(), "ws://"+l.Addr().String()+"/ws/echo")
	if refused, ok := err.(ws.StatusError); !ok || refused != http.StatusServiceUnavailable {
		t.Errorf("Dial = %v, want status 503", err)
	}
}

// wantEvent reads one chat event.
func wantEvent(t *testing.T, conn net.Conn, want event) {
	t.Helper()
	text, err := wsutil.ReadServerText(conn)
	if err != nil {
		t.Fatalf("reading an event, want %+v: %v", want, err)
	}
	wanted, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(wanted) {
		t.Errorf("event %s, want %s", text, wanted)
	}
}
