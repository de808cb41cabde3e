package wstest

import (
	"fmt"
	"io"
	"strings"

	"github.com/gobwas/ws"
)

// Echo accepts and echoes: data frames one by one with the fragmentation and
// reserved bits they came with, a pong for a ping, the close frame as it was. It ends at the first
// frame that is not masked.
func Echo(c *Conn) {
	if c.Accept() == nil {
		EchoFrames(c)
	}
}

// EchoFrames is Echo after the handshake.
func EchoFrames(c *Conn) {
	for {
		f, err := c.Next()
		if err != nil || !f.Header.Masked {
			return
		}
		h := f.Header
		answer := ws.NewFrame(h.OpCode, h.Fin, f.Payload)
		answer.Header.Rsv = h.Rsv
		switch h.OpCode {
		case ws.OpPong:
			continue
		case ws.OpPing:
			answer.Header.OpCode = ws.OpPong
		}
		if c.Send(answer) != nil || h.OpCode == ws.OpClose {
			return
		}
	}
}

// Accepting accepts with extra header lines, then does next.
func Accepting(next Behaviour, lines ...string) Behaviour {
	return func(c *Conn) {
		if c.Accept(lines...) == nil {
			next(c)
		}
	}
}

// Glued accepts and sends frames in the same write as its 101, then echoes.
func Glued(frames ...ws.Frame) Behaviour {
	return func(c *Conn) {
		if _, err := io.WriteString(c, c.acceptance(nil)+string(c.Encode(frames...))); err == nil {
			EchoFrames(c)
		}
	}
}

// Slowly accepts with a 101 that arrives byte by byte, then echoes.
func Slowly(c *Conn) {
	for _, b := range []byte(c.acceptance(nil)) {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
	}
	EchoFrames(c)
}

// Informing sends a 103 before it accepts, then echoes.
func Informing(c *Conn) {
	if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"); err == nil {
		Echo(c)
	}
}

// Answering sends an answer as it is and closes.
func Answering(answer string) Behaviour {
	return func(c *Conn) {
		if _, err := io.WriteString(c, answer); err == nil {
			drain(c)
		}
	}
}

// Refusing answers with a status, header lines and a body.
func Refusing(status, body string, lines ...string) Behaviour {
	return Answering(message("HTTP/1.1 "+status, []string{
		fmt.Sprintf("Content-Length: %d", len(body)),
		"Connection: close",
	}, lines) + body)
}

// Hanging never answers. It ends when the other side does.
func Hanging(c *Conn) {
	_, _ = io.Copy(io.Discard, c)
}

// HeadersForEver starts an answer whose header section has no end.
func HeadersForEver(c *Conn) {
	line := "X-Endless: " + strings.Repeat("x", 1000) + "\r\n"
	_, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
	for err == nil {
		_, err = io.WriteString(c, line)
	}
}

// Dying accepts, sends bytes as they are and closes.
func Dying(bytes string) Behaviour {
	return func(c *Conn) {
		if _, err := io.WriteString(c, c.acceptance(nil)+bytes); err == nil {
			_ = c.CloseWrite()
			drain(c)
		}
	}
}

// drain reads to the end, so that closing sends no reset that would destroy
// what was written last.
func drain(c *Conn) {
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}
