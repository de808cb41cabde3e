//go:build !portable

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/admin"
	"sluice/internal/wstest"
)

// restart makes a new process take over, which is the gateway's from then on, and returns what was reported, when the old one has
// ended.
func (g *gateway) restart(t *testing.T) admin.Restart {
	t.Helper()
	old := g.pid
	r := g.restartBegun(t)
	eventually(t, "the old process has ended", func() bool { return !running(old) })
	return r
}

// restartBegun is restart, but the old process may have something left.
func (g *gateway) restartBegun(t *testing.T) admin.Restart {
	t.Helper()
	r := operatedAs[admin.Restart](t, g, "restart")
	g.pid = r.PID
	return r
}

// movable are the schemes whose sessions can go over to another process.
func (g *gateway) movable() map[string]wstest.Target {
	all := g.schemes()
	if tlsRecords() == "go" {
		delete(all, "wss")
	}
	return all
}

// heirs makes a process take over, and returns its number.
func heirs(t *testing.T, g *gateway) []int {
	g.restart(t)
	return []int{g.pid}
}

// underWay is what is under way in a session at a restart: before it, and what has to come of it after.
type underWay struct {
	name          string
	before, after func(client, backend wstest.Peer)
}

// sent is a frame that one side has begun to send.
func sent(from string, f ws.Frame, share int) underWay {
	var rest []byte
	of := func(client, backend wstest.Peer) (sender, reader wstest.Peer) {
		if from == "client" {
			return client, backend
		}
		return backend, client
	}
	return underWay{fmt.Sprintf("%d bytes of the %s, of which %d %% were sent", len(f.Payload), from, share), func(client, backend wstest.Peer) {
		sender, _ := of(client, backend)
		whole := sender.Encode(f)
		n := len(whole) * share / 100
		sender.WriteString(string(whole[:n]))
		rest = whole[n:]
	}, func(client, backend wstest.Peer) {
		sender, reader := of(client, backend)
		written := make(chan struct{})
		go func() {
			defer close(written)
			sender.Write(rest)
		}()
		reader.Expect(f)
		<-written
	}}
}

// everythingUnderWay returns all that can be under way, for one session each.
func everythingUnderWay() []underWay {
	large := wstest.Text(strings.Repeat("0123456789abcdef", 32<<10)) // half of it is in the buffers on the way
	return []underWay{
		{"nothing", func(wstest.Peer, wstest.Peer) {}, func(wstest.Peer, wstest.Peer) {}},
		sent("client", wstest.Text("small"), 50), sent("backend", wstest.Text("small"), 50),
		sent("client", large, 40), sent("backend", large, 40),
		{"fragments", func(c, b wstest.Peer) {
			c.Send(wstest.Part(ws.OpText, "a"))
			b.Expect(wstest.Part(ws.OpText, "a"))
		}, func(c, b wstest.Peer) {
			c.Send(wstest.Ping("between"), wstest.Last("b"))
			b.Expect(wstest.Ping("between"), wstest.Last("b"))
		}},
		{"a compressed message", func(c, b wstest.Peer) {
			c.Send(wstest.Reserved(wstest.Part(ws.OpText, "\xca\x48"), true, false, false))
			b.Expect(wstest.Reserved(wstest.Part(ws.OpText, "\xca\x48"), true, false, false))
		}, func(c, b wstest.Peer) {
			c.Send(wstest.Last("\xcd\xc9\xc9\x07\x00"))
			b.Expect(wstest.Last("\xcd\xc9\xc9\x07\x00"))
		}},
		{"a ping", func(c, b wstest.Peer) {
			b.Send(wstest.Ping("there?"))
			c.Expect(wstest.Ping("there?"))
		}, func(c, b wstest.Peer) {
			c.Send(wstest.Pong("there?"))
			b.Expect(wstest.Pong("there?"))
		}},
	}
}

