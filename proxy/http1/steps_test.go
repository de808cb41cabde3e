//go:build linux && !portable

package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/internal/record"
	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/backend/dial"
	"sluice/proxy/clientio"
)

// newState returns the TLS state of either end of a connection: both have the same keys.
func newState() *record.State {
	return &record.State{Version: tls.VersionTLS13, Suite: tls.TLS_AES_128_GCM_SHA256}
}

// seal returns records of such an end, one for each text.
func seal(t *testing.T, texts ...string) (records []string) {
	t.Helper()
	state, ciphers := newState(), new(record.Ciphers)
	for _, text := range texts {
		b, err := state.Seal(ciphers, nil, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, string(b))
	}
	return records
}

// connectTLS is connect for a connection behind its TLS handshake.
func (s *Server) connectTLS(t *testing.T) net.Conn {
	t.Helper()
	client, server := wstest.Sockets(t, "unix")
	fd, _, err := wire.New(server).Detach()
	if err != nil {
		t.Fatal(err)
	}
	c := clientio.NewConn(wire.New(loop.NewConn(int32(fd), netip.AddrPort{})), clientio.NewHeadBudget())
	c.Conn = record.NewConn(c.Wire, &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}, newState(), nil)
	if !s.Serve(c) {
		t.Fatal("no loop has taken the connection")
	}
	return wstest.Guarded(client)
}

// A sabotage takes from a connection what its next step needs, and returns what gives it back.
type sabotage func(l *loopConns, c *conn) (repair func())

// withoutUpstream makes the first step panic that looks at the endpoint's connection.
func withoutUpstream(_ *loopConns, c *conn) func() {
	f, up := c.forward, c.forward.up
	f.up = nil
	return func() { f.up = up }
}

// withoutSocket makes the first step panic that reads from the client, or writes to it.
func withoutSocket(_ *loopConns, c *conn) func() {
	sock := c.sock
	c.sock = nil
	return func() { c.sock = sock }
}

// frozenClient makes the first step panic that opens or seals a record of the client: it does when
// the record is done, and the state is to be changed.
func frozenClient(l *loopConns, c *conn) func() { return frozen(l, c.cell) }

// frozenEndpoint is frozenClient for the endpoint, which speaks TLS from now on.
func frozenEndpoint(l *loopConns, c *conn) func() {
	up := c.forward.up
	up.records = l.takeRecords(newState(), nil)
	return frozen(l, up.cell)
}

// frozen makes the memory of a TLS state unwritable.
func frozen(l *loopConns, cell int32) func() {
	state, _ := l.tls.At(cell)
	page := uintptr(unix.Getpagesize())
	before := uintptr(unsafe.Pointer(state)) % page
	pages := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(state), -int(before))), (before+unsafe.Sizeof(*state)+page-1)/page*page)
	unix.Mprotect(pages, unix.PROT_READ)
	return func() { unix.Mprotect(pages, unix.PROT_READ|unix.PROT_WRITE) }
}

// A panic in a step of a connection itself, not of its exchange, ends that connection alone too.
func TestAPanicInTheConnectionEndsOneConnection(t *testing.T) {
	asked := func(c *conn) bool { return c.forward != nil && c.forward.up != nil && !c.forward.up.connecting }
	begun := func(c *conn) bool { return c.forward != nil && c.forward.written > 0 }
	const (
		upload   = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello"
		download = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello"
	)
	tests := []struct {
		name, request, answer string
		tls                   bool
		until                 func(*conn) bool
		sabotage              sabotage
		client, endpoint      string // sends this then
	}{
		{name: "the body of a request", request: upload, until: func(c *conn) bool { return asked(c) && c.forward.request.read == 5 }, sabotage: withoutUpstream, client: "world"},
		{name: "reading of the client", request: upload, until: func(c *conn) bool { return asked(c) && c.forward.request.read == 5 }, sabotage: withoutSocket, client: "world"},
		{name: "the head of an answer", request: plainRequest, until: asked, sabotage: withoutSocket, endpoint: download},
		{name: "the body of an answer", request: plainRequest, answer: chunkedAnswer[:len(chunkedAnswer)-20], until: begun, sabotage: withoutSocket, endpoint: "5\r\nworld\r\n"},
		{name: "a pipe", request: plainRequest, answer: download, until: begun, sabotage: withoutSocket, endpoint: strings.Repeat("x", 999_000)},
		{name: "a record of the client", tls: true, request: upload, until: asked, sabotage: frozenClient, client: "world"},
		{name: "a record for the client", tls: true, request: plainRequest, until: asked, sabotage: frozenClient, endpoint: download},
		{name: "a record of the endpoint", request: plainRequest, until: asked, sabotage: frozenEndpoint, endpoint: seal(t, download)[0]},
		{name: "a record for the endpoint", request: upload, until: asked, sabotage: frozenEndpoint, client: "world"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuarded(t)
			connect := g.connect
			if tt.tls {
				sealed := seal(t, tt.request, tt.client)
				tt.request, tt.client = sealed[0], sealed[1]
				connect = func(t testing.TB) net.Conn { return g.connectTLS(t.(*testing.T)) }
			}
			c := connect(t)
			g.l.Call(func() { debug.SetPanicOnFault(true) })
			io.WriteString(c, tt.request)
			endpoint := await(t, "the request", g.asked)
			io.WriteString(endpoint, tt.answer)
			var victim *conn
			g.l.await(func(_ *slot, c *conn) bool { victim = c; return tt.until(c) })
			g.l.Call(func() { g.repair = tt.sabotage(g.l, victim) })
			io.WriteString(c, tt.client)
			go io.WriteString(endpoint, tt.endpoint)
			await(t, "a panic", g.panics)
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection lives on")
			}
			g.goesOn()
			if n := g.aborted.Load(); n != 1 {
				t.Errorf("the exchange was aborted %d times; want once", n)
			}
		})
	}
}

// A panic in a look at an endpoint's connection that is idle ends that connection.
func TestAPanicInAnIdleConnectionEndsIt(t *testing.T) {
	const answer = "HTTP/1.1 204 No Content\r\n\r\n"
	for name, look := range map[string]func(l *loopConns, d *dial.Dialer){
		"something comes":       func(*loopConns, *dial.Dialer) {},
		"a request is to go on": func(l *loopConns, d *dial.Dialer) { l.upstreams.reuse(d) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			c := g.connect(t)
			g.l.Call(func() { debug.SetPanicOnFault(true) })
			io.WriteString(c, plainRequest)
			endpoint := await(t, "the request", g.asked)
			io.WriteString(endpoint, answer)
			if _, err := io.ReadFull(c, make([]byte, len(answer))); err != nil {
				t.Fatal(err)
			}
			g.l.Call(func() {
				var idle *upstream
				g.l.upstreams.slots.Each(func(_ *upstreamSlot, r *upstreamRefs) { idle = r.up })
				if idle == nil || idle.conn != nil {
					t.Error("the endpoint's connection is not idle")
					return
				}
				idle.records = g.l.takeRecords(newState(), nil)
				g.repair = frozen(g.l, idle.cell)
				io.WriteString(endpoint, seal(t, "what nothing has asked for")[0])
				for err := error(unix.EAGAIN); err == unix.EAGAIN; {
					_, err = loop.Peek(idle.fd, make([]byte, 1))
				}
				look(g.l, g.dialer)
			})
			await(t, "a panic", g.panics)
			c.Close()
			g.goesOn()
		})
	}
}
