//go:build !portable

package integration

import (
	"fmt"
	"testing"

	"sluice/internal/wstest"
)

// The sockets of the service manager go over too, those without a listener among them.
func TestRestartOfSocketsOfTheServiceManager(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	t.Setenv("LISTEN_FDNAMES", "web:later")
	b := wstest.NewBackend(t, wstest.Echo)
	web, first := passed(t, "tcp", "127.0.0.1:0")
	later, second := passed(t, "tcp", "127.0.0.1:0")
	g := activate(t, fmt.Sprintf("listeners: ['systemd:web']\nlog: { format: json }\nroutes: [{ path: /*, backend: %q }]\n", b.Address), first, second)
	g.started()
	c := wstest.Open(t, wstest.Target{Address: web.Addr().String()}, wstest.Handshake("/"))
	waiting := wstest.Dial(t, wstest.Target{Address: later.Addr().String()})
	handshake := wstest.Handshake("/")
	waiting.WriteString(handshake)
	for range 2 {
		if r := g.restart(t); r.Sessions != 1 {
			t.Errorf("%+v; want that one session went over", r)
		}
		c.Send(wstest.Text("hello"))
		c.Expect(wstest.Text("hello"))
		another := wstest.Open(t, wstest.Target{Address: web.Addr().String()}, wstest.Handshake("/"))
		goodbye(another)
	}
	g.reload("configuration reloaded", "'systemd:web'", "'systemd:web', 'systemd:later'")
	waiting.Opened(handshake)
	waiting.Send(wstest.Text("served"))
	waiting.Expect(wstest.Text("served"))
}
