//go:build unix

package integration

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// A backend that ignores what the gateway asks for with no_context_takeover is not ejected for that: its
// handshakes are refused, the log names the key, and other routes have the backend as before.
func TestBackendsThatIgnoreNoContextTakeover(t *testing.T) {
	for _, engine := range engines() {
		t.Run(engine, func(t *testing.T) {
			const deflate = "Sec-WebSocket-Extensions: permessage-deflate"
			b := wstest.NewBackend(t, wstest.Accepting(wstest.EchoFrames, deflate))
			g := start(t, fmt.Sprintf(`
http: { engine: %s }
backends: { app: { endpoints: [%q], passive: { failures: 2, window: 10m, eject: 5m } } }
routes:
  - { path: /alone, backend: app, tap: { payload: true, no_context_takeover: true } }
  - { path: /*, backend: app }
`, engine, b.Address))
			for range 8 {
				if r, _ := wstest.Ask(t, g.http, wstest.Handshake("/alone", deflate)); r.StatusCode != 502 {
					t.Errorf("a handshake that asks for what the backend ignores: %d; want 502", r.StatusCode)
				}
			}
			if r, _ := wstest.Ask(t, g.http, wstest.Handshake("/", deflate)); r.StatusCode != 101 {
				t.Errorf("a handshake of another route: %d; want 101", r.StatusCode)
			}
			const reason = "the backend ignores server_no_context_takeover, which 'tap.no_context_takeover' of the route asks for: remove the key"
			g.wait("request", func(r record) bool { return strings.Contains(r.text("error"), reason) })
			for _, r := range g.log() {
				if strings.HasPrefix(r.text("message"), "endpoint is ejected") {
					t.Errorf("the endpoint is ejected: %s", r.text("text"))
				}
			}
		})
	}
}
