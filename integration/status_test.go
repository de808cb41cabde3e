//go:build unix

package integration

import (
	"syscall"
	"testing"

	"sluice/internal/wstest"
)

// A signal is enough to see what the sessions of each route do, open ones too.
func TestStatusOnASignal(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, "routes: [{ name: chat, path: /chat, backend: '"+b.Address+"' }]")
	client, backend := wstest.Pair(t, g.https, b, wstest.Handshake("/chat"))
	client.Send(wstest.Text("12345"))
	backend.Expect(wstest.Text("12345"))
	backend.Send(wstest.Text("abc"), wstest.Text("def"))
	client.Expect(wstest.Text("abc"), wstest.Text("def"))
	g.signal(syscall.SIGUSR1)
	r := g.wait("status of a route", func(record) bool { return true })
	for name, want := range map[string]float64{
		"open": 1, "sessions": 1, "client_messages": 1, "client_bytes": 5, "backend_messages": 2, "backend_bytes": 6,
	} {
		if r[name] != want {
			t.Errorf("%s = %v, want %v", name, r[name], want)
		}
	}
	if r.text("route") != "chat" {
		t.Errorf("route = %q, want chat", r.text("route"))
	}
}
