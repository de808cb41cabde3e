package wstest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// Peer is a Conn in the hands of a test: it fails the test at the first thing
// that is not as expected. Its methods belong to the test's goroutine.
type Peer struct {
	*Conn
	t testing.TB
}

// Target is where a client connects.
type Target struct {
	Address string      // host:port, or unix:path
	TLS     *tls.Config // nil: plain
	Preface string      // sent before everything else
}

// URL returns the http or https URL of a path at the target.
func (a Target) URL(path string) string {
	if a.TLS != nil {
		return "https://" + a.Address + path
	}
	return "http://" + a.Address + path
}

// Dial connects to a target; over TLS the handshake is done. The connection is
// closed when the test ends.
func Dial(t testing.TB, a Target) Peer {
	t.Helper()
	network, address := "tcp", a.Address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	c, err := net.DialTimeout(network, address, Guard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, a.Preface); err != nil {
		t.Fatal(err)
	}
	if a.TLS != nil {
		s := tls.Client(c, a.TLS)
		if err := s.SetDeadline(time.Now().Add(Guard)); err != nil {
			t.Fatal(err)
		}
		if err := s.Handshake(); err != nil {
			t.Fatalf("TLS handshake with %s: %v", a.Address, err)
		}
		c = s
	}
	return Peer{newConn(c, true), t}
}

// Open dials and completes an opening handshake. The handshake is sent as it is, with whatever
// the test puts behind it. The answer is in Head.
func Open(t testing.TB, a Target, handshake string) Peer {
	t.Helper()
	p := Dial(t, a)
	p.WriteString(handshake)
	p.Opened(handshake)
	return p
}

// Opened reads the answer to a handshake that was sent: 101, with the right
// Sec-WebSocket-Accept.
func (p Peer) Opened(handshake string) {
	p.t.Helper()
	p.ReadHead()
	if !strings.HasPrefix(p.Head.Start, "HTTP/1.1 101 ") {
		rest, _ := io.ReadAll(io.LimitReader(p, 4096))
		p.t.Fatalf("the handshake was answered with\n%s\n\n%s", p.Head, rest)
	}
	head, _, _ := strings.Cut(handshake, "\r\n\r\n")
	sent := Head{Lines: strings.Split(head, "\r\n")}
	if got, want := p.Head.Values("Sec-WebSocket-Accept"), AcceptKey(sent.Get("Sec-WebSocket-Key")); !slices.Equal(got, []string{want}) {
		p.t.Fatalf("Sec-WebSocket-Accept = %q, want %q", got, want)
	}
}

// Pair opens a session and returns both its ends: it sends handshake to a and
// answers it at b, which has no behaviour of its own, with the accept lines.
func Pair(t testing.TB, a Target, b *Backend, handshake string, accept ...string) (client, backend Peer) {
	t.Helper()
	client = Dial(t, a)
	client.WriteString(handshake)
	backend = b.Next(t)
	if err := backend.Accept(accept...); err != nil {
		t.Fatal(err)
	}
	client.Opened(handshake)
	return client, backend
}

// Ask sends a request as it is and returns the answer with its whole body. The
// connection is still open where the answer allows it.
func Ask(t testing.TB, a Target, request string) (*http.Response, string) {
	t.Helper()
	p := Dial(t, a)
	p.WriteString(request)
	return p.Answer(request)
}

// Answer reads the answer to a request that was sent, and its whole body.
func (p Peer) Answer(request string) (*http.Response, string) {
	p.t.Helper()
	method, _, _ := strings.Cut(request, " ")
	r, err := http.ReadResponse(p.in, &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("no answer to %q: %v", firstLine(request), err)
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatalf("body of the answer to %q: %v", firstLine(request), err)
	}
	return r, string(body)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\r\n")
	return line
}

// ReadHead reads the start line and headers of the other side into Head.
func (p Peer) ReadHead() {
	p.t.Helper()
	head, err := readHead(p.in)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Head = head
}

// WriteString sends bytes as they are.
func (p Peer) WriteString(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, s); err != nil {
		p.t.Fatal(err)
	}
}

// Send sends frames in one piece, as [Conn.Send] does.
func (p Peer) Send(frames ...ws.Frame) {
	p.t.Helper()
	if err := p.Conn.Send(frames...); err != nil {
		p.t.Fatal(err)
	}
}

