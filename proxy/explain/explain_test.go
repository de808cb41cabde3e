package explain

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/config"
)

// parse returns the configuration in a text.
func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestAsk(t *testing.T) {
	cfg := parse(t, `
routes:
  - {name: socket, host: a.test, path: /ws/*, strip_prefix: /ws, backend: "127.0.0.1:1", websocket: {origins: [same-origin]}}
  - {name: only, path: /only, protocol: websocket, backend: "127.0.0.1:1"}
  - {name: post, path: /post, methods: [POST], respond: 204}
  - {name: home, host: a.test, path: /, redirect: /ws/}
`)
	tests := []struct {
		name, url, origin string
		websocket         bool
		route, path       string
		status            int
		refused           string
	}{
		{name: "stripped", url: "http://a.test/ws/x%2Fy", route: "socket", path: "/x%2Fy"},
		{name: "no path", url: "http://a.test", route: "home", path: "/"},
		{name: "allowed origin", url: "wss://a.test/ws/", websocket: true, origin: "https://a.test", route: "socket", path: "/"},
		{name: "foreign origin", url: "wss://a.test/ws/", websocket: true, origin: "https://b.test", route: "socket", path: "/", status: 403, refused: "origin"},
		{name: "not found", url: "http://b.test/", status: 404},
		{name: "method", url: "http://b.test/post", status: 405},
		{name: "upgrade", url: "http://b.test/only", status: 426},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			q := Question{Method: http.MethodGet, URL: u, Header: http.Header{}, WebSocket: tt.websocket}
			if tt.origin != "" {
				q.Header.Set("Origin", tt.origin)
			}
			e, err := Ask(cfg, q)
			if err != nil {
				t.Fatal(err)
			}
			name := ""
			if e.Route != nil {
				name = e.Route.Name
			}
			if name != tt.route || e.Path != tt.path || e.Status != tt.status || !strings.Contains(e.Refused, tt.refused) || (e.Refused == "") != (tt.refused == "") {
				t.Errorf("Ask(%s) = route %q, path %q, status %d, refused %q; want %q, %q, %d, %q",
					tt.url, name, e.Path, e.Status, e.Refused, tt.route, tt.path, tt.status, tt.refused)
			}
		})
	}
	if _, err := Ask(cfg, Question{URL: &url.URL{Host: "a b"}}); err == nil {
		t.Error("Ask of a bad host = nil error; want one")
	}
}

// An operator may ask as another user than the gateway's: a key of cookies that this user
// makes is one that the gateway cannot read.
func TestAskingWritesNothing(t *testing.T) {
	cfg := parse(t, `
backends: {a: {endpoints: ["127.0.0.1:1"], sticky: {cookie: at}}, b: {endpoints: ["127.0.0.1:2"]}}
routes:
  - {path: /, split: [{backend: a, weight: 1}, {backend: b, weight: 1}], split_cookie: side}
`)
	cfg.StateDir = filepath.Join(t.TempDir(), "state")
	e, err := Ask(cfg, Question{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "a.test"}})
	if err != nil || e.Route == nil {
		t.Fatalf("Ask = %+v, %v; want the route", e, err)
	}
	if _, err := os.Stat(cfg.StateDir); err == nil {
		t.Error("there is a state directory now")
	}
}
