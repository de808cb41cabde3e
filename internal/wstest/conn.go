// Package wstest plays WebSocket clients and backends for tests, at the level
// of bytes: what it sends goes out as written, valid or not, and what it
// receives is kept as it came. It owns no policy and believes nothing of what
// sluice says about a session.
//
// A [Conn] is one end of a connection and returns errors; a [Peer] is a Conn in
// the hands of a test, which any surprise fails. A [Backend] is a listener that
// either follows a [Behaviour] or hands its connections to the test.
//
// Deadlines are guards against hanging for ever, never part of an assertion.
package wstest

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"

	"github.com/gobwas/ws"
)

// maxPayload bounds a frame that is read into memory.
const maxPayload = 128 << 20

// Conn is one end of a connection that is, or becomes, a WebSocket. Its methods
// are for one goroutine, but one may read while another writes.
type Conn struct {
	net.Conn
	Head Head // what the other side sent first: the request at a backend, the answer at a client

	in     *bufio.Reader
	client bool
}

func newConn(c net.Conn, client bool) *Conn {
	return &Conn{Conn: c, in: bufio.NewReader(Guarded(c)), client: client}
}

// Read returns bytes behind everything parsed so far.
func (c *Conn) Read(b []byte) (int, error) { return c.in.Read(b) }

// Send writes frames in one piece. At a client's end it masks those that are
// not masked yet; what is to go out unmasked there is written with Write.
func (c *Conn) Send(frames ...ws.Frame) error {
	_, err := c.Write(c.Encode(frames...))
	return err
}

// Encode returns the bytes that Send would write.
func (c *Conn) Encode(frames ...ws.Frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		if c.client && !f.Header.Masked {
			f = ws.MaskFrame(f)
		}
		b.Write(ws.MustCompileFrame(f))
	}
	return b.Bytes()
}

// Write sends bytes as they are.
func (c *Conn) Write(b []byte) (int, error) { return Guarded(c.Conn).Write(b) }

// Next reads one frame. The header is as it came, mask key included; the
// payload is unmasked. The error is io.EOF only at a frame's boundary.
func (c *Conn) Next() (ws.Frame, error) {
	h, err := c.header()
	if err != nil {
		return ws.Frame{}, err
	}
	if h.Length > maxPayload {
		return ws.Frame{}, fmt.Errorf("frame of %d bytes: more than the %d a test reads", h.Length, maxPayload)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if n, err := io.ReadFull(c, f.Payload); err != nil {
		return f, fmt.Errorf("payload cut after %d of %d bytes: %w", n, h.Length, err)
	}
	if h.Masked {
		ws.Cipher(f.Payload, h.Mask, 0)
	}
	return f, nil
}

// header reads a frame header: io.EOF before its first byte, another error
// inside it.
func (c *Conn) header() (ws.Header, error) {
	if _, err := c.in.Peek(1); err != nil {
		return ws.Header{}, err
	}
	h, err := ws.ReadHeader(c)
	if err != nil {
		return h, fmt.Errorf("frame header: %w", unexpected(err))
	}
	return h, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// CloseWrite ends what this side sends (over TLS with close_notify, and the
// connection stays open below it); reading goes on.
func (c *Conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("%T cannot be closed by half", c.Conn)
	}
	return half.CloseWrite()
}

// Accept answers the opening handshake in Head with 101. Each line, such as
// "Sec-WebSocket-Protocol: chat", adds to the answer or replaces the header of
// that name; a line without a value ("Sec-WebSocket-Accept:") removes it.
func (c *Conn) Accept(lines ...string) error {
	_, err := io.WriteString(c, c.acceptance(lines))
	return err
}

func (c *Conn) acceptance(lines []string) string {
	return message("HTTP/1.1 101 Switching Protocols", []string{
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Accept: " + AcceptKey(c.Head.Get("Sec-WebSocket-Key")),
	}, lines)
}

// AcceptKey is the Sec-WebSocket-Accept for a key (RFC 6455, section 4.2.2).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