// A restart ends no session, and loses no byte of what is under way in one.
func TestRestartKeepsSessions(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.Address))
	type pair struct{ client, backend wstest.Peer }
	type busy struct {
		pair
		underWay
	}
	old := make(map[string]pair)
	for scheme, target := range g.movable() {
		c, s := wstest.Pair(t, target, b, wstest.Handshake("/old"))
		old[scheme] = pair{c, s}
	}
	for round := range 3 {
		open := make(map[string]busy)
		for scheme, target := range g.movable() {
			for i, u := range everythingUnderWay() {
				uri := fmt.Sprintf("/%s/%d/%d", scheme, round, i)
				c, s := wstest.Pair(t, target, b, wstest.Handshake(uri, "Sec-WebSocket-Extensions: permessage-deflate"), "Sec-WebSocket-Extensions: permessage-deflate")
				open[uri] = busy{pair{c, s}, u}
				u.before(c, s)
			}
		}
		if r := g.restart(t); r.Sessions < len(open)+len(old) || r.Stayed != 0 {
			t.Errorf("restart %d: %+v; want that %d sessions went over at least, and none ends", round, r, len(open)+len(old))
		}
		for uri, o := range open {
			t.Run(uri+", "+o.name, func(t *testing.T) {
				c, s := o.client, o.backend
				o.after(c, s)
				c.Send(wstest.Text("after"))
				s.Expect(wstest.Text("after"))
				s.Send(wstest.Text("answer"))
				c.Expect(wstest.Text("answer"))
				c.Send(wstest.Close(1000, ""))
				s.Expect(wstest.Close(1000, ""))
				s.Send(wstest.Close(1000, ""))
				c.ExpectClose(1000)
			})
		}
		for _, o := range old {
			o.client.Send(wstest.Text(fmt.Sprint("round ", round)))
			o.backend.Expect(wstest.Text(fmt.Sprint("round ", round)))
		}
	}
	for _, o := range old {
		o.client.Send(wstest.Close(4000, "enough"))
		o.backend.Expect(wstest.Close(4000, "enough"))
		o.backend.Send(wstest.Close(4000, ""))
		o.client.ExpectClose(4000)
	}
	g.wait("session ended", func(r record) bool { return r.text("uri") == "/old" && r.number("client_messages") == 3 })
}

// A restart that cannot be made changes nothing, and says why.
func TestRestartsThatFail(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sluice")
	install := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(program+".new", content, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
	}
	binary := []byte(read(t, executable))
	install(binary)
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	b := wstest.NewBackend(t, nil)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	good := withEngine(fmt.Sprintf("listeners: ['127.0.0.1:0']\nlog: { format: json }\nroutes: [{ path: /*, backend: %q }]\n", b.Address))
	write(t, file, good)
	g := launchAs(t, exec.Command(program, "run", "--config", file))
	g.config = file
	g.wait("ready", nil)
	c, s := wstest.Pair(t, wstest.Target{Address: g.listener(false)}, b, wstest.Handshake("/"))
	goesOn := func(when string) {
		t.Helper()
		c.Send(wstest.Text(when))
		s.Expect(wstest.Text(when))
		late, lateBackend := wstest.Pair(t, wstest.Target{Address: g.listener(false)}, b, wstest.Handshake("/"))
		late.Send(wstest.Text(when))
		lateBackend.Expect(wstest.Text(when))
	}

	write(t, file, strings.Replace(good, "backend", "bakend", 1))
	g.refuse(t, `sluice.yaml:3:22: routes[0].bakend: unknown key`, "restart")
	goesOn("after a mistake in the file")
	write(t, file, good)

	install([]byte("#!/bin/sh\nexit 3\n"))
	g.refuse(t, "the new process has closed the connection or ended", "restart")
	goesOn("after a program that ends at once")

	install([]byte("no program"))
	g.refuse(t, "cannot be started", "restart")
	goesOn("after something that is no program")

	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	g.refuse(t, "no such file", "restart")
	goesOn("without a program")

	install(binary)
	if r := g.restart(t); r.Sessions < 5 {
		t.Errorf("%+v; want that 5 sessions went over at least", r)
	}
	goesOn("after a restart")
	g.signal(syscall.SIGTERM)
	c.ExpectClose(1001)
}
