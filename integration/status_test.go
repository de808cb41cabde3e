//go:build unix

package integration

import (
	"runtime"
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
	if runtime.GOOS == "linux" && !portable() {
		l := g.wait("status of a loop", func(r record) bool { return r["connections"].(float64) > 0 })
		if turns, _ := l["turns"].(float64); turns == 0 || l["turn_longest_ms"].(float64) < l["turn_p99_9_ms"].(float64) {
			t.Errorf("a loop with a session: %s", l.text("text"))
		}
	}
	if r.text("route") != "chat" {
		t.Errorf("route = %q, want chat", r.text("route"))
	}
}
