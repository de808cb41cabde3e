package proxy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"sluice/internal/admin"
	"sluice/internal/wstest"
)

// saying is a backend that answers each request with its name.
func saying(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// dropping is a backend that reads requests and closes the connection; each is
// told.
func dropping(t *testing.T) (address string, asked <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	requests := make(chan string, 64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				requests <- r.Method
			}
			c.Close()
		}
	}()
	return l.Addr().String(), requests
}

// ask sends a request with headers and returns the answer and its body.
func ask(t *testing.T, address, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// Only what can be sent twice is: nobody wants to pay twice.
func TestRequestsAreTriedAgain(t *testing.T) {
	tests := []struct {
		name, method, body string
		status             int
	}{
		{"GET", "GET", "", 200},
		{"DELETE", "DELETE", "", 200},
		{"POST", "POST", "", 502},
		{"PUT with a body", "PUT", "x", 502},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dead, asked := dropping(t)
			_, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s", {address: "%s", backup: true}]}}
routes: [{backend: app}]
`, dead, saying(t, "b")))
			res, body := ask(t, address, tt.method, "/", tt.body)
			if res.StatusCode != tt.status || tt.status == 200 && body != "b" {
				t.Errorf("%s: %d %q, want %d", tt.method, res.StatusCode, body, tt.status)
			}
			if n := len(asked); n != 1 {
				t.Errorf("the first endpoint was asked %d times, want once", n)
			}
		})
	}
}

// Who does not answer in time is passed over, by requests and by handshakes.
func TestSlowEndpointsArePassedOver(t *testing.T) {
	slow, asked := silent(t)
	_, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s", {address: "%s", backup: true}], retry: {try_timeout: 50ms}}}
routes: [{backend: app}]
`, slow, echo(t)))
	if res, _ := ask(t, address, "GET", "/", ""); res.StatusCode == http.StatusGatewayTimeout {
		t.Error("a request was not tried again")
	}
	exchange1(t, dial(t, address, "/"))
	if len(asked) != 2 {
		t.Errorf("the slow endpoint was asked %d times, want twice", len(asked))
	}
}

// A handshake is offered again only while nobody has answered it.
func TestHandshakesAreTriedAgain(t *testing.T) {
	dead, _ := dropping(t)
	wrong := saying(t, "no handshake, but an answer")
	text := `
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s", {address: "%s", backup: true}]}}
routes: [{backend: app}]
`
	_, address := start(t, fmt.Sprintf(text, dead, echo(t)))
	exchange1(t, dial(t, address, "/"))
	_, address = start(t, fmt.Sprintf(text, wrong, echo(t)))
	res, body := ask(t, address, "GET", "/", "", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
	if res.StatusCode != 200 || body != "no handshake, but an answer" {
		t.Errorf("the answer was %d %q, want the first backend's", res.StatusCode, body)
	}
}

func TestNoEndpointIs503(t *testing.T) {
	g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: [{address: "%s", drain: true}]}, full: {endpoints: [{address: "%s", max_sessions: 1}]}}
