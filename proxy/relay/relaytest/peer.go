package relaytest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
)

// A Peer is the far end of one side of a session.
type Peer struct {
	net.Conn
	T    testing.TB
	Side core.Side
}

// Send sends frames.
func (p *Peer) Send(frames ...ws.Frame) {
	p.T.Helper()
	p.SendRaw(frametest.Encode(p.Side, frames...))
}

// SendRaw sends bytes.
func (p *Peer) SendRaw(b []byte) {
	p.T.Helper()
	if _, err := p.Write(b); err != nil {
		p.T.Fatalf("the %s can not send: %v", p.Side, err)
	}
}

// Receive reads frames that the other side sent: as many bytes as they have.
func (p *Peer) Receive(frames ...ws.Frame) {
	p.T.Helper()
	want := frametest.Encode(p.Side.Other(), frames...)
	got := make([]byte, len(want))
	n, err := io.ReadFull(p, got)
	if string(got) != string(want) {
		r := frametest.Parse(p.Side.Other(), false, got[:n])
		p.T.Fatalf("the %s got %s, %v", p.Side, &r, err)
	}
}

// ReadRest reads to the end of the stream and describes what came.
func (p *Peer) ReadRest() string {
	p.T.Helper()
	b, err := io.ReadAll(p)
	r := frametest.Parse(p.Side.Other(), false, b)
	if err != nil {
		return r.String() + ", then " + err.Error()
	}
	return r.String()
}

// ExpectRest reads to the end of the stream and compares what came.
func (p *Peer) ExpectRest(want string) {
	p.T.Helper()
	if got := p.ReadRest(); got != want {
		p.T.Errorf("the %s got %s; want %s", p.Side, got, want)
	}
}

// AnswerClose reads to a Close frame, compares what came, answers, and closes as RFC 6455
// says: a server at once, a client after the server.
func (p *Peer) AnswerClose(want string, f ws.Frame) {
	p.T.Helper()
	p.ExpectClose(want)
	p.Write(frametest.Encode(p.Side, f)) // the gateway may be gone
	if p.Side == core.Client {
		p.ExpectRest("")
	}
	p.Close()
}

// ExpectClose reads to a Close frame and compares what came, but for frames that begin with ignored
// in their description.
func (p *Peer) ExpectClose(want string, ignored ...string) {
	p.T.Helper()
	var b []byte
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(p, one); err != nil {
			r := frametest.Parse(p.Side.Other(), false, b)
			p.T.Errorf("the %s got %s, then %v; want %s", p.Side, &r, err, want)
			break
		}
		b = append(b, one[0])
		if r := frametest.Parse(p.Side.Other(), false, b); r.Closed {
			r.Frames = slices.DeleteFunc(r.Frames, func(f string) bool {
				return slices.ContainsFunc(ignored, func(begin string) bool { return strings.HasPrefix(f, begin) })
			})
			if r.String() != want {
				p.T.Errorf("the %s got %s; want %s", p.Side, &r, want)
			}
			break
		}
	}
}

// ReadPing reads a ping of the gateway's own and returns its payload.
func (p *Peer) ReadPing() string {
	p.T.Helper()
	f, err := wstest.ReadFrame(p)
	if err != nil || f.Header.OpCode != ws.OpPing || f.Header.Length != 8 || f.Header.Masked != (p.Side == core.Backend) {
		p.T.Fatalf("the %s got %+v, %v; want a ping of the gateway's", p.Side, f.Header, err)
	}
	if f.Header.Masked {
		f = ws.UnmaskFrame(f)
	}
	return string(f.Payload)
}

// CloseWrite ends the stream of the peer.
func (p *Peer) CloseWrite() {
	p.T.Helper()
	// With TLS the gateway knows the end from the close_notify, and may have closed the socket.
	if err := wire.CloseWrite(p.Conn); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		p.T.Fatal(err)
	}
}

// Reset resets the connection.
func (p *Peer) Reset() {
	c := p.Conn
	for s, ok := c.(interface{ NetConn() net.Conn }); ok; s, ok = c.(interface{ NetConn() net.Conn }) {
		c = s.NetConn()
	}
	switch c := c.(type) {
	case *memoryConn:
		c.reset()
	case *net.TCPConn:
		c.SetLinger(0)
		c.Close()
	}
}

// ShutdownClose describes the Close frame that a side gets when the gateway shuts down. Only
// clients get a reason.
func ShutdownClose(side core.Side) string {
	if side == core.Backend {
		return "close 1001"
	}
	return `close 1001 "shutdown"`
}

// RandomPayload returns n random bytes, the same for the same n.
func RandomPayload(n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 3))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// WriteInPieces writes b in pieces of random sizes.
func WriteInPieces(w io.Writer, b []byte, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 7))
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(1<<(1+r.IntN(19))))
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// LostCode returns the code that tells the other side that a side was lost.
func LostCode(side core.Side) ws.StatusCode {
	if side == core.Client {
		return 1001
	}
	return 1014
}

// Bulk is the length of a payload that does not fit into the buffers of a Tight link and a
// pipe.
const Bulk = 2 << 20

// Conversation returns frames of a side, with everything that a gateway could get wrong.
func Conversation(side core.Side) []byte {
	var b bytes.Buffer
	for _, n := range []int{0, 1, 125, 126, 127, 511, 512, 513, 65535, 65536, 1 << 20} {
		b.Write(frametest.Encode(side, frametest.Binary(strings.Repeat("x", n))))
	}
	b.Write(frametest.Encode(side,
		wstest.Part(ws.OpText, "frag"), wstest.Ping(strings.Repeat("p", 125)),
		ws.NewFrame(ws.OpContinuation, false, nil), wstest.Pong(""), wstest.Last("mented"),
		wstest.Text("no text \xff"), wstest.Part(ws.OpBinary, ""), wstest.Last(""),
	))
	b.Write(bytes.Repeat(frametest.Encode(side, wstest.Text("tiny")), 10_000))
	return b.Bytes()
}

// AnswerPings answers the pings of the gateway, without allocating, until the connection ends.
func AnswerPings(p *Peer) {
	in := make([]byte, len(frametest.Encode(p.Side.Other(), wstest.Ping("8 bytes."))))
	out := frametest.Encode(p.Side, wstest.Pong("8 bytes."))
	for {
		if _, err := io.ReadFull(p, in); err != nil {
			return
		}
		for i, c := range in[len(in)-8:] {
			if p.Side == core.Backend {
				c ^= in[2+i%4]
			} else {
				c ^= out[2+i%4]
			}
			out[len(out)-8+i] = c
		}
		if _, err := p.Write(out); err != nil {
			return
		}
	}
}

// Converse lets both sides send their Conversation at the same time.
func Converse(t *testing.T, c, b *Peer) {
	t.Helper()
	var both sync.WaitGroup
	for _, p := range []*Peer{c, b} {
		both.Go(func() { p.Write(Conversation(p.Side)) })
		both.Go(func() {
			want := Conversation(p.Side.Other())
			got := make([]byte, len(want))
			if n, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the %s got other bytes than were sent, or %d of %d, %v", p.Side, n, len(want), err)
			}
		})
	}
	both.Wait()
}
