package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// A queue is one direction of a connection in memory.
type memoryQueue struct {
	mu      sync.Mutex
	changed sync.Cond
	limit   int // bytes it holds before a writer waits
	b       []byte
	end     error // for the reader, behind b
	refused error // for the writer
	late    bool  // the writer's deadline is over
	timer   *time.Timer
}

// memoryConn is one end of a connection in memory: a socket with buffers, halves
// and resets, which testing/synctest sees through.
type memoryConn struct {
	net.Conn // nil: an engine needs no addresses and no deadlines
	in, out  *memoryQueue
}

// inMemory returns both ends of a connection.
func inMemory(limit int) (a, b net.Conn) {
	x, y := &memoryQueue{limit: limit}, &memoryQueue{limit: limit}
	x.changed.L, y.changed.L = &x.mu, &y.mu
	return &memoryConn{in: x, out: y}, &memoryConn{in: y, out: x}
}

func (m *memoryConn) Read(p []byte) (int, error) {
	q := m.in
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.b) == 0 && q.end == nil {
		q.changed.Wait()
	}
	if len(q.b) == 0 {
		return 0, q.end
	}
	n := copy(p, q.b)
	q.b = q.b[n:]
	q.changed.Broadcast()
	return n, nil
}

func (m *memoryConn) Write(p []byte) (n int, err error) {
	q := m.out
	q.mu.Lock()
	defer q.mu.Unlock()
	for n < len(p) {
		for len(q.b) >= q.limit && q.refused == nil && !q.late {
			q.changed.Wait()
		}
		switch {
		case q.refused != nil:
			return n, q.refused
		case q.late:
			return n, os.ErrDeadlineExceeded
		}
		k := min(q.limit-len(q.b), len(p)-n)
		q.b = append(q.b, p[n:n+k]...)
		n += k
		q.changed.Broadcast()
	}
	return n, nil
}

// finish sets the errors that are not set yet.
func (q *memoryQueue) finish(end, refused error, drop bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.end == nil && end != nil {
		q.end = end
	}
	if q.refused == nil {
		q.refused = refused
	}
	if drop {
		q.b = nil
	}
	q.changed.Broadcast()
}

func (m *memoryConn) CloseWrite() error {
	m.out.finish(io.EOF, net.ErrClosed, false)
	return nil
}

func (m *memoryConn) Close() error {
	m.out.finish(io.EOF, net.ErrClosed, false)
	m.in.finish(net.ErrClosed, syscall.EPIPE, true)
	return nil
}

func (m *memoryConn) reset() {
	m.out.finish(syscall.ECONNRESET, net.ErrClosed, true)
	m.in.finish(net.ErrClosed, syscall.ECONNRESET, true)
}

// SetWriteDeadline is what crypto/tls needs for its close_notify.
func (m *memoryConn) SetWriteDeadline(at time.Time) error {
	q := m.out
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.timer != nil {
		q.timer.Stop()
	}
	q.late = false
	q.timer = time.AfterFunc(time.Until(at), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.late = true
		q.changed.Broadcast()
	})
	return nil
}

// A link makes a connection: the gateway's end and the peer's.
type link func(t testing.TB, side Side) (gateway, peer net.Conn)

func memoryLink(limit int) link {
	return func(testing.TB, Side) (net.Conn, net.Conn) {
		g, p := inMemory(limit)
		return wire.New(g), p
	}
}

func loopback(t testing.TB, _ Side) (gateway, peer net.Conn) {
	t.Helper()
	peer, gateway = wstest.Sockets(t, "tcp")
	return wire.New(gateway), peer
}

// overTLS puts TLS on a link: the gateway is the server of the client and the
// client of the backend. With changes what the end that is the client asks for.
// It is to be called outside of a bubble, whose clock certificates know nothing
// of.
func overTLS(t testing.TB, below link, with ...func(*tls.Config)) link {
	ca, now := wstest.NewCA(t), time.Now()
	server, client := ca.Server(t, "localhost"), ca.Client("localhost")
	client.Time = func() time.Time { return now }
	for _, change := range with {
		change(client)
	}
	return func(t testing.TB, side Side) (gateway, peer net.Conn) {
		g, p := below(t, side)
		return handshakeTLS(t, g, p, side, server, client, nil)
	}
}

// handshakeTLS does the handshake over both ends of a connection, and sends a byte each
// way as the opening handshake does. The peer's secrets are logged.
func handshakeTLS(t testing.TB, g, p net.Conn, side Side, server, client *tls.Config, log io.Writer) (gateway, peer *tls.Conn) {
	record := wire.NewTLS(wire.Of(g).Conn)
	record.Remember()
	if side == Client {
		client = client.Clone()
		client.KeyLogWriter = log
		gateway, peer = tls.Server(record, record.Configure(server)), tls.Client(p, client)
	} else {
		server = server.Clone()
		server.KeyLogWriter = log
		gateway, peer = tls.Client(record, record.Configure(client)), tls.Server(p, server)
	}
	done := make(chan error)
	go func() { done <- peer.Handshake() }()
	if err := errors.Join(gateway.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	for _, way := range [...][2]net.Conn{{gateway, peer}, {peer, gateway}} {
		go func() {
			_, err := way[0].Write([]byte("x"))
			done <- err
		}()
		_, err := io.ReadFull(way[1], make([]byte, 1))
		if err := errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
	}
	return gateway, peer
}

// A peer is the far end of one side of a session.
type peer struct {
	net.Conn
	t    testing.TB
	side Side
}

func (p *peer) send(frames ...ws.Frame) {
	p.t.Helper()
	p.sendRaw(encode(p.side, frames...))
}

func (p *peer) sendRaw(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatalf("the %s can not send: %v", p.side, err)
	}
}

