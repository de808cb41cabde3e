package integration

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// ways returns the gateway over ws and wss, and its backend without the gateway: what is right
// without the gateway is right through it.
func ways(g *gateway, b *wstest.Backend) map[string]wstest.Target {
	all := g.schemes()
	all["direct"] = wstest.Target{Address: b.Address}
	return all
}

func echoing(t *testing.T, behave wstest.Behaviour) map[string]wstest.Target {
	t.Helper()
	b := wstest.NewBackend(t, behave)
	return ways(start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address)), b)
}

// goodbye closes a session to an echo as a client should.
func goodbye(p wstest.Peer) {
	p.Send(wstest.Close(1000, "done"))
	p.Expect(wstest.Close(1000, "done"))
	p.ExpectEnd()
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	binary := func(n int) ws.Frame { return ws.NewBinaryFrame(bytes.Repeat([]byte{0, 0xff, 0x81}, n/3+1)[:n]) }
	var tiny []ws.Frame
	for i := range 10_000 {
		tiny = append(tiny, wstest.Text(strconv.Itoa(i%10)))
	}
	tests := []struct {
		name       string
		send, want []ws.Frame // want is send where it is nil
	}{
		{name: "text", send: []ws.Frame{wstest.Text("hello, wörld")}},
		{name: "binary", send: []ws.Frame{binary(256)}},
		{name: "empty text", send: []ws.Frame{wstest.Text("")}},
		{name: "empty binary", send: []ws.Frame{binary(0)}},
		{name: "invalid UTF-8 in a text", send: []ws.Frame{wstest.Text("\xff\xfe\x80")}},
		{name: "lengths where the encoding changes", send: []ws.Frame{binary(125), binary(126), binary(127), binary(65535), binary(65536)}},
		{name: "lengths around a buffer", send: []ws.Frame{binary(4095), binary(4096), binary(16384), binary(32767), binary(32769)}},
		{name: "1 MiB", send: []ws.Frame{binary(1 << 20)}},
		{name: "fragments", send: []ws.Frame{wstest.Part(ws.OpText, "a"), wstest.Part(ws.OpContinuation, ""), wstest.Part(ws.OpContinuation, "b"), wstest.Last("")}},
		{name: "fragments that cut a rune", send: []ws.Frame{wstest.Part(ws.OpText, "\xc3"), wstest.Last("\xa9")}},
		{
			name: "pings between fragments",
			send: []ws.Frame{wstest.Part(ws.OpBinary, "a"), wstest.Ping("1"), wstest.Part(ws.OpContinuation, "b"), wstest.Ping(""), wstest.Last("c")},
			want: []ws.Frame{wstest.Part(ws.OpBinary, "a"), wstest.Pong("1"), wstest.Part(ws.OpContinuation, "b"), wstest.Pong(""), wstest.Last("c")},
		},
		{
			name: "ping of 125 bytes of anything",
			send: []ws.Frame{wstest.Ping(strings.Repeat("\x00\xff\x0d\x0a\x88", 25))},
			want: []ws.Frame{wstest.Pong(strings.Repeat("\x00\xff\x0d\x0a\x88", 25))},
		},
		{name: "10,000 tiny frames in one segment", send: tiny},
	}
	for way, target := range echoing(t, wstest.Echo) {
		t.Run(way, func(t *testing.T) {
			for i, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					want := tt.want
					if want == nil {
						want = tt.send
					}
					p := wstest.Open(t, target, wstest.Handshake(fmt.Sprintf("/%d", i)))
					p.Send(tt.send...)
					p.Expect(want...)
					goodbye(p)
				})
			}
		})
	}
}

func TestFramesMayArriveByteByByte(t *testing.T) {
	t.Parallel()
	frames := []ws.Frame{
		wstest.Text("hello"), wstest.Text(""), ws.NewBinaryFrame(make([]byte, 200)),
		wstest.Part(ws.OpText, "a"), wstest.Last("b"), wstest.Close(1000, "done"),
	}
	for way, target := range echoing(t, wstest.Echo) {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := wstest.Open(t, target, wstest.Handshake("/"))
			p.Trickle(p.Encode(frames...))
			p.Expect(frames...)
			p.ExpectEnd()
		})
	}
}

func TestBytesBehindTheRequestArrive(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		frames []ws.Frame
	}{
		{"some frames", []ws.Frame{wstest.Text("early"), wstest.Part(ws.OpText, "bird"), wstest.Last("s")}},
		{"a close", nil},
		{"100 KiB", []ws.Frame{ws.NewBinaryFrame(bytes.Repeat([]byte("0123456789abcdef"), 100<<10/16))}},
	}
	for way, target := range echoing(t, wstest.Echo) {
		for _, tt := range tests {
			t.Run(way+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				frames := append(tt.frames, wstest.Close(1000, ""))
				p := wstest.Dial(t, target)
				request := wstest.Handshake("/")
				p.WriteString(request + string(p.Encode(frames...)))
				p.Opened(request)
				p.Expect(frames...)
				p.ExpectEnd()
			})
		}
	}
}

