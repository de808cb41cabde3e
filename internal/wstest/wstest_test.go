package wstest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func TestHandshakeLines(t *testing.T) {
	const (
		start = "GET /x HTTP/1.1\r\n"
		key   = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	)
	tests := []struct {
		name  string
		lines []string
		want  string
	}{
		{"as it is", nil, start + "Host: gateway.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + key + "Sec-WebSocket-Version: 13\r\n\r\n"},
		{"one more", []string{"Origin: null"}, start + "Host: gateway.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + key + "Sec-WebSocket-Version: 13\r\nOrigin: null\r\n\r\n"},
		{"one replaced by two", []string{"upgrade: h2c", "Upgrade: websocket"}, start + "Host: gateway.test\r\nConnection: Upgrade\r\n" + key + "Sec-WebSocket-Version: 13\r\nupgrade: h2c\r\nUpgrade: websocket\r\n\r\n"},
		{"some removed", []string{"Host:", "Upgrade:", "Connection:", "Sec-WebSocket-Version:"}, start + key + "\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Handshake("/x", tt.lines...); got != tt.want {
				t.Errorf("Handshake(/x, %q) = %q, want %q", tt.lines, got, tt.want)
			}
		})
	}
}

func TestHeadIsVerbatim(t *testing.T) {
	const text = "GET / HTTP/1.1\r\nhost: a\r\nX-Two:  one \r\nX-two: two\r\n\r\nbehind"
	r := bufio.NewReader(strings.NewReader(text))
	h, err := readHead(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := h.String(), "GET / HTTP/1.1\nhost: a\nX-Two:  one \nX-two: two"; got != want {
		t.Errorf("head = %q, want %q", got, want)
	}
	if got := strings.Join(h.Values("x-TWO"), ","); got != "one,two" {
		t.Errorf("Values(x-TWO) = %q, want one,two", got)
	}
	if !h.Spelled("host") || h.Spelled("Host") {
		t.Error("the spelling of host is lost")
	}
	if rest, _ := io.ReadAll(r); string(rest) != "behind" {
		t.Errorf("behind the head: %q", rest)
	}
	if _, err := readHead(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost:"))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut head: %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

// A client and a backend of this package understand each other, over TLS too.
func TestClientMeetsBackend(t *testing.T) {
	ca := NewCA(t)
	tests := []struct {
		name   string
		behave Behaviour
		secure bool
		first  []ws.Frame // of the backend
	}{
		{name: "echo", behave: Echo},
		{name: "echo over TLS", behave: Echo, secure: true},
		{name: "glued", behave: Glued(Text("glued"), Ping("")), first: []ws.Frame{Text("glued"), Ping("")}},
		{name: "slowly", behave: Slowly},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, target := NewBackend(t, tt.behave), Target{}
			if tt.secure {
				b, target.TLS = NewTLSBackend(t, tt.behave, ca.Server(t, "backend.test")), ca.Client("backend.test")
			}
			target.Address = b.Address
			p := Open(t, target, Handshake("/"))
			p.Expect(tt.first...)
			p.Send(Part(ws.OpText, "a"), Ping("p"), Last("b"), Reserved(ws.NewBinaryFrame(make([]byte, 70_000)), true, false, true))
			p.Expect(Part(ws.OpText, "a"), Pong("p"), Last("b"), Reserved(ws.NewBinaryFrame(make([]byte, 70_000)), true, false, true))
			p.Send(Close(1000, "done"))
			p.Expect(Close(1000, "done"))
			p.ExpectEnd()
		})
	}
}

func TestBothEndsInOneTest(t *testing.T) {
	b := NewBackend(t, nil)
	key := [4]byte{1, 2, 3, 4}
	client, backend := Pair(t, Target{Address: b.Address}, b, Handshake("/"), "Sec-WebSocket-Protocol: chat")
	if got := client.Head.Get("Sec-WebSocket-Protocol"); got != "chat" {
		t.Errorf("subprotocol %q, want chat", got)
	}
	client.Send(ws.MaskFrameWith(Text("hello"), key))
	backend.Expect(ws.MaskFrameWith(Text("hello"), key))
	backend.Send(Close(1000, ""))
	client.ExpectClose(1000)
	backend.Expect(Close(1000, ""))
	backend.Close()
	client.ExpectEnd()
}

// An address that is reserved refuses connections, before and after it is used.
func TestReserve(t *testing.T) {
	address := Reserve(t)
	for range 2 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Fatalf("%s takes a connection, and nobody listens there", address)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := net.Dial("tcp", address); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		l.Close()
	}
}