// Trickle sends bytes one by one, each in a packet of its own.
func (p Peer) Trickle(b []byte) {
	p.t.Helper()
	for i := range b {
		p.WriteString(string(b[i : i+1]))
	}
}

// Reset drops the connection without a word, as a crash or a pulled plug does.
func (p Peer) Reset() {
	p.t.Helper()
	c := p.Conn.Conn
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		if err := tcp.SetLinger(0); err != nil {
			p.t.Fatal(err)
		}
	}
	c.Close()
}

// Expect reads as many frames as are wanted and compares them: final bit,
// reserved bits, opcode and payload, mask keys where the wanted frame has one.
// A backend's end expects every frame masked, a client's end none.
func (p Peer) Expect(want ...ws.Frame) {
	p.t.Helper()
	for i, w := range want {
		got, err := p.Next()
		if err != nil {
			p.t.Fatalf("frame %d of %d: got %v, want %s", i+1, len(want), err, describe(w))
		}
		if got.Header.Masked == p.client {
			p.t.Fatalf("frame %d of %d: %s is masked: %t", i+1, len(want), describe(got), got.Header.Masked)
		}
		if w.Header.Masked {
			if got.Header.Mask != w.Header.Mask {
				p.t.Fatalf("frame %d of %d: mask key %x, want %x", i+1, len(want), got.Header.Mask, w.Header.Mask)
			}
			w = ws.UnmaskFrame(w)
		}
		g, h := got.Header, w.Header
		if g.Fin != h.Fin || g.Rsv != h.Rsv || g.OpCode != h.OpCode || !bytes.Equal(got.Payload, w.Payload) {
			p.t.Fatalf("frame %d of %d: got %s, want %s", i+1, len(want), describe(got), describe(w))
		}
	}
}

// ExpectClose reads a close frame with a code and whatever reason, and answers
// it with the same code.
func (p Peer) ExpectClose(code int) {
	p.t.Helper()
	f, err := p.Next()
	if err != nil {
		p.t.Fatalf("got %v, want a close frame with %d", err, code)
	}
	if got, reason := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || int(got) != code {
		p.t.Fatalf("got %s (reason %q), want a close frame with %d", describe(f), reason, code)
	}
	if f.Header.Masked == p.client {
		p.t.Fatalf("close frame is masked: %t", f.Header.Masked)
	}
	// The other side may be gone already and need no answer.
	_ = p.Conn.Send(Close(code, ""))
}

// ExpectEnd expects an orderly end of the connection, and nothing before it.
// A backend's end ends its stream first, as servers do (RFC 6455, section
// 7.1.1); a client's end closes once it has seen the end of the other side's.
func (p Peer) ExpectEnd() {
	p.t.Helper()
	defer p.Close()
	if !p.client {
		// The other side may be gone already.
		_ = p.CloseWrite()
	}
	switch f, err := p.Next(); {
	case err == nil:
		p.t.Fatalf("got %s, want the end of the connection", describe(f))
	case err != io.EOF:
		p.t.Fatalf("got %v, want an orderly end of the connection", err)
	}
}

// ExpectCut expects the connection to end within a guard, in order or not. Then it closes this
// end too.
func (p Peer) ExpectCut() {
	p.t.Helper()
	defer p.Close()
	if _, err := io.Copy(io.Discard, p); errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("the connection is still open after %v", Guard)
	}
}

func describe(f ws.Frame) string {
	names := map[ws.OpCode]string{
		ws.OpContinuation: "continuation", ws.OpText: "text", ws.OpBinary: "binary",
		ws.OpClose: "close", ws.OpPing: "ping", ws.OpPong: "pong",
	}
	name, ok := names[f.Header.OpCode]
	if !ok {
		name = fmt.Sprintf("opcode %#x", byte(f.Header.OpCode))
	}
	payload := fmt.Sprintf("%q", f.Payload)
	if len(f.Payload) > 160 {
		payload = fmt.Sprintf("%q... (%d bytes)", f.Payload[:32], len(f.Payload))
	}
	return fmt.Sprintf("%s frame (fin %t, rsv %03b) %s", name, f.Header.Fin, f.Header.Rsv, payload)
}
