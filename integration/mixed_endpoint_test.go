//go:build linux

package integration

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

const (
	endpointsOfGroup = 2
	slowest          = 5 * time.Millisecond // between two pieces
)

// group is a backend of the configuration.
type group struct {
	name         string
	ca           string
	endpoints    []*mixedEndpoint
	disturbances changes
}

func (g *group) add(e *mixedEndpoint) { g.endpoints = append(g.endpoints, e) }

// config is the group in the configuration. Each endpoint has the settings.
func (g *group) config(settings string) string {
	var all []string
	for _, e := range g.endpoints {
		address := e.address
		switch {
		case e.tls != nil:
			address = "https://" + address
		case e.network == "unix":
			address = "unix:" + address
		}
		all = append(all, fmt.Sprintf("{ address: %q%s }", address, settings))
	}
	text := fmt.Sprintf("endpoints: [%s], queue: { length: 10000, timeout: 1m }", strings.Join(all, ", "))
	if g.ca != "" {
		text += fmt.Sprintf(", tls: { ca: %q }", g.ca)
	}
	return text
}

// mixedEndpoint is an endpoint that can be killed, and opened again at its address.
type mixedEndpoint struct {
	network, address string
	tls              *tls.Config

	mu       sync.Mutex
	listener net.Listener // nil while it is away
	conns    map[net.Conn]struct{}
}

// open opens an endpoint.
func (m *mix) open(e *mixedEndpoint) {
	l, err := net.Listen(e.network, e.address)
	if err != nil {
		m.t.Error(err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listener, e.conns = l, make(map[net.Conn]struct{})
	m.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // it is closed
			}
			if !e.add(l, c) {
				abort(c)
				return
			}
			m.running.Go(func() {
				defer e.remove(c)
				m.serve(e, c)
			})
		}
	})
}

// add notes a connection, unless its listener is closed.
func (e *mixedEndpoint) add(l net.Listener, c net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listener != l {
		return false
	}
	e.conns[c] = struct{}{}
	return true
}

func (e *mixedEndpoint) remove(c net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
	c.Close()
}

// reset resets all connections.
func (e *mixedEndpoint) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		abort(c)
	}
}

// kill closes the endpoint and resets its connections.
func (e *mixedEndpoint) kill() {
	e.mu.Lock()
	if e.listener != nil {
		e.listener.Close()
		e.listener = nil
	}
	e.mu.Unlock()
	e.reset()
}

// abort closes a connection with a reset, where there is such a thing.
func abort(c net.Conn) {
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	if s, ok := c.(*net.TCPConn); ok {
		_ = s.SetLinger(0)
	}
	c.Close()
}

// serve serves a connection.
func (m *mix) serve(e *mixedEndpoint, c net.Conn) {
	if e.tls != nil {
		c = tls.Server(c, e.tls)
	}
	defer c.Close() // with TLS, only this tells the end of the stream
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return // the gateway keeps it no longer, or it was reset
		}
		n, err := strconv.ParseUint(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], 10, 64)
		x, ok := m.live.Load(n)
		if err != nil || !ok {
			return // the client has left
		}
		q := x.(*request)
		if q.received.Add(1) > 1 && q.method == http.MethodPost {
			m.t.Errorf("%v: it was sent twice", q)
		}
		again, err := m.reply(q, r, c, in)
		if wrong := fault(""); errors.As(err, &wrong) {
			m.t.Errorf("%v: the endpoint: %v", q, err)
		}
		if err != nil || !again {
			return
		}
	}
}

// reply answers a request, and reports whether another one may follow.
func (m *mix) reply(q *request, r *http.Request, c net.Conn, in *bufio.Reader) (again bool, err error) {
	if q.course == becomes {
		return false, m.echo(r, c, in)
	}
	most := q.size
	if q.course == refuses {
		most = q.at
	}
	if r.Method != q.method {
		return false, fault("it came as " + r.Method)
	}
	if err := m.hear(io.LimitReader(r.Body, int64(most)), nil, q.offset, q.size); err != nil {
		return false, err
	}
	if most == q.size {
		if n, err := io.Copy(io.Discard, r.Body); err != nil { // the trailer section
			return false, err
		} else if n > 0 {
			return false, fault(fmt.Sprintf("%d bytes came behind the body", n))
		}
		if got, want := r.Trailer.Get(numberTrailer), q.marked(q.method == http.MethodPost && q.framing == inChunks); got != want {
			return false, fault(fmt.Sprintf("the trailer %q came, want %q", got, want))
		}
	}
	if q.course == drops {
		abort(c)
		return false, nil
	}
	random := q.random(backend)
	send := q.sender(c, random)
	closes := q.closes || r.Close
	if err := send([]byte(q.reply(closes))); err != nil {
		return false, err
	}
	switch end := q.answer; {
	case q.answerless():
	case q.course == cuts:
		if err := m.pieces(q, random, send, q.replying, q.replied, q.at, false); err != nil {
			return false, err
		}
		if !q.softly {
			abort(c)
		}
		return false, nil
	default:
		if err := m.pieces(q, random, send, q.replying, q.replied, end, true); err != nil {
			return false, err
		}
	}
	if q.course == refuses && !closes { // what it does not want may still come
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return !closes, nil
}

// marked is the value of numberHeader, where there is one.
func (q *request) marked(there bool) string {
	if !there {
		return ""
	}
	return strconv.FormatUint(q.number, 10)
}

// hear reads a body to its end, or to the end of the connection, and compares it. Read is told
// how much came.
func (m *mix) hear(body io.Reader, read func(n int), offset, size int) error {
	b := make([]byte, 32<<10)
	for pos := 0; ; {
		n, err := body.Read(b)
		if wrong := m.compare(b[:n], offset, pos, size); wrong != nil {
			return wrong
		}
		if pos += n; read != nil {
			read(n)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// echo is a session that sends all messages back.
func (m *mix) echo(r *http.Request, c net.Conn, in *bufio.Reader) error {
	_, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		wstest.AcceptKey(r.Header.Get("Sec-WebSocket-Key")))
	for err == nil {
		var f ws.Frame
		if f, err = wstest.ReadFrame(in); err != nil {
			return err
		}
		if !f.Header.Masked {
			return fault("a frame of the client came without a mask")
		}
		if err = ws.WriteFrame(c, ws.UnmaskFrameInPlace(f)); f.Header.OpCode == ws.OpClose {
			return err
		}
	}
	return err
}

// late reports whether an error is that of a guard.
func late(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
