// Package probe asks endpoints whether they are healthy: by a connection, an HTTP
// request, or a WebSocket session that is opened, pinged and closed.
package probe

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/header"
	"sluice/proxy/backend"
	"sluice/upgrade"
)

// Bounds of what a probe reads.
const (
	maxBody   = 64 << 10 // bytes
	maxFrames = 32
)

// HTTP is a GET request and the answer that a healthy endpoint gives.
type HTTP struct {
	Path   string
	Host   string        // "" means the address of the endpoint
	Header header.Fields // of the request
	Status []int         // that are well; nil means 200 to 299
	Body   []byte        // that the first 64 KiB of the answer must contain
}

// WebSocket is a session that a healthy endpoint accepts.
type WebSocket struct {
	Path        string
	Host        string // "" means the address of the endpoint
	Header      header.Fields
	Subprotocol string // that the endpoint must agree to; "" means none
}

// Connect is a [backend.Probe] that opens a connection and closes it.
func Connect(ctx context.Context, l *backend.Lease) error {
	conn, err := l.Dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Ask is a [backend.Probe] that sends the request.
func (p *HTTP) Ask(ctx context.Context, l *backend.Lease) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Authority()+p.Path, nil)
	if err != nil {
		return err
	}
	r.Header, r.Host = p.Header.HTTP(), cmp.Or(p.Host, l.Authority())
	res, err := l.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if well := slices.Contains(p.Status, res.StatusCode); !well && (p.Status != nil || res.StatusCode/100 != 2) {
		return fmt.Errorf("the status is %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if !bytes.Contains(body, p.Body) {
		if err != nil {
			return err
		}
		return fmt.Errorf("the body does not contain %q", p.Body)
	}
	return nil
}

// Ask is a [backend.Probe] that opens a session, sends a ping, waits for the pong and
// closes the session.
func (p *WebSocket) Ask(ctx context.Context, l *backend.Lease) error {
	q := &upgrade.Request{Host: cmp.Or(p.Host, l.Authority()), Path: p.Path, Header: p.Header}
	if p.Subprotocol != "" {
		q.Protocols = []string{p.Subprotocol}
	}
	conn, a, err := upgrade.Offer(ctx, l.Stream, l.Dial, q)
	if err != nil {
		return err
	}
	defer conn.Close()
	switch {
	case a.Status != http.StatusSwitchingProtocols:
		return fmt.Errorf("the answer to the handshake is %d", a.Status)
	case a.Protocol != p.Subprotocol:
		return fmt.Errorf("the subprotocol is %q, not %q", a.Protocol, p.Subprotocol)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return pingPong(conn, a.Early)
}

// pingPong exchanges a ping and a pong, then the Close frames.
func pingPong(conn net.Conn, early []byte) error {
	said := []byte("sluice")
	if _, err := conn.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(said)))); err != nil {
		return fmt.Errorf("send a ping: %w", err)
	}
	in := io.LimitReader(io.MultiReader(bytes.NewReader(early), conn), maxBody)
	if err := await(in, func(h ws.Header, body []byte) bool {
		return h.OpCode == ws.OpPong && bytes.Equal(body, said)
	}); err != nil {
		return fmt.Errorf("wait for the pong: %w", err)
	}
	goodbye := ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	if _, err := conn.Write(ws.MustCompileFrame(ws.MaskFrame(goodbye))); err != nil {
		return fmt.Errorf("send a close: %w", err)
	}
	if err := await(in, func(h ws.Header, _ []byte) bool { return h.OpCode == ws.OpClose }); err != nil {
		return fmt.Errorf("wait for the answer to the close: %w", err)
	}
	return nil
}

// await reads frames until one is right. It ignores other frames, as backends may say
// something at the start of a session.
func await(in io.Reader, right func(ws.Header, []byte) bool) error {
	for range maxFrames {
		h, err := ws.ReadHeader(in)
		if err != nil {
			return err
		}
		if h.Masked || h.OpCode.IsControl() && h.Length > ws.MaxControlFramePayloadSize || h.OpCode.IsReserved() {
			return errors.New("the backend sent a frame that breaks the protocol")
		}
		var body []byte
		if h.OpCode.IsControl() {
			body = make([]byte, h.Length)
			_, err = io.ReadFull(in, body)
		} else {
			_, err = io.CopyN(io.Discard, in, h.Length)
		}
		if err != nil {
			return err
		}
		if right(h, body) {
			return nil
		}
		if h.OpCode == ws.OpClose {
			code, reason := ws.ParseCloseFrameData(body)
			return fmt.Errorf("the backend closed the session with %d %q", code, reason)
		}
	}
	return errors.New("the backend sent too many other frames")
}
