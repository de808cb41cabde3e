package admin

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// browser starts a [Browser] for the life of a test, and returns it with the key of its address.
func browser(t *testing.T, w Where) (b *Browser, host, key string) {
	t.Helper()
	c, err := Find(w, func(string) string { return testToken })
	if err != nil {
		t.Fatal(err)
	}
	if b, err = NewBrowser(c); err != nil {
		t.Fatal(err)
	}
	_, key, _ = strings.Cut(b.URL(), "/?key=")
	host = b.host
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil after the end of its context", err)
		}
	})
	return b, host, key
}

// opened shows the key and returns the cookie.
func opened(t *testing.T, b *Browser, key string) string {
	t.Helper()
	r, body := ask(t, "tcp", b.host, request("GET", b.path+"/?key="+key, "Host: "+b.host))
	cookies := r.Cookies()
	if r.StatusCode != 303 || r.Header.Get("Location") != b.path+"/dashboard" || len(cookies) != 1 {
		t.Fatalf("the key: %d %s %v", r.StatusCode, body, r.Header)
	}
	if c := cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != b.path || strings.Contains(r.Header.Get("Location"), key) {
		t.Errorf("cookie %+v, want HttpOnly, SameSite=Strict and the path of the dashboard", c)
	}
	return "Cookie: " + cookies[0].Name + "=" + cookies[0].Value
}

func TestABrowserIsLetInByAKeyThatWorksOnce(t *testing.T) {
	b, host, key := browser(t, Where{Admin: newSocketServer(t, newFakeGateway())})
	own := "Host: " + host
	for _, target := range []string{"/", "/dashboard", "/status", "/?key=", "/?key=x" + key, "/?key=" + key[1:], "/status?key=" + key} {
		if r, _ := ask(t, "tcp", host, request("GET", b.path+target, own)); r.StatusCode != 403 {
			t.Errorf("GET %s without a cookie: %d, want 403", target, r.StatusCode)
		}
	}
	if r, _ := ask(t, "tcp", host, request("GET", b.path+"/?key="+key, own, "Sec-Fetch-Site: cross-site")); r.StatusCode != 403 {
		t.Errorf("the key from another site: %d, want 403", r.StatusCode)
	}
	cookie := opened(t, b, key)
	for _, target := range []string{"/", "/status", "/dashboard", b.path[:len(b.path)-1] + "/status", b.path + "x/status"} {
		if r, _ := ask(t, "tcp", host, request("GET", target, own, cookie)); r.StatusCode != 404 {
			t.Errorf("GET %s, which is not below the path of the dashboard: %d, want 404", target, r.StatusCode)
		}
	}
	if r, body := ask(t, "tcp", host, request("GET", b.path+"/?key="+key, own)); r.StatusCode != 403 || !strings.Contains(body, "used already") {
		t.Errorf("the key once more: %d %s, want 403", r.StatusCode, body)
	}
	if r, _ := ask(t, "tcp", host, request("GET", b.path+"/", own, cookie)); r.StatusCode != 303 {
		t.Errorf("GET / with the cookie: %d, want 303", r.StatusCode)
	}
	if r, body := ask(t, "tcp", host, request("GET", b.path+"/dashboard", own, cookie)); r.StatusCode != 200 || !strings.Contains(body, "<!doctype html>") || r.Header.Get("Content-Security-Policy") != dashboardPolicy {
		t.Errorf("the page: %d %.80s %v", r.StatusCode, body, r.Header)
	}
	if r, _ := ask(t, "tcp", host, request("GET", b.path+"/status", own, cookie+"x")); r.StatusCode != 403 {
		t.Errorf("with a wrong cookie: %d, want 403", r.StatusCode)
	}
}

func TestABrowserIsProtectedFromOtherPages(t *testing.T) {
	g := newFakeGateway()
	b, host, key := browser(t, Where{Admin: newSocketServer(t, g)})
	cookie := opened(t, b, key)
	port := host[strings.LastIndexByte(host, ':'):]
	tests := []struct {
		name   string
		lines  []string
		status int
	}{
		{"a command", nil, 200},
		{"the page", []string{"Origin: http://" + host, "Sec-Fetch-Site: same-origin"}, 200},
		{"the page by the name localhost", []string{"Host: localhost" + port, "Origin: http://localhost" + port}, 200},
		{"another site", []string{"Origin: https://evil.test"}, 403},
		{"another port", []string{"Origin: http://127.0.0.1:1"}, 403},
		{"another site that hides its name", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"another port that hides its name", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"no origin", []string{"Origin: null"}, 403},
		{"a name bound to this address", []string{"Host: evil.test" + port}, 421},
		{"a name bound to this address, with its origin", []string{"Host: evil.test" + port, "Origin: http://evil.test" + port}, 421},
		{"another address", []string{"Host: 127.0.0.2" + port}, 421},
		{"no port", []string{"Host: 127.0.0.1"}, 421},
	}
	for _, tt := range tests {
		lines := append([]string{cookie}, tt.lines...)
		if len(tt.lines) == 0 || !strings.HasPrefix(tt.lines[0], "Host:") {
			lines = append(lines, "Host: "+host)
		}
		r, body := ask(t, "tcp", host, request("POST", b.path+"/reload", lines...))
		if r.StatusCode != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, r.StatusCode, body, tt.status)
		}
		if done := len(g.audited()); done > 0 != (tt.status == 200) {
			t.Errorf("%s: %d changes were made", tt.name, done)
		}
	}
}

// Over TCP the browser shows no token: the listener does.
func TestABrowserNeedsNoToken(t *testing.T) {
	s := newTestServer(t, newFakeGateway(), Options{Address: "127.0.0.1:0", Token: testToken})
	b, host, key := browser(t, Where{Admin: s.Addresses()["tcp"]})
	cookie := opened(t, b, key)
	r, body := ask(t, "tcp", host, request("GET", b.path+"/status", "Host: "+host, cookie, "Origin: http://"+host, "Authorization: Bearer x"))
	if r.StatusCode != 200 || strings.Contains(body, testToken) {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

func TestTheBrowserEndsWithTheGateway(t *testing.T) {
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, newFakeGateway(), Options{Socket: &o})
	c, err := Find(Where{Admin: o.Path()}, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBrowser(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), wstest.Guard)
	defer cancel()
	if err := b.Run(ctx); err == nil || !strings.Contains(err.Error(), "the gateway has stopped") {
		t.Errorf("Run() = %v, want an error that says that the gateway has stopped", err)
	}
}
