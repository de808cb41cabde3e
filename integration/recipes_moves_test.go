//go:build unix

package integration

import (
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// expectBodies asks for paths of a host and compares the answers.
func (s recipeGateway) expectBodies(t *testing.T, host string, want map[string]string) {
	t.Helper()
	for path, want := range want {
		if r, body := s.get(t, host, path); body != want {
			t.Errorf("%s%s: status %d, %q; want %q", host, path, r.StatusCode, body, want)
		}
	}
}

func TestRecipeFromNginx(t *testing.T) {
	t.Parallel()
	app, backup := application(t), application(t)
	s := serve(t, "from-nginx", map[string]string{
		":80": "127.0.0.1:0", ":443": "127.0.0.1:0", "10.0.0.5:3000": app.Address, "10.0.0.6:3000": backup.Address,
		"/var/www/html": place(t, map[string]string{"index.html": "home", "a.css": "style"}),
	})
	for _, host := range []string{"example.com", "www.example.com"} {
		s.expectBodies(t, host, map[string]string{"/a.css": "style", "/some/page": "home", "/api/users?x=1": "GET /users?x=1 HTTP/1.1"})
		if got := s.echoes(t, host, "/ws/room").Head.Get("X-Served-By"); got != app.Address {
			t.Errorf("the WebSocket went to %s, want %s", got, app.Address)
		}
	}
	arrived(t, "/ws/room", app)
	if r, _ := s.send(t, "example.com", "POST /api/upload HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1048577\r\n\r\n"); r.StatusCode != 413 {
		t.Errorf("more than 1 MiB: status %d, want 413", r.StatusCode)
	}
	if r, _ := wstest.Ask(t, wstest.Target{Address: s.listener(false)}, strings.Replace(get("/a"), "gateway.test", "example.com", 1)); r.StatusCode != 308 {
		t.Errorf("plain HTTP: status %d, want a redirect", r.StatusCode)
	}
	app.Stop()
	s.expectBodies(t, "example.com", map[string]string{"/api/users": "GET /users HTTP/1.1"})
	arrived(t, "/users", backup)
}

func TestRecipeFromTraefik(t *testing.T) {
	t.Parallel()
	r := replicate(t, "app:3000", "5s")
	for _, address := range []string{":80", ":443"} {
		r.table[address] = "127.0.0.1:0"
	}
	s := serve(t, "from-traefik", r.table)
	const host = "app.example.com"
	answer, first := s.get(t, host, "/api/users")
	cookie, _, _ := strings.Cut(answer.Header.Get("Set-Cookie"), ";")
	for _, path := range []string{"/api", "/api/", "/api/users"} {
		if answer, body := s.get(t, host, path, "Cookie: "+cookie); answer.StatusCode != 200 || body != first {
			t.Errorf("%s: status %d, served by %q, want %s", path, answer.StatusCode, body, first)
		}
	}
	if answer, _ := s.get(t, host, "/apix"); answer.StatusCode != 404 {
		t.Errorf("/apix: status %d, want 404", answer.StatusCode)
	}
	before := len(s.log())
	s.echoes(t, host, "/ws", "Cookie: "+cookie)
	if got := s.waitFrom(before, "session opened", nil).text("endpoint"); !strings.Contains(got, first) {
		t.Errorf("the WebSocket went to %s, want %s", got, first)
	}
}

func TestRecipeFromCaddy(t *testing.T) {
	t.Parallel()
	app := application(t)
	s := serve(t, "from-caddy", map[string]string{
		"127.0.0.1:3000": app.Address, "/srv/www": place(t, map[string]string{"index.html": "home", "a.css": "style"}),
	})
	const host = "example.com"
	s.expectBodies(t, host, map[string]string{"/a.css": "style", "/some/page": "home", "/api/users": "GET /users HTTP/1.1"})
	s.echoes(t, host, "/ws/room")
	arrived(t, "/ws/room", app)
	if r, _ := s.get(t, host, "/"); r.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("X-Frame-Options is %q", r.Header.Get("X-Frame-Options"))
	}
	if r, _ := s.get(t, "www.example.com", "/a?b"); r.Header.Get("Location") != "https://example.com/a?b" {
		t.Errorf("www is redirected to %q", r.Header.Get("Location"))
	}
}
