package upgrade

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"time"

	"sluice/internal/wire"
)

// maxAcceptTime is how long the client may take for the 101.
const maxAcceptTime = 10 * time.Second

// HTTP1Client is a client that has sent a handshake over HTTP/1.1 and waits for the
// answer.
type HTTP1Client struct {
	w http.ResponseWriter
	q *Request
}

// NewHTTP1Client returns the client of w. Its request is q, as [Check] returned it.
func NewHTTP1Client(w http.ResponseWriter, q *Request) *HTTP1Client { return &HTTP1Client{w, q} }

// Refuse sends the backend's refusal to the client, each piece as it comes, and
// closes its body. The client has as much time to take it as the backend has to
// send it. After an error the client must see that its answer is incomplete: the
// caller panics with [http.ErrAbortHandler].
func (c *HTTP1Client) Refuse(a *Answer) error {
	defer a.Body.Close()
	h := c.w.Header()
	maps.Copy(h, a.Header.HTTP())
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // otherwise the server guesses one
	}
	c.w.WriteHeader(a.Status)
	controller := http.NewResponseController(c.w)
	controller.SetWriteDeadline(time.Now().Add(MaxRefusalTime))
	if _, err := io.Copy(flushing{c.w, controller}, a.Body); err != nil {
		return fmt.Errorf("pass on the refusal: %w", err)
	}
	controller.SetWriteDeadline(time.Time{})
	return nil
}

// flushing sends at once what is written to it.
type flushing struct {
	w          io.Writer
	controller *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.controller.Flush()
	}
	return n, err
}

// Accept takes the connection over from the HTTP server and sends the 101. The
// returned Side, which is the caller's, has the bytes that the client has already
// sent after its request. After an error the connection is closed, unless it
// could not be taken over.
func (c *HTTP1Client) Accept(a *Answer) (wire.Side, error) {
	conn, rw, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return wire.Side{}, fmt.Errorf("take the connection over: %w", err)
	}
	var early []byte
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Reader.Peek(n)
		early = bytes.Clone(b) // the reader goes back to a pool
	}
	if err := switchProtocols(conn, c.q, a); err != nil {
		conn.Close()
		return wire.Side{}, fmt.Errorf("send the 101: %w", err)
	}
	return wire.Side{Conn: conn, Early: early}, nil
}

func switchProtocols(conn net.Conn, q *Request, a *Answer) error {
	if err := conn.SetDeadline(time.Now().Add(maxAcceptTime)); err != nil {
		return err
	}
	if _, err := conn.Write(q.AppendAccept(nil, a)); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// AppendAccept appends the 101 for the client.
func (q *Request) AppendAccept(b []byte, a *Answer) []byte {
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = append(append(b, acceptKey(q.key)...), "\r\n"...)
	b = appendHandshakeFields(b, a.Protocol, a.Extensions)
	return append(a.Header.Append(b), "\r\n"...)
}
