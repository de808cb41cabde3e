//go:build unix

package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// Files, the API and the socket of a site at one host.
func TestRecipeStaticAndAPI(t *testing.T) {
	t.Parallel()
	apis := []*wstest.Backend{application(t), application(t)}
	site := place(t, map[string]string{"index.html": "<p>the app", "assets/app.js": "code"})
	s := serve(t, "static-and-api", map[string]string{"127.0.0.1:8000": apis[0].Address, "127.0.0.1:8001": apis[1].Address, "/var/www/app": site})
	const host = "example.com"
	tests := []struct {
		path   string
		status int
		body   string
		cache  string
	}{
		{"/", 200, "<p>the app", "no-cache"},
		{"/a/page/of/the/app", 200, "<p>the app", "no-cache"},
		{"/assets/app.js", 200, "code", "public, max-age=31536000, immutable"},
		{"/api/users?page=2", 200, "GET /users?page=2 HTTP/1.1", ""},
	}
	for _, tt := range tests {
		r, body := s.get(t, host, tt.path)
		if r.StatusCode != tt.status || body != tt.body || r.Header.Get("Cache-Control") != tt.cache {
			t.Errorf("%s: status %d, %q, Cache-Control %q; want %+v", tt.path, r.StatusCode, body, r.Header.Get("Cache-Control"), tt)
		}
	}
	if r, _ := s.get(t, host, "/assets/old.js"); r.StatusCode != 404 {
		t.Errorf("a file of an old version: status %d, want 404", r.StatusCode)
	}
	if r, _ := s.get(t, "www.example.com", "/a?b"); r.Header.Get("Location") != "https://example.com/a?b" {
		t.Errorf("www is redirected to %q", r.Header.Get("Location"))
	}
	if r, _ := wstest.Ask(t, wstest.Target{Address: s.listener(false)}, strings.Replace(get("/a"), "gateway.test", host, 1)); !strings.HasPrefix(r.Header.Get("Location"), "https://example.com") {
		t.Errorf("plain HTTP: status %d, Location %q", r.StatusCode, r.Header.Get("Location"))
	}
	if r, _ := s.get(t, host, "/"); r.Header.Get("Strict-Transport-Security") == "" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the page has %v", r.Header)
	}
	s.echoes(t, host, "/ws")
	arrived(t, "/ws", apis...)
}

// Both balancers say who the client is, and the health check needs no PROXY header.
func TestRecipeBehindALoadBalancer(t *testing.T) {
	t.Parallel()
	sockets, web := application(t), application(t)
	s := serve(t, "behind-a-load-balancer", map[string]string{
		":443": "127.0.0.1:0", ":8080": "127.0.0.1:0", ":9902": "127.0.0.1:0", "10.0.0.0/16": "127.0.0.0/8",
		"10.0.1.5:9000": sockets.Address, "10.0.1.5:8000": web.Address,
	})
	const host = "chat.example.com"
	// connect is what a client does behind a balancer that passes TCP on.
	connect := func(header string) (net.Conn, error) {
		c, err := net.Dial("tcp", s.listener(true))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, header); err != nil {
			return nil, err
		}
		secure := tls.Client(wstest.Guarded(c), s.at(host).TLS)
		return secure, secure.Handshake()
	}
	if _, err := connect(""); err == nil {
		t.Error("a connection without a PROXY header is served")
	}
	c, err := connect(proxy2(0x21, 0x11, 203, 0, 113, 7, 10, 0, 0, 1, 0x15, 0xb3, 0x01, 0xbb))
	if err != nil {
		t.Fatal(err)
	}
	const path = "/ws/room"
	if _, err := io.WriteString(c, wstest.Handshake(path, "Host: "+host, "Origin: https://"+host)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	if r, err := http.ReadResponse(in, nil); err != nil || r.StatusCode != 101 {
		t.Fatalf("the handshake behind a PROXY header: %v, %v", r, err)
	}
	if _, err := c.Write(ws.MustCompileFrame(ws.MaskFrame(wstest.Text("hello")))); err != nil {
		t.Fatal(err)
	}
	if f, err := wstest.ReadFrame(in); err != nil || string(f.Payload) != "hello" {
		t.Errorf("%q came back, %v", f.Payload, err)
	}
	if got := arrived(t, path, sockets).Get("X-Forwarded-For"); got != "203.0.113.7" {
		t.Errorf("X-Forwarded-For behind a PROXY header is %q", got)
	}
	plain := wstest.Target{Address: s.listener(false)}
	request := strings.Replace(get("/page", "X-Forwarded-For: 6.6.6.6, 203.0.113.8", "X-Forwarded-Proto: https"), "gateway.test", host, 1)
	if _, body := wstest.Ask(t, plain, request); body != "GET /page HTTP/1.1" {
		t.Errorf("the request arrived as %q", body)
	}
	if h := arrived(t, "/page", web); h.Get("X-Real-IP") != "203.0.113.8" || h.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("the application gets\n%s", h)
	}
	echoes(t, plain, host, "/ws/2", "Origin: https://"+host, "X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.8")
	if r, _ := wstest.Ask(t, s.operators("health"), get("/readyz")); r.StatusCode != 200 {
		t.Errorf("/readyz: status %d, want 200", r.StatusCode)
	}
}

