package integration

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// fragile answers requests. For /drop it closes the connection, for /unavailable it answers
// 503.
func fragile(c *wstest.Conn) {
	switch {
	case strings.Contains(c.Head.Start, "/drop"):
	case strings.Contains(c.Head.Start, "/unavailable"):
		wstest.Refusing("503 Service Unavailable", "not this")(c)
	default:
		saying("served")(c)
	}
}

// One client that asks for what fails ejects no endpoint that others use. Two clients eject a
// third of the endpoints at most. A request that is tried at several endpoints charges one of
// them.
func TestClientsThatMakeEndpointsFail(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		path     string
		clients  []string // that ask for it in turn, each at every endpoint
		others   bool     // are served in between
		statuses string
		ejected  int // of 4, at most
		least    int
	}{
		{name: "one of two clients", path: "/drop", clients: []string{"192.0.2.1"}, others: true},
		{name: "one network of two clients", path: "/drop", clients: []string{"2001:db8::1", "2001:db8::2"}, others: true},
		{name: "the only client", path: "/drop", clients: []string{"192.0.2.1"}, ejected: 2, least: 1},
		{name: "two clients", path: "/drop", clients: []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"}, others: true, ejected: 2, least: 1},
		{name: "an answer", path: "/unavailable", clients: []string{"192.0.2.1", "192.0.2.2"}, others: true},
		{name: "an answer that counts", path: "/unavailable", clients: []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"}, statuses: ", statuses: [503]", ejected: 2, least: 1},
		{name: "an answer that counts, by one of two", path: "/unavailable", clients: []string{"192.0.2.1"}, others: true, statuses: ", statuses: [503]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var endpoints []string
			for range 4 {
				endpoints = append(endpoints, wstest.NewBackend(t, fragile).Address)
			}
			g := start(t, fmt.Sprintf(`
trusted_proxies: [127.0.0.1]
backends: { app: { endpoints: [%s], passive: { failures: 2, window: 10m, eject: 5m%s } } }
routes: [{ path: /*, backend: app }]
`, strings.Join(endpoints, ", "), tt.statuses))
			ask := func(path, client string) int {
				r, _ := wstest.Ask(t, g.http, get(path, "X-Forwarded-For: "+client))
				return r.StatusCode
			}
			if tt.others {
				for range 8 {
					ask("/", "198.51.100.1")
				}
			}
			for range 20 {
				for _, client := range tt.clients {
					if got := ask(tt.path, client); got != 502 && got != 503 {
						t.Errorf("%s: %d, want 502 or 503", tt.path, got)
					}
				}
			}
			if got := ask("/", "198.51.100.1"); got != 200 {
				t.Errorf("another client: %d, want 200", got)
			}
			ejected := 0
			for _, r := range g.log() {
				if strings.HasPrefix(r.text("message"), "endpoint is ejected") {
					ejected++
				}
			}
			if ejected > tt.ejected || ejected < tt.least {
				t.Errorf("%d endpoints are ejected, want %d to %d", ejected, tt.least, tt.ejected)
			}
		})
	}
}