routes: [{path: /*, backend: app}, {path: /full, backend: full}]
`, saying(t, "a"), echo(t)))
	res, _ := ask(t, address, "GET", "/", "")
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d with Retry-After %q, want 503 and some", res.StatusCode, res.Header.Get("Retry-After"))
	}
	g.await("backend app: no endpoint is up")
	dial(t, address, "/full")
	if _, _, _, err := ws.Dial(t.Context(), "ws://"+address+"/full"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a second session: %v, want 503", err)
	}
	g.await("backend full: all endpoints are full")
}

func TestStickyClients(t *testing.T) {
	dir := t.TempDir()
	text := fmt.Sprintf(`
state_dir: %q
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s", "%s", "%s"], sticky: {cookie: at, max_age: 1h}}}
routes: [{backend: app}]
`, dir, saying(t, "a"), saying(t, "b"), saying(t, "c"))
	g, address := start(t, text)
	res, first := ask(t, address, "GET", "/", "")
	cookie, attributes, _ := strings.Cut(res.Header.Get("Set-Cookie"), "; ")
	if !strings.HasPrefix(cookie, "at=") || attributes != "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax" {
		t.Fatalf("Set-Cookie: %s; %s", cookie, attributes)
	}
	stays := func(when string) {
		t.Helper()
		for range 6 {
			res, body := ask(t, address, "GET", "/", "", "Cookie: other=1; at=forged; "+cookie)
			if body != first || res.Header["Set-Cookie"] != nil {
				t.Fatalf("%s: %q with %q, want %q and no new cookie", when, body, res.Header["Set-Cookie"], first)
			}
		}
	}
	stays("at first")
	g.apply(text)
	stays("after a reload")
	g.stop()
	g, address = start(t, text)
	stays("after a restart")
	for _, s := range g.endpoints() {
		if err := g.Drain("app", s.Endpoint, saidBy(t, s.Endpoint) == first); err != nil {
			t.Fatal(err)
		}
	}
	if res, body := ask(t, address, "GET", "/", "", "Cookie: "+cookie); body == first || res.Header["Set-Cookie"] == nil {
		t.Errorf("%q with %q while that endpoint drains; want another, and a cookie", body, res.Header["Set-Cookie"])
	}
	if err := g.Drain("app", "nowhere", true); err == nil || g.Drain("none", "a", true) == nil {
		t.Error("Drain knows an endpoint that is none")
	}
}

// Who was not served has no place to come back to.
func TestErrorsAreNotSticky(t *testing.T) {
	dead, _ := dropping(t)
	_, address := start(t, fmt.Sprintf(`
state_dir: %q
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s"], sticky: true}}
routes: [{backend: app}]
`, t.TempDir(), dead))
	if res, _ := ask(t, address, "GET", "/", ""); res.StatusCode != 502 || res.Header["Set-Cookie"] != nil {
		t.Errorf("%d with %q, want 502 and no cookie", res.StatusCode, res.Header["Set-Cookie"])
	}
}

// saidBy is what an endpoint says without the gateway.
func saidBy(t *testing.T, endpoint string) string {
	_, body := ask(t, endpoint, "GET", "/", "")
	return body
}

func TestHandshakesAreSticky(t *testing.T) {
	one, two := echo(t), echo(t)
	g, address := start(t, fmt.Sprintf(`
state_dir: %q
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s", "%s"], sticky: true}}
routes: [{backend: app}]
`, t.TempDir(), one, two))
	var cookie string
	d := ws.Dialer{OnHeader: func(name, value []byte) error {
		if strings.EqualFold(string(name), "Set-Cookie") {
			cookie, _, _ = strings.Cut(string(value), ";")
		}
		return nil
	}}
	for i := range 5 {
		d.Header = ws.HandshakeHeaderHTTP(http.Header{"Cookie": {cookie}})
		c, _, _, err := d.Dial(t.Context(), "ws://"+address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !strings.HasPrefix(cookie, "sluice_app=") {
			t.Fatalf("handshake %d has the cookie %q", i, cookie)
		}
	}
	var counts []int
	for _, s := range g.endpoints() {
		counts = append(counts, s.Sessions)
	}
	if slices.Sort(counts); !slices.Equal(counts, []int{0, 5}) {
		t.Errorf("five sessions of one client are spread as %v, want all at one", counts)
	}
}

func TestSplit(t *testing.T) {
	text := func(cookie string) string {
		return fmt.Sprintf(`
state_dir: %q
listeners: [{address: "127.0.0.1:0"}]
routes: [{split: [{backend: "%s", weight: 3}, {backend: "%s", weight: 1}, {backend: "%s", weight: 0}]%s}]
`, t.TempDir(), saying(t, "old"), saying(t, "new"), saying(t, "none"), cookie)
	}
	_, address := start(t, text(""))
	counts := make(map[string]int)
	for range 400 {
		_, body := ask(t, address, "GET", "/", "")
		counts[body]++
	}
	if n := counts["new"]; n < 60 || n > 140 || counts["none"] > 0 {
		t.Errorf("400 requests are split as %v, want about 300 and 100", counts)
	}
	_, address = start(t, text(", split_cookie: v"))
	for range 10 {
		res, first := ask(t, address, "GET", "/", "")
		cookie, _, _ := strings.Cut(res.Header.Get("Set-Cookie"), ";")
		for range 5 {
			if res, body := ask(t, address, "GET", "/", "", "Cookie: "+cookie); body != first || res.Header["Set-Cookie"] != nil {
				t.Fatalf("%q with %q behind %q", body, res.Header["Set-Cookie"], first)
			}
		}
	}
}

func TestMirror(t *testing.T) {
	copies := make(chan string, 10)
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		copies <- fmt.Sprintf("%s %s %s %s", r.Method, r.URL, body, r.Header.Get("X-Set"))
		<-release
		w.WriteHeader(500)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	_, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
routes: [{path: /a/*, strip_prefix: /a, backend: "%s", request: {set_headers: {X-Set: "{route}"}}, mirror: {backend: "%s", max_body_size: 4B}}]
`, saying(t, "real"), s.Listener.Addr()))
	tests := []struct{ method, head, body, want string }{
		{"GET", "", "", "GET /x?y  /a/*"},
		{"POST", "Content-Length: 4\r\n", "1234", "POST /x?y 1234 /a/*"},
		{"POST", "Content-Length: 5\r\n", "12345", ""},
		{"POST", "Transfer-Encoding: chunked\r\n", "4\r\n1234\r\n0\r\n\r\n", "POST /x?y 1234 /a/*"},
		{"POST", "Transfer-Encoding: chunked\r\n", "5\r\n12345\r\n0\r\n\r\n", ""},
		{"DELETE", "", "", "DELETE /x?y  /a/*"},
	}
	for _, tt := range tests {
		c := send(t, address, tt.method+" /a/x?y HTTP/1.1\r\nHost: a\r\n"+tt.head+"\r\n"+tt.body)
		if res := answered(t, c); res.StatusCode != 200 {
			t.Fatalf("%s: %d, want the real answer", tt.method, res.StatusCode)
		}
		if tt.want == "" {
			continue // and the next copy is not this one
		}
		select {
		case got := <-copies:
			if got != tt.want {
				t.Errorf("the copy is %q, want %q", got, tt.want)
			}
		case <-time.After(wstest.Guard):
			t.Fatalf("no copy of %s", tt.method)
		}
	}
}

func TestVariables(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-All")) }))
	t.Cleanup(s.Close)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("{route}"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
routes:
  - name: all
    backend: "%s"
    request: {set_headers: {X-All: "{client_address} {route} {host} {scheme} {request_id} <{tls_version}{tls_cipher}{tls_server_name}{client_subject}> {{route}}"}}
    response: {set_headers: {X-Route: "at {route}"}, set_headers_file: {X-Secret: %q}}
`, s.Listener.Addr(), secret))
	res, body := ask(t, address, "GET", "/", "", "Host: ignored")
	fields := strings.Fields(body)
	if len(fields) != 7 || len(fields[4]) != 16 {
		t.Fatalf("the backend saw %q", body)
	}
	fields[4] = "id"
	if got, want := strings.Join(fields, " "), "127.0.0.1 all "+address+" http id <> {route}"; got != want {
		t.Errorf("the backend saw %q, want %q", got, want)
	}
	if got := res.Header.Get("X-Route") + res.Header.Get("X-Secret"); got != "at all{route}" {
		t.Errorf("the client saw %q", got)
	}
}

// pinOf is how a configuration names the key of a certificate.
func pinOf(t *testing.T, s *httptest.Server) string {
	t.Helper()
	sum := sha256.Sum256(s.Certificate().RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestTLSToBackends(t *testing.T) {
	ca := wstest.NewCA(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].DNSNames[0]
		}
		fmt.Fprintf(w, "%s %s %s", r.Proto, tls.VersionName(r.TLS.Version), name)
	}))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MaxVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	own := filepath.Join(t.TempDir(), "own.pem")
	if err := os.WriteFile(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue(t, "gateway.test")
	pin, other := pinOf(t, s), "sha256/"+base64.StdEncoding.EncodeToString(make([]byte, 32))
	tests := []struct {
		name, tls, more string
		want            string // "" for a 502
	}{
		{"unknown authority", "{server_name: example.com}", "", ""},
		{"known authority", fmt.Sprintf("{server_name: example.com, ca: %q}", own), "", "HTTP/1.1 TLS 1.2 nobody"},
		{"client certificate", fmt.Sprintf("{server_name: example.com, ca: %q, cert: %q, key: %q}", own, cert, key), "", "HTTP/1.1 TLS 1.2 gateway.test"},
		{"version too low", fmt.Sprintf("{server_name: example.com, ca: %q, min_version: '1.3'}", own), "", ""},
		{"insecure", "{insecure: true}", "", "HTTP/1.1 TLS 1.2 nobody"},
		{"HTTP/2", "{insecure: true}", ", http2: true", "HTTP/2.0 TLS 1.2 nobody"},
		{"pinned", fmt.Sprintf("{insecure: true, pinned_keys: [%s, %s]}", other, pin), "", "HTTP/1.1 TLS 1.2 nobody"},
		{"another key pinned", fmt.Sprintf("{server_name: example.com, ca: %q, pinned_keys: [%s]}", own, other), "", ""},
		{"insecure, another key pinned", fmt.Sprintf("{insecure: true, pinned_keys: [%s]}", other), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["https://%s"], tls: %s%s}}
routes: [{backend: app}]
`, s.Listener.Addr(), tt.tls, tt.more))
			res, body := ask(t, address, "GET", "/", "")
			if tt.want == "" && res.StatusCode != 502 || tt.want != "" && body != tt.want {
				t.Errorf("%d %q, want %q", res.StatusCode, body, tt.want)
			}
			if insecure := strings.Contains(tt.tls, "insecure"); insecure {
				g.await("NOT verified")
			} else if g.endpoints()[0].Insecure {
				t.Error("the status says insecure")
			}
		})
	}
}

func TestBackendsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test")
	authority, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	damaged := file("ca.pem", string(authority)+strings.TrimSpace(string(authority))+string(authority))
	tests := []struct {
		name, tls string
		want      []string // a part of each problem
	}{
		{"no authorities", "{ca: none.pem}", []string{"test.yaml:1:54: backends.app.tls.ca: "}},
		{"authorities of which some would be lost", fmt.Sprintf("{ca: %q}", damaged), []string{"test.yaml:1:54: backends.app.tls.ca: " + damaged + ":"}},
		{"no certificate", "{cert: none.pem, key: none.key}", []string{"test.yaml:1:56: backends.app.tls.cert: ", "test.yaml:1:71: backends.app.tls.key: "}},
		{"a key with a bad byte", fmt.Sprintf("{cert: %q, key: %q}", cert, file("key", "-----BEGIN PRIVATE KEY-----\n?\n-----END PRIVATE KEY-----\n")), []string{"backends.app.tls.key: "}},
		{"no pair", fmt.Sprintf("{cert: %q, key: %q}", ca.File, key), []string{"test.yaml:1:44: backends.app.tls: "}},
	}
	for _, tt := range tests {
		cfg := parse(t, "backends: {app: {endpoints: ['https://a'], tls: "+tt.tls+"}}\nroutes: [{backend: app}]")
		problems, _ := Check(cfg)
		if len(problems) != len(tt.want) {
			t.Errorf("%s: %v, want %d problems", tt.name, problems, len(tt.want))
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(problems[i].Error(), want) {
				t.Errorf("%s: %v, want %s", tt.name, problems[i], want)
			}
		}
	}
}

func TestDrainEndsSessions(t *testing.T) {
	one, two := echo(t), echo(t)
	text := fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s", {address: "%s", drain: false}], drain_time: 0s}}
routes: [{backend: app}]
`, one, two)
	g, address := start(t, text)
	clients := []net.Conn{dial(t, address, "/"), dial(t, address, "/")}
	exchange1(t, clients[0])
	exchange1(t, clients[1])
	g.apply(strings.Replace(text, "drain: false", "drain: true", 1))
	if code := closeCode(t, clients[1]); code != 1012 {
		t.Errorf("the session on the drained endpoint got %d, want 1012", code)
	}
	exchange1(t, clients[0])
	g.await(`"cause":"drained"`)
	g.await("endpoint is drained")
	if err := g.Drain("app", one, true); err != nil {
		t.Fatal(err)
	}
	if code := closeCode(t, clients[0]); code != 1012 {
		t.Errorf("the other session got %d, want 1012", code)
	}
}

func TestRebalance(t *testing.T) {
	tests := []struct {
		first        string
		leaves, last int // of the clients
	}{{"oldest", 0, 59}, {"newest", 59, 0}}
	for _, tt := range tests {
		t.Run(tt.first, func(t *testing.T) {
			t.Parallel()
			one, two := echo(t), echo(t)
			text := `
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: [%s], rebalance: {rate: 100%%/min, first: ` + tt.first + `}}}
routes: [{backend: app}]
`
			g, address := start(t, fmt.Sprintf(text, `"`+one+`"`))
			clients := make([]net.Conn, 60) // of which one a second moves
			for i := range clients {
				clients[i] = dial(t, address, "/")
			}
			g.apply(fmt.Sprintf(text, `"`+one+`", "`+two+`"`))
			if code := closeCode(t, clients[tt.leaves]); code != 1012 {
				t.Errorf("the %s session got %d, want 1012", tt.first, code)
			}
			g.await(`"cause":"rebalanced"`)
			exchange1(t, clients[tt.last])
			exchange1(t, dial(t, address, "/"))
			// A session is in the log a moment before it no longer counts.
			g.awaitBackends("a session at the new endpoint", func(s []admin.Endpoint) bool {
				return s[0].Sessions <= 59 && s[1].Sessions == 1
			})
		})
	}
}

// A session whose endpoint begins to drain during its handshake does not stay, nor does one
// whose route or backend a reload removes then.
func TestChangesDuringAHandshake(t *testing.T) {
	const config = `
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s"], drain_time: 0s}}
routes: [{name: chat, path: /chat, backend: app}]
`
	tests := []struct {
		cause  string
		change func(g *running, endpoint string)
	}{
		{"drained", func(g *running, endpoint string) {
			if err := g.Drain("app", endpoint, true); err != nil {
				t.Fatal(err)
			}
			g.await("endpoint is drained")
		}},
		{"route removed", func(g *running, endpoint string) {
			g.apply(strings.Replace(fmt.Sprintf(config, endpoint), "name: chat", "name: talk", 1))
		}},
		{"backend removed", func(g *running, _ string) { g.apply(fmt.Sprintf(config, "127.0.0.1:1")) }},
	}
	for _, tt := range tests {
		t.Run(tt.cause, func(t *testing.T) {
			asked, answer := make(chan struct{}), make(chan struct{})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(asked)
				<-answer
				if c, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
					ws.ReadHeader(c) // of the gateway's Close
					c.Close()
				}
			}))
			t.Cleanup(s.Close)
			endpoint := s.Listener.Addr().String()
			g, address := start(t, fmt.Sprintf(config, endpoint))
			c := send(t, address, wstest.Handshake("/chat"))
			<-asked
			tt.change(g, endpoint)
			close(answer)
			in := bufio.NewReader(c)
			if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 101 {
				t.Fatalf("the handshake was answered with %v, %v", res, err)
			}
			var code [2]byte
			h, err := ws.ReadHeader(in)
			if io.ReadFull(in, code[:]); err != nil || h.OpCode != ws.OpClose || binary.BigEndian.Uint16(code[:]) != 1012 {
				t.Errorf("next frame = %+v with %x, %v; want a Close with 1012", h, code, err)
			}
			c.Close()
			g.await(fmt.Sprintf(`"cause":%q`, tt.cause))
		})
	}
}

// answering is a WebSocket backend for one message, and what it does next.
func answering(t *testing.T, do func(c net.Conn)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := ws.HTTPUpgrader{Protocol: func(p string) bool { return p == "chat" }}
		c, _, _, err := u.Upgrade(r, w)
		if err == nil {
			defer c.Close()
			do(c)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestHealthChecks(t *testing.T) {
	good := func(c net.Conn) {
		ws.WriteFrame(c, ws.NewTextFrame([]byte("welcome")))
		ws.WriteFrame(c, ws.NewPongFrame([]byte("unasked")))
		wsutil.ReadClientData(c) // answers pings and closes
	}
	status := func(code int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() != "/up?x" || r.Header.Get("X-Probe") != "1" || r.Host != "a.test" {
				code = 400
			}
			w.WriteHeader(code)
			io.WriteString(w, body)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	const request = "path: '/up?x', host: a.test, headers: {X-Probe: 1}"
	dead, _ := dropping(t)
	mute := wstest.NewBackend(t, wstest.Hanging).Address
	tests := []struct {
		name, health, endpoint string
		want                   string // the detail when it is down
	}{
		{"tcp", "tcp", dead, ""},
		{"http", "{check: http, " + request + "}", status(204, ""), ""},
		{"http with a bad status", "{check: http, " + request + "}", status(301, ""), "the status is 301"},
		{"http with a good status", "{check: http, status: [301], " + request + "}", status(301, ""), ""},
		{"http with another status", "{check: http, status: [301], " + request + "}", status(200, ""), "the status is 200"},
		{"http with the text", "{check: http, body: fine, " + request + "}", status(200, "all is fine"), ""},
		{"http without the text", "{check: http, body: fine, " + request + "}", status(200, "broken"), `the body does not contain "fine"`},
		{"http with the text too late", "{check: http, body: fine, " + request + "}", status(200, strings.Repeat(" ", 64<<10)+"fine"), `the body does not contain "fine"`},
		{"http without an answer", "{check: http, timeout: 50ms, " + request + "}", mute, "no answer within 50ms"},
		{"websocket", "websocket", answering(t, good), ""},
		{"websocket with a subprotocol", "{check: websocket, subprotocol: chat}", answering(t, good), ""},
		{"websocket with another subprotocol", "{check: websocket, subprotocol: other}", answering(t, good), `the subprotocol is "", not "other"`},
		{"websocket refused", "{check: websocket, " + request + "}", status(403, ""), "the answer to the handshake is 403"},
		{"websocket without a pong", "{check: websocket, timeout: 50ms}", answering(t, func(c net.Conn) { io.Copy(io.Discard, c) }), "no answer within 50ms"},
		{"websocket closed at once", "websocket", answering(t, func(c net.Conn) {
			ws.WriteFrame(c, ws.NewCloseFrame(ws.NewCloseFrameBody(1013, "later")))
		}), `wait for the pong: the backend closed the session with 1013 "later"`},
		{"websocket that is cut", "websocket", answering(t, func(net.Conn) {}), "wait for the pong: "},
		{"websocket with endless frames", "websocket", answering(t, func(c net.Conn) {
			for ws.WriteFrame(c, ws.NewTextFrame(nil)) == nil {
			}
		}), "wait for the pong: the backend sent too many other frames"},
		{"websocket with masked frames", "websocket", answering(t, func(c net.Conn) {
			ws.WriteFrame(c, ws.MaskFrame(ws.NewTextFrame(nil)))
			io.Copy(io.Discard, c)
		}), "wait for the pong: the backend sent a frame that breaks the protocol"},
		{"websocket that does not close", "{check: websocket, timeout: 200ms}", answering(t, func(c net.Conn) {
			ws.WriteFrame(c, ws.NewPongFrame([]byte("sluice")))
			io.Copy(io.Discard, c)
		}), "no answer within 200ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, _ := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends:
  app: {endpoints: ["%s"], health: %s}
  last: {endpoints: ["%s"], health: {check: http, timeout: 500ms}}
routes: [{path: /a, backend: app}, {path: /b, backend: last}]
`, tt.endpoint, tt.health, mute))
			g.await(`"endpoint":"` + mute + `","message":"endpoint is down"`) // half a second later
			s := g.endpoints()[0]
			if want := map[bool]string{true: "up", false: "down"}[tt.want == ""]; s.State != want || !strings.HasPrefix(s.Error, tt.want) {
				t.Errorf("%s with %q, want %s with %q", s.State, s.Error, want, tt.want)
			}
		})
	}
}

func TestPROXYHeadersOfClients(t *testing.T) {
	heard := make(chan string, 2)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			line, _ := r.ReadString('\n')
			heard <- line
			if _, err := http.ReadRequest(r); err == nil {
				io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			}
			c.Close()
		}
	}()
	_, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
trusted_proxies: [127.0.0.1]
backends: {app: {endpoints: ["%s"], proxy_protocol: v1}}
routes: [{backend: app}]
`, l.Addr()))
	_, port, _ := net.SplitHostPort(address)
	c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, from, _ := net.SplitHostPort(c.LocalAddr().String())
	for _, tt := range []struct{ forwarded, want string }{
		{"", "PROXY TCP4 127.0.0.1 127.0.0.1 " + from + " " + port + "\r\n"},
		{"X-Forwarded-For: 192.0.2.7\r\n", "PROXY TCP4 192.0.2.7 127.0.0.1 0 " + port + "\r\n"},
	} {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n"+tt.forwarded+"\r\n")
		answered(t, c)
		if got := <-heard; got != tt.want {
			t.Errorf("the backend heard %q, want %q", got, tt.want)
		}
	}
}
