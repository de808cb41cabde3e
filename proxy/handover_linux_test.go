//go:build linux && !portable

package proxy

import (
	"bytes"
	"net"
	"testing"

	"sluice/internal/codec"
)

// carriers is the configuration of both gateways of these tests, with an echo server.
func carriers(t testing.TB) string {
	return `
listeners: [{address: "127.0.0.1:0", request_rate: 10/s, connection_rate: 10/s}]
state_dir: "` + t.TempDir() + `"
backends: {a: {endpoints: ["` + echo(t) + `"]}}
routes: [{path: /ws, backend: a, websocket: {limits: {handshake_rate: 10/s}}}]
`
}

// written returns what carry writes.
func written(t testing.TB, carry func(*codec.Coder)) []byte {
	t.Helper()
	w := codec.Writer(make([]byte, 0, 1<<20))
	if carry(w); w.End() != nil {
		t.Fatal(w.End())
	}
	return bytes.Clone(w.Written())
}

// carried returns a session and an idle connection of a client as they are written down.
func carried(t testing.TB, g *running, address string) (session, connection []byte) {
	t.Helper()
	exchange1(t, dial(t, address, "/ws"))
	idle, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { idle.Close() })
	for connection == nil { // until it is accepted
		g.listeners.OfferAgain()
		stopped := g.listeners.StopIdle(func(carry func(*codec.Coder), _ int) (taken, more bool) {
			connection = written(t, func(c *codec.Coder) {
				codec.Number(c, new(uint8(2))) // as package handover writes it
				carry(c)
			})
			return true, false
		})
		if stopped != nil {
			stopped.Settle([]bool{false})
		}
	}
	g.server.StopSessions(func(carry func(*codec.Coder), _, _ int) (taken, more bool) {
		session = written(t, func(c *codec.Coder) {
			codec.Number(c, new(uint8(1)))
			carry(c)
		})
		return true, false
	}).Settle([]bool{false})
	return session, connection
}

// arrive makes g read something that has come, with so many descriptors, and forget it, as without a commit. It checks that nothing
// of it is left.
func arrive(t *testing.T, g *running, state []byte, files int) (ok bool) {
	t.Helper()
	sessions, connections := g.server.Sessions(), g.listeners.Connections()
	heir := g.Succeed()
	ok = heir.Have(codec.Reader(state), make([]int, files))
	heir.Settled(false)
	if g.server.Sessions() != sessions || g.listeners.Connections() != connections {
		t.Errorf("%d sessions and %d connections are left; want %d and %d, as before", g.server.Sessions(), g.listeners.Connections(), sessions, connections)
	}
	return ok
}

// What has come and is not committed leaves nothing, nor does what no descriptors belong to.
func TestArrivalsWithoutACommitAreForgotten(t *testing.T) {
	text := carriers(t)
	from, address := start(t, text)
	session, connection := carried(t, from, address)
	to, _ := start(t, text)
	for _, tt := range []struct {
		name  string
		state []byte
		files int
		want  bool
	}{
		{"a session", session, 2, true}, {"a session with one descriptor", session, 1, false}, {"half a session", session[:len(session)/2], 2, false},
		{"a connection", connection, 1, true}, {"a connection with two", connection, 2, false}, {"half a connection", connection[:len(connection)/2], 1, false},
		{"neither", []byte{3}, 1, false}, {"nothing", nil, 0, false},
	} {
		if got := arrive(t, to, tt.state, tt.files); got != tt.want {
			t.Errorf("%s: Have() = %t; want %t", tt.name, got, tt.want)
		}
	}
}

// FuzzArrivals reads a session or a connection, and the gateway's own state, from bytes. Whatever is in them nothing of an arrival
// is left, and a state that can be read can be written.
func FuzzArrivals(f *testing.F) {
	text := carriers(f)
	g, address := start(f, text)
	session, connection := carried(f, g, address)
	state := written(f, g.Carry)
	f.Add(session, uint8(2), state)
	f.Add(connection, uint8(1), []byte{})
	f.Fuzz(func(t *testing.T, arrival []byte, files uint8, state []byte) {
		g, _ := start(t, text)
		defer g.stop()
		arrive(t, g, arrival, int(files%4))
		r := codec.Reader(state)
		if g.Carry(r); r.End() == nil {
			written(t, g.Carry)
		}
	})
}