// The commands of the page make an authority, a device and a list. The gateway takes the device, until
// the list has it, and no other client.
func TestRecipeDevices(t *testing.T) {
	t.Parallel()
	needCommands(t, "bash", "openssl")
	dir := place(t, map[string]string{"certs/README": "as in the page"})
	shell := func(script string) {
		t.Helper()
		cmd := command(t, "bash", "-euc", script)
		cmd.Dir = dir
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, text)
		}
	}
	script := readRecipe(t, "mtls-devices").blocks["sh"][0]
	shell(script)
	b := application(t)
	s := serve(t, "mtls-devices", map[string]string{
		":443": "127.0.0.1:0", "10.0.0.71:9000": b.Address,
		"certs/devices-ca.pem": filepath.Join(dir, "certs/devices-ca.pem"), "certs/devices-crl.pem": filepath.Join(dir, "certs/devices-crl.pem"),
	})
	const host = "devices.example.com"
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "device.pem"), filepath.Join(dir, "device.key"))
	if err != nil {
		t.Fatal(err)
	}
	device := s.at(host)
	device.TLS.Certificates = []tls.Certificate{pair}
	echoes(t, device, host, "/telemetry", "X-Client-Subject: CN=root", "X-Device: CN=root")
	if h := arrived(t, "/telemetry", b); h.Get("X-Device") != "CN=device-7" || strings.Join(h.Values("X-Client-Subject"), "|") != "CN=device-7" {
		t.Errorf("the application gets\n%s", h)
	}
	if r, _ := wstest.Ask(t, device, strings.Replace(get("/telemetry"), "gateway.test", host, 1)); r.StatusCode != 426 {
		t.Errorf("a plain request: status %d, want 426", r.StatusCode)
	}
	p := echoes(t, device, host, "/telemetry")
	for range 200 {
		p.Send(wstest.Text("too fast"))
	}
	if r := s.wait("session ended", nil); r.text("cause") != "too fast" {
		t.Errorf("a device that sends too fast: %s", r.text("text"))
	}
	// refused reports whether a client gets no answer: TLS 1.3 refuses after the client's part is done.
	refused := func(config *tls.Config) bool {
		c, err := tls.Dial("tcp", device.Address, config)
		if err != nil {
			return true
		}
		defer c.Close()
		_, _ = io.WriteString(c, get("/telemetry"))
		_, err = wstest.Guarded(c).Read(make([]byte, 1))
		return err != nil
	}
	if !refused(s.at(host).TLS) {
		t.Error("a client without a certificate is served")
	}
	if refused(device.TLS) {
		t.Error("the device is refused")
	}
	// The last command of the page, once with -revoke.
	again := script[strings.Index(script, "openssl ca "):]
	shell(strings.NewReplacer("-gencrl", "-revoke device.pem", "-crldays 30 -out certs/devices-crl.pem", "").Replace(again) + again)
	s.wait("client authorities reloaded", nil)
	if !refused(device.TLS) {
		t.Error("a device with a revoked certificate is served")
	}
}

// A share of the clients gets the new version and keeps it, testers always do, and a share of the
// reading requests is copied.
func TestRecipeCanaryAndMirror(t *testing.T) {
	t.Parallel()
	next := application(t)
	s := serve(t, "canary-and-mirror", map[string]string{
		"10.0.0.51:9000": application(t).Address, "10.0.0.52:9000": application(t).Address, "10.0.0.61:9000": next.Address,
	})
	const host = "chat.example.com"
	client := s.browser(t, host)
	ask := func(path string, header http.Header) (isNext bool, cookie string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = header
		r, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		cookie, _, _ = strings.Cut(r.Header.Get("Set-Cookie"), ";")
		return r.Header.Get("X-Served-By") == next.Address, cookie
	}
	cookies := make(map[bool]string) // of a client of the new version, and of one of the old
	count := 0
	for range 1000 {
		isNext, cookie := ask("/", http.Header{})
		if !strings.HasPrefix(cookie, "version=") {
			t.Fatalf("the cookie is %q", cookie)
		}
		if isNext {
			count++
		}
		cookies[isNext] = cookie
	}
	if count < 5 || count > 200 {
		t.Errorf("%d of 1000 clients got the new version, want about 50", count)
	}
	for isNext, cookie := range cookies {
		for range 20 {
			if got, _ := ask("/", http.Header{"Cookie": {cookie}}); got != isNext {
				t.Errorf("a client came to the new version: %t, want %t", got, isNext)
			}
		}
		if p := s.echoes(t, host, "/ws", "Cookie: "+cookie); (p.Head.Get("X-Served-By") == next.Address) != isNext {
			t.Errorf("a WebSocket came to %s; to the new version: %t", p.Head.Get("X-Served-By"), isNext)
		}
	}
	if isNext, _ := ask("/", http.Header{"X-Canary": {"1"}}); !isNext {
		t.Error("a tester came to the old version")
	}
	copied := func(h wstest.Head) bool { return strings.HasPrefix(h.Start, "GET /search/") }
	for n := range 2000 { // of a share of 10%, one is copied for certain
		if isNext, _ := ask(fmt.Sprintf("/search/%d", n), http.Header{}); isNext {
			t.Fatal("a client was answered by the mirror")
		}
		if slices.ContainsFunc(next.Seen(), copied) {
			return
		}
	}
	t.Error("no request was copied")
}