// Bytes that a client sends before the backend has accepted wait, and are not lost.
func TestBytesBehindTheRequestWaitForTheBackend(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for scheme, target := range g.schemes() {
		t.Run(scheme, func(t *testing.T) {
			client := wstest.Dial(t, target)
			request := wstest.Handshake("/")
			client.WriteString(request + string(client.Encode(wstest.Text("with it"))))
			backend := b.Next(t)
			client.Send(wstest.Text("behind it"))
			if err := backend.Accept(); err != nil {
				t.Fatal(err)
			}
			client.Opened(request)
			client.Send(wstest.Text("after it"))
			backend.Expect(wstest.Text("with it"), wstest.Text("behind it"), wstest.Text("after it"))
		})
	}
}

func TestBytesBehindTheAnswerArrive(t *testing.T) {
	t.Parallel()
	frames := []ws.Frame{wstest.Text("glued"), wstest.Ping("glued"), ws.NewBinaryFrame(make([]byte, 10_000))}
	for way, target := range echoing(t, wstest.Glued(frames...)) {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := wstest.Open(t, target, wstest.Handshake("/"))
			p.Expect(frames...)
			goodbye(p)
		})
	}
}

func TestMaskKeysAndFragmentsPassUnchanged(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	for way, target := range ways(start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address)), b) {
		t.Run(way, func(t *testing.T) {
			client, backend := wstest.Pair(t, target, b, wstest.Handshake("/"))
			frames := []ws.Frame{
				ws.MaskFrameWith(wstest.Text("one"), [4]byte{1, 2, 3, 4}),
				ws.MaskFrameWith(wstest.Part(ws.OpBinary, "two"), [4]byte{0, 0, 0, 0}),
				ws.MaskFrameWith(wstest.Pong("unasked"), [4]byte{0xff, 0xff, 0xff, 0xff}),
				ws.MaskFrameWith(wstest.Last(strings.Repeat("three", 50_000)), [4]byte{0x0d, 0x0a, 0x0d, 0x0a}),
				ws.MaskFrameWith(wstest.Close(4000, "four"), [4]byte{4, 3, 2, 1}),
			}
			client.Send(frames...)
			backend.Expect(frames...)

			back := []ws.Frame{wstest.Pong("unasked"), wstest.Part(ws.OpText, "a"), wstest.Ping("p"), wstest.Last("b"), wstest.Close(4001, "mine")}
			backend.Send(back...)
			client.Expect(back...)
		})
	}
}

func TestCloseFramesPassVerbatim(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	codes := []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999}
	for scheme, target := range g.schemes() {
		for _, by := range []string{"client", "backend"} {
			for _, code := range codes {
				t.Run(fmt.Sprintf("%s %d by %s", scheme, code, by), func(t *testing.T) {
					uri := fmt.Sprintf("/%s/%s/%d", scheme, by, code)
					client, backend := wstest.Pair(t, target, b, wstest.Handshake(uri))
					from, to := client, backend
					if by == "backend" {
						from, to = backend, client
					}
					from.Send(wstest.Text("last words"), wstest.Close(code, "bye – "+by))
					to.Expect(wstest.Text("last words"), wstest.Close(code, "bye – "+by))
					to.Send(wstest.Close(code, "understood"))
					from.Expect(wstest.Close(code, "understood"))
					backend.Close()
					client.ExpectEnd()
					expect(t, g.ended(uri), record{
						"close_code": code, "close_reason": "bye – " + by, "ended_by": by, "cause": "close",
						by + "_messages": 1, by + "_bytes": len("last words"),
					})
				})
			}
			t.Run(scheme+" without a code by "+by, func(t *testing.T) {
				client, backend := wstest.Pair(t, target, b, wstest.Handshake("/empty"))
				from, to := client, backend
				if by == "backend" {
					from, to = backend, client
				}
				from.Send(ws.NewCloseFrame(nil))
				to.Expect(ws.NewCloseFrame(nil))
				to.Send(ws.NewCloseFrame(nil))
				from.Expect(ws.NewCloseFrame(nil))
				backend.Close()
				client.ExpectEnd()
			})
			t.Run(scheme+" answered with another code after more data by "+by, func(t *testing.T) {
				client, backend := wstest.Pair(t, target, b, wstest.Handshake("/late"))
				from, to := client, backend
				if by == "backend" {
					from, to = backend, client
				}
				from.Send(wstest.Close(1000, ""))
				to.Expect(wstest.Close(1000, ""))
				to.Send(wstest.Text("still on its way"), wstest.Close(3001, "so be it"))
				from.Expect(wstest.Text("still on its way"), wstest.Close(3001, "so be it"))
			})
		}
	}
}

// A client that has ended its stream still gets the answers.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	frames := []ws.Frame{wstest.Text("one"), ws.NewBinaryFrame(make([]byte, 300_000)), wstest.Text("three")}
	for scheme, target := range g.schemes() {
		t.Run(scheme, func(t *testing.T) {
			client, backend := wstest.Pair(t, target, b, wstest.Handshake("/"+scheme))
			client.Send(frames...)
			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			backend.Expect(frames...)
			backend.Send(frames...)
			backend.ExpectClose(1001)
			client.Expect(frames...)
			// The backend's answer to the close may follow, or not.
			if f, err := client.Next(); err == nil && f.Header.OpCode != ws.OpClose || err != nil && err != io.EOF {
				t.Errorf("behind the answers: opcode %x %q, %v; want a close or the end", f.Header.OpCode, f.Payload, err)
			}
			client.Close()
			backend.ExpectEnd()
			expect(t, g.ended("/"+scheme), record{"ended_by": "client", "cause": "client lost"})
		})
	}
}
