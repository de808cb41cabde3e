package proxy

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

	"sluice/config"
	"sluice/proxy/backend"
	"sluice/upgrade"
)

// Bounds of what a probe reads.
const (
	maxProbeBody   = 64 << 10 // bytes
	maxProbeFrames = 32
)

// probe returns how a backend's endpoints are asked for their health.
func probe(c *config.Health) backend.Probe {
	if c == nil {
		return nil
	}
	h := make(http.Header)
	for name, value := range c.Headers {
		h.Set(name, value)
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{"sluice-health"}
	}
	switch c.Check {
	case "http":
		p := &httpProbe{path: c.Path, host: c.Host, header: h, status: slices.Clone(c.Status), body: []byte(c.Body)}
		return p.ask
	case "websocket":
		p := &socketProbe{path: c.Path, host: c.Host, header: h, protocol: c.Subprotocol}
		return p.ask
	}
	return func(ctx context.Context, l *backend.Lease) error {
		conn, err := l.Dial(ctx)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// httpProbe sends a GET request.
type httpProbe struct {
	path, host string
	header     http.Header
	status     []int // nil for 200 to 299
	body       []byte
}

func (p *httpProbe) ask(ctx context.Context, l *backend.Lease) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Authority()+p.path, nil)
	if err != nil {
		return err
	}
	r.Header, r.Host = p.header.Clone(), cmp.Or(p.host, l.Authority())
	res, err := l.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if well := slices.Contains(p.status, res.StatusCode); !well && (p.status != nil || res.StatusCode/100 != 2) {
		return fmt.Errorf("the status is %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProbeBody))
	if !bytes.Contains(body, p.body) {
		if err != nil {
			return err
		}
		return fmt.Errorf("the body does not contain %q", p.body)
	}
	return nil
}

// socketProbe opens a session, sends a ping, waits for the pong and closes.
type socketProbe struct {
	path, host, protocol string
	header               http.Header
}

func (p *socketProbe) ask(ctx context.Context, l *backend.Lease) error {
	q := &upgrade.Request{Host: cmp.Or(p.host, l.Authority()), Path: p.path, Header: p.header}
	if p.protocol != "" {
		q.Protocols = []string{p.protocol}
	}
	conn, a, err := offer(ctx, l, q)
	if err != nil {
		return err
	}
	defer conn.Close()
	switch {
	case a.Status != http.StatusSwitchingProtocols:
		return fmt.Errorf("the answer to the handshake is %d", a.Status)
	case a.Protocol != p.protocol:
		return fmt.Errorf("the subprotocol is %q, not %q", a.Protocol, p.protocol)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return pingPong(conn, a.Early)
}

// pingPong takes a session to its end: ping and pong, close and close.
func pingPong(conn net.Conn, early []byte) error {
	said := []byte("sluice")
	if _, err := conn.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(said)))); err != nil {
		return fmt.Errorf("send a ping: %w", err)
	}
	in := io.LimitReader(io.MultiReader(bytes.NewReader(early), conn), maxProbeBody)
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

// await reads frames until one is the right one. What else a backend says at
// the start of a session is passed over.
func await(in io.Reader, right func(ws.Header, []byte) bool) error {
	for range maxProbeFrames {
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