// receive reads as many bytes as the frames have that the other side sent.
func (p *peer) receive(frames ...ws.Frame) {
	p.t.Helper()
	want := encode(p.side.other(), frames...)
	got := make([]byte, len(want))
	n, err := io.ReadFull(p, got)
	if string(got) != string(want) {
		r := parseStream(p.side.other(), false, got[:n])
		p.t.Fatalf("the %s got %s, %v", p.side, &r, err)
	}
}

// readRest reads to the end of the stream.
func (p *peer) readRest() string {
	p.t.Helper()
	b, err := io.ReadAll(p)
	r := parseStream(p.side.other(), false, b)
	if err != nil {
		return r.String() + ", then " + err.Error()
	}
	return r.String()
}

// expectRest reads to the end of the stream and compares.
func (p *peer) expectRest(want string) {
	p.t.Helper()
	if got := p.readRest(); got != want {
		p.t.Errorf("the %s got %s; want %s", p.side, got, want)
	}
}

// answerClose reads to a Close frame, compares all that came, answers, and closes as
// RFC 6455 wants it: a server at once, a client after the server.
func (p *peer) answerClose(want string, f ws.Frame) {
	p.t.Helper()
	p.expectClose(want)
	p.Write(encode(p.side, f)) // whoever asked may be gone
	if p.side == Client {
		p.expectRest("")
	}
	p.Close()
}

// expectClose reads to a Close frame and compares all that came.
func (p *peer) expectClose(want string) {
	p.t.Helper()
	var b []byte
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(p, one); err != nil {
			r := parseStream(p.side.other(), false, b)
			p.t.Errorf("the %s got %s, then %v; want %s", p.side, &r, err, want)
			break
		}
		b = append(b, one[0])
		if r := parseStream(p.side.other(), false, b); r.closed {
			if r.String() != want {
				p.t.Errorf("the %s got %s; want %s", p.side, &r, want)
			}
			break
		}
	}
}

func (p *peer) closeWrite() {
	p.t.Helper()
	if err := wire.CloseWrite(p.Conn); err != nil {
		p.t.Fatal(err)
	}
}

// reset drops the connection without a word.
func (p *peer) reset() {
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

// A hall is an engine that runs while a test does.
type engineFixture struct {
	*Engine
	t       testing.TB
	group   Group
	reports chan Report
	stop    func() // returns when Run has
	last    uint64
	closed  atomic.Int64 // sessions whose sockets are closed

	mu     sync.Mutex
	stayed []string // why sessions stayed with crypto/tls
}

// reasons returns why sessions stayed with crypto/tls.
func (h *engineFixture) reasons() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.stayed)
}

func newFixture(t testing.TB) *engineFixture {
	h := &engineFixture{t: t, reports: make(chan Report, 256)}
	h.Engine = New(h.sink())
	h.start()
	return h
}

// start runs the engine until the test ends, or stop is called.
func (h *engineFixture) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	h.stop = func() {
		cancel()
		<-done
	}
	h.t.Cleanup(h.stop)
}

// sink is where the engine's reports go.
func (h *engineFixture) sink() Sink {
	return Sink{
		Ended:  func(r Report) { h.reports <- r },
		Closed: func(any) { h.closed.Add(1) },
		Stayed: func(why string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.stayed = append(h.stayed, why)
		},
	}
}

// join starts a session over two links. o may hold early bytes.
func (h *engineFixture) join(client, backend link, o Session) (c, b *peer) {
	h.t.Helper()
	h.last++
	o.ID, o.Group = h.last, &h.group
	c, b = &peer{t: h.t, side: Client}, &peer{t: h.t, side: Backend}
	o.Client.Conn, c.Conn = client(h.t, Client)
	o.Backend.Conn, b.Conn = backend(h.t, Backend)
	h.Join(o)
	return c, b
}

// report waits for the report of one session.
func (h *engineFixture) report() Report {
	h.t.Helper()
	select {
	case r := <-h.reports:
		return r
	case <-time.After(wstest.Guard):
		h.t.Fatal("no report")
		panic("unreachable")
	}
}

func (h *engineFixture) expectReport(cause Cause, by Side, code ws.StatusCode) {
	h.t.Helper()
	if r := h.report(); r.Cause != cause || r.By != by || r.Code != code {
		h.t.Errorf("report = %s by the %s, %d (%s); want %s by the %s, %d", r.Cause, r.By, r.Code, r.Detail, cause, by, code)
	}
}

func all(View) bool { return true }

// shutdownClose is the Close frame of a gateway that shuts down; only clients are given
// a reason.
func shutdownClose(side Side) string {
	if side == Backend {
		return "close 1001"
	}
	return `close 1001 "shutdown"`
}

func randomPayload(n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 3))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// bulk is a payload that does not fit into the buffers of a tight link and a
// pipe.
const bulk = 2 << 20
