package admin

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// failed reports the message of an answer that is a [Failure], and "" for another one.
func failed(t *testing.T, r *http.Response, body string) string {
	t.Helper()
	var f Failure
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if r.Header.Get("Content-Type") != "application/json" || d.Decode(&f) != nil {
		return ""
	}
	return f.Error
}

// streams reports whether the answer of an endpoint has no end of its own, or takes its time.
func streams(e endpoint) bool {
	return e.path == "/events" || strings.HasSuffix(e.path, "/tap") || strings.HasPrefix(e.path, "/debug/")
}

func TestAccessOverTCP(t *testing.T) {
	g := newFakeGateway()
	s := newTestServer(t, g, Options{Address: "127.0.0.1:0", Token: testToken})
	address := s.Addresses()["tcp"]
	bearer := "Authorization: Bearer " + testToken
	tests := []struct {
		name, method, target string
		lines                []string
		status               int
		want, refused        string
	}{
		{name: "a token", lines: []string{bearer}, status: 200},
		{name: "a token in other case and with spaces", lines: []string{"authorization: bEARER   " + testToken + "  "}, status: 200},
		{name: "no token", status: 401, want: "token is missing", refused: "no valid token"},
		{name: "an empty token", lines: []string{"Authorization: Bearer "}, status: 401, refused: "no valid token"},
		{name: "half a token", lines: []string{bearer[:len(bearer)-1]}, status: 401, want: "the token is wrong", refused: "no valid token"},
		{name: "a token and more", lines: []string{bearer + "x"}, status: 401, refused: "no valid token"},
		{name: "another scheme", lines: []string{"Authorization: Basic " + testToken}, status: 401, refused: "no valid token"},
		{name: "no scheme", lines: []string{"Authorization: " + testToken}, status: 401, refused: "no valid token"},
		{name: "two tokens", lines: []string{bearer, "Authorization: Bearer x"}, status: 401, refused: "no valid token"},
		{name: "two tokens, the right one last", lines: []string{"Authorization: Bearer x", bearer}, status: 401, refused: "no valid token"},
		{name: "a token in the query", target: "/status?token=" + testToken, status: 401, refused: "no valid token"},
		{name: "a cookie", lines: []string{"Cookie: token=" + testToken}, status: 401, refused: "no valid token"},
		{name: "health without a token", target: "/healthz", status: 200},
		{name: "readiness without a token", target: "/readyz", status: 200},
		{name: "metrics without a token", target: "/metrics", status: 401, refused: "no valid token"},
		{name: "the document without a token", target: "/openapi.json", status: 401, refused: "no valid token"},
		{name: "a path that is not there, without a token", target: "/x", status: 401, refused: "no valid token"},
		{name: "a change without a token", method: "POST", target: "/reload", status: 401, refused: "no valid token"},
		{name: "health with dots before another path", target: "/healthz/../status", status: 400},
		{name: "health with escaped dots", target: "/healthz/%2e%2e/status", status: 400},
		{name: "a path with two slashes", target: "//status", lines: []string{bearer}, status: 400, want: "/status"},
		{name: "a path that ends in a slash", target: "/healthz/", status: 400},
		{name: "an escaped letter", target: "/health%7A", status: 200},
		{name: "an escaped slash", target: "/%2Fhealthz", status: 401, refused: "no valid token"},
		{name: "a zero byte", target: "/healthz%00", status: 401, refused: "no valid token"},
		{name: "another case", target: "/HEALTHZ", status: 401, refused: "no valid token"},
		{name: "CONNECT", method: "CONNECT", target: "a.test:80", lines: []string{bearer}, status: 400},
		{name: "a whole URL", target: "http://localhost/status", lines: []string{bearer}, status: 200},
		{name: "a whole URL of another host", target: "http://evil.test/status", status: 421, refused: "a host that is not this interface"},
		{name: "a whole URL is what counts", target: "http://evil.test/healthz", lines: []string{"Host: localhost"}, status: 421, refused: "a host that is not this interface"},

		{name: "an address as host", lines: []string{bearer, "Host: 203.0.113.1:81"}, status: 200},
		{name: "an address of IPv6 as host", lines: []string{bearer, "Host: [::1]:81"}, status: 200},
		{name: "localhost with a port", lines: []string{bearer, "Host: LOCALHOST:81"}, status: 200},
		{name: "another name, with a token", lines: []string{bearer, "Host: gateway.example"}, status: 200},
		{name: "a token by another name", lines: []string{bearer, "Host: proxy.test"}, status: 200}, // a page that has bound its name again has no token
		{name: "a name that was bound again", lines: []string{"Host: evil.test"}, status: 421, want: "evil.test", refused: "a host that is not this interface"},
		{name: "a name that was bound again and half a token", lines: []string{bearer[:len(bearer)-1], "Host: evil.test"}, status: 421, refused: "a host that is not this interface"},
		{name: "a name that only ends so", lines: []string{"Host: evil.localhost"}, status: 421, refused: "a host that is not this interface"},
		{name: "no host", lines: []string{"Host:"}, status: 421, refused: "a host that is not this interface"},
		{name: "a name that was bound again asks for health", target: "/healthz", lines: []string{"Host: evil.test"}, status: 421, refused: "a host that is not this interface"},

		{name: "the own page", lines: []string{bearer, "Origin: http://localhost", "Sec-Fetch-Site: same-origin"}, status: 200},
		{name: "an address that a person has typed", lines: []string{bearer, "Sec-Fetch-Site: none"}, status: 200},
		{name: "another page", lines: []string{bearer, "Origin: http://evil.test"}, status: 403, want: "evil.test", refused: "a page of another site"},
		{name: "a page on another port", lines: []string{bearer, "Origin: http://localhost:81"}, status: 403, refused: "a page of another site"},
		{name: "a sandbox", lines: []string{bearer, "Origin: null"}, status: 403, refused: "a page of another site"},
		{name: "a page of another site", lines: []string{bearer, "Sec-Fetch-Site: cross-site"}, status: 403, refused: "a page of another site"},
		{name: "a page of the same site", lines: []string{bearer, "Sec-Fetch-Site: same-site"}, status: 403, refused: "a page of another site"},
		{name: "a page of another site asks for health", target: "/healthz", lines: []string{"Sec-Fetch-Site: cross-site"}, status: 403, refused: "a page of another site"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method, target := tt.method, tt.target
			if method == "" {
				method = "GET"
			}
			if target == "" {
				target = "/status"
			}
			g.refusals()
			r, body := ask(t, "tcp", address, request(method, target, tt.lines...))
			if r.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", r.StatusCode, tt.status, body)
			}
			if r.StatusCode != 200 {
				if message := failed(t, r, body); message == "" || !strings.Contains(message, tt.want) {
					t.Errorf("the answer %q is not an error with %q", body, tt.want)
				}
			}
			if strings.Contains(body, testToken) {
				t.Errorf("the token is in the answer %q", body)
			}
			if got := strings.Join(g.refusals(), ", "); got != tt.refused {
				t.Errorf("refused for %q, want %q", got, tt.refused)
			}
			if got := r.Header.Get("WWW-Authenticate"); (r.StatusCode == 401) != strings.HasPrefix(got, "Bearer ") {
				t.Errorf("WWW-Authenticate = %q with status %d", got, r.StatusCode)
			}
			for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if got := r.Header.Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("Access-Control-Allow-Origin = %q", got)
			}
		})
	}
}

// Without a token nothing but health is served over TCP, whatever a client shows.
func TestNoTokenOpensNothing(t *testing.T) {
	s := newTestServer(t, newFakeGateway(), Options{Address: "127.0.0.1:0"})
	for _, line := range []string{"X: y", "Authorization: Bearer ", "Authorization: Bearer", `Authorization: Bearer ""`} {
		if r, body := ask(t, "tcp", s.Addresses()["tcp"], request("GET", "/status", line)); r.StatusCode != 401 {
			t.Errorf("%q: status %d, want 401: %s", line, r.StatusCode, body)
		}
	}
}

func TestTheUnixSocketAsksForNoToken(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	tests := []struct {
		lines  []string
		status int
	}{
		{nil, 200},
		{[]string{"Host: anything.test"}, 200},
		{[]string{"Origin: http://evil.test"}, 403},
		{[]string{"Sec-Fetch-Site: cross-site"}, 403},
	}
	for _, tt := range tests {
		if r, body := ask(t, "unix", path, request("GET", "/status", tt.lines...)); r.StatusCode != tt.status {
			t.Errorf("%q: status %d, want %d: %s", tt.lines, r.StatusCode, tt.status, body)
		}
	}
}

func TestListenersWithoutATokenServeOneThing(t *testing.T) {
	g := newFakeGateway()
	s := newTestServer(t, g, Options{Health: "127.0.0.1:0", Metrics: "127.0.0.1:0", Token: testToken})
	for kind, serves := range map[string]func(e endpoint) bool{
		"health":  func(e endpoint) bool { return e.open },
		"metrics": func(e endpoint) bool { return e.path == "/metrics" },
	} {
		for _, e := range endpoints() {
			want := 404
			if serves(e) {
				want = 200
			}
			r, body := ask(t, "tcp", s.Addresses()[kind], request(e.method, e.path, "Host: pod.test", "Authorization: Bearer "+testToken))
			if r.StatusCode != want {
				t.Errorf("%s %s on the listener of %s: status %d, want %d: %s", e.method, e.path, kind, r.StatusCode, want, body)
			}
			if want == 404 && failed(t, r, body) == "" {
				t.Errorf("%s %s: %q is no error in JSON", e.method, e.path, body)
			}
		}
	}
	if got := g.audited(); len(got) != 0 {
		t.Errorf("done by these listeners: %v", got)
	}
	g.ready = Ready{Reasons: []string{"no"}}
	if r, body := ask(t, "tcp", s.Addresses()["health"], request("GET", "/readyz")); r.StatusCode != 503 || !strings.Contains(body, `"no"`) {
		t.Errorf("a gateway that is not ready: %d %s", r.StatusCode, body)
	}
}

// Those who read the metrics without a token, and take their time, keep no operator from them.
func TestScrapesWithoutATokenLeaveRoom(t *testing.T) {
	g := newFakeGateway()
	reading, goOn := make(chan struct{}), make(chan struct{})
	g.atMetrics = func() {
		reading <- struct{}{}
		<-goOn
	}
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, g, Options{Socket: &o, Metrics: "127.0.0.1:0"})
	address := s.Addresses()["metrics"]
	slow := make([]net.Conn, openScrapes)
	for i := range slow {
		slow[i] = dial(t, "tcp", address)
		io.WriteString(slow[i], request("GET", "/metrics"))
		<-reading
	}
	if r, body := ask(t, "tcp", address, request("GET", "/metrics")); r.StatusCode != 503 || failed(t, r, body) == "" {
		t.Errorf("one scrape too many: %d %s", r.StatusCode, body)
	}
	go func() { <-reading }()
	close(goOn)
	if r, body := ask(t, "unix", o.Path(), request("GET", "/metrics")); r.StatusCode != 200 {
		t.Errorf("an operator: %d %s", r.StatusCode, body)
	}
}

// A refusal of the health listener names only what it serves.
func TestTheHealthListenerNamesItsPaths(t *testing.T) {
	s := newTestServer(t, newFakeGateway(), Options{Health: "127.0.0.1:0"})
	for _, target := range []string{"/status", "//", "/healthz/"} {
		if _, body := ask(t, "tcp", s.Addresses()["health"], request("GET", target)); strings.Contains(body, "/loglevel") || !strings.Contains(body, "/healthz") {
			t.Errorf("GET %s: %q, want the paths of this listener", target, body)
		}
	}
}

func TestMethods(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	tests := []struct{ method, target, allow string }{
		{"POST", "/status", "GET"},
		{"PUT", "/sessions", "DELETE, GET"},
		{"DELETE", "/reload", "POST"},
		{"GET", "/reload", "POST"},
		{"HEAD", "/reload", "POST"},
		{"OPTIONS", "/status", "GET"},
		{"TRACE", "/status", "GET"},
		{"get", "/status", "GET"},
		{"PATCH", "/sessions/00000000000000a1", "DELETE, GET"},
		{"GET", "/backends/app/endpoints/127.0.0.1:9000/drain", "POST"},
		{strings.Repeat("X", 500), "/status", "GET"},
	}
	for _, tt := range tests {
		r, body := ask(t, "unix", path, request(tt.method, tt.target))
		if got := r.Header.Get("Allow"); r.StatusCode != 405 || got != tt.allow {
			t.Errorf("%.20s %s: status %d, Allow %q; want 405 and %q", tt.method, tt.target, r.StatusCode, got, tt.allow)
		}
		if tt.method != "HEAD" && (failed(t, r, body) == "" || len(body) > 400) {
			t.Errorf("%.20s %s: %q is no short error in JSON", tt.method, tt.target, body)
		}
	}
	for _, e := range endpoints() {
		if e.method != "GET" || streams(e) {
			continue
		}
		target := strings.NewReplacer("{session}", "00000000000000a1", "{file}", "main.js").Replace(e.path)
		r, body := ask(t, "unix", path, request("HEAD", target))
		whole, _ := ask(t, "unix", path, request("GET", target))
		if r.StatusCode != 200 || body != "" || r.Header.Get("Content-Type") != whole.Header.Get("Content-Type") {
			t.Errorf("HEAD %s: status %d, body %q, Content-Type %q; want 200, none, %q", target, r.StatusCode, body, r.Header.Get("Content-Type"), whole.Header.Get("Content-Type"))
		}
	}
}

func TestBodiesAreRefused(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	tests := []struct{ name, head string }{
		{"a length", "Content-Length: 5\r\n\r\nlevel"},
		{"chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nlevel\r\n0\r\n\r\n"},
		{"chunks that are empty", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"a form", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\nlevel=debug"},
	}
	for _, tt := range tests {
		for _, first := range []string{"POST /loglevel?level=debug", "POST /reload", "GET /status", "DELETE /sessions?all=true"} {
			c := dial(t, "unix", path)
			io.WriteString(c, first+" HTTP/1.1\r\nHost: localhost\r\n"+tt.head+"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
			in := bufio.NewReader(c)
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(r.Body)
			if message := failed(t, r, string(body)); r.StatusCode != 400 || !strings.Contains(message, "query") {
				t.Errorf("%s with %s: %d %s", first, tt.name, r.StatusCode, body)
			}
			if rest, _ := io.ReadAll(in); len(rest) > 0 {
				t.Errorf("%s with %s: the connection goes on with %q", first, tt.name, rest)
			}
		}
	}
	if r, body := ask(t, "unix", path, request("POST", "/reload", "Content-Length: 0")); r.StatusCode != 200 {
		t.Errorf("a body of no bytes: %d %s", r.StatusCode, body)
	}
	if got := g.audited(); len(got) != 1 {
		t.Errorf("done: %v, want one reload", got)
	}
}

// What another reader would take for two requests is refused, and ends the connection.
func TestNothingIsSmuggled(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	const inner = "POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for name, head := range map[string]string{
		"a length and chunks":         "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":                 "Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
		"a length with a sign":        "Content-Length: +0\r\n\r\n",
		"another coding":              "Transfer-Encoding: identity\r\n\r\n",
		"a coding with a tab":         "Transfer-Encoding:\tchunked\r\nTransfer-Encoding: x\r\n\r\n",
		"a space before the colon":    "Content-Length : 5\r\n\r\n",
		"two hosts":                   "Host: b\r\n\r\n",
		"a bare CR":                   "X: a\rY: b\r\n\r\n",
		"a length in another version": "Content-Length: 0x0\r\n\r\n",
	} {
		c := dial(t, "unix", path)
		io.WriteString(c, "GET /status HTTP/1.1\r\nHost: localhost\r\n"+head+inner)
		in := bufio.NewReader(c)
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			continue // cut
		}
		body, _ := io.ReadAll(r.Body)
		if r.StatusCode < 400 {
			t.Errorf("%s: %d %.60s", name, r.StatusCode, body)
		}
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Errorf("%s: a second answer %.60q", name, rest)
		}
	}
	if got := g.audited(); len(got) != 0 {
		t.Errorf("done: %v, want nothing", got)
	}
}

func TestLongRequestsAreRefused(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	tests := []struct {
		name, request string
		status        int
	}{
		{"a long query", request("GET", "/sessions?route="+strings.Repeat("a", mostQuery)), 400},
		{"a long path", request("GET", "/sessions/"+strings.Repeat("a", 10_000)), 400},
		{"a long field", request("GET", "/status", "X: "+strings.Repeat("a", 64<<10)), 431},
		{"many fields", request("GET", "/status", strings.Split(strings.Repeat("X: y\n", 10_000)+"X: y", "\n")...), 431},
		{"a long target", request("GET", "/"+strings.Repeat("a", 64<<10)), 431},
	}
	for _, tt := range tests {
		c := dial(t, "unix", path)
		go io.WriteString(c, tt.request) // the answer may come before all is sent
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if r.StatusCode != tt.status || r.ContentLength > 2000 {
			t.Errorf("%s: status %d with %d bytes, want %d with few", tt.name, r.StatusCode, r.ContentLength, tt.status)
		}
	}
}

func TestReadOnly(t *testing.T) {
	g := newFakeGateway()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, g, Options{Socket: &o, ReadOnly: true, Pprof: true})
	filled := strings.NewReplacer("{session}", "00000000000000a1", "{backend}", "app", "{endpoint}", "127.0.0.1:9000", "{file}", "main.js")
	for _, e := range endpoints() {
		if streams(e) {
			continue
		}
		r, body := ask(t, "unix", o.Path(), request(e.method, filled.Replace(e.path)))
		if want := e.method != "GET" && e.body == nil; want != e.changes {
			t.Errorf("%s %s changes something: %t", e.method, e.path, e.changes)
		}
		if message := failed(t, r, body); e.changes && (r.StatusCode != 403 || !strings.Contains(message, "read_only")) || !e.changes && e.body == nil && r.StatusCode != 200 || e.body != nil && r.StatusCode != 400 {
			t.Errorf("%s %s where all is read-only: %d %s", e.method, e.path, r.StatusCode, body)
		}
		if e.path == "/status" && !strings.Contains(body, `"read_only":true`) {
			t.Errorf("the status does not say that all is read-only: %s", body)
		}
	}
	if got := g.audited(); len(got) != 0 {
		t.Errorf("done: %v, want nothing", got)
	}
	change(t, s, Options{Socket: &o})
	if r, body := ask(t, "unix", o.Path(), request("POST", "/reload")); r.StatusCode != 200 {
		t.Errorf("after read_only is gone: %d %s", r.StatusCode, body)
	}
}

func TestWhoHasDoneIt(t *testing.T) {
	g := newFakeGateway()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	s := newTestServer(t, g, Options{Socket: &o, Address: "127.0.0.1:0", Token: testToken})
	ask(t, "unix", o.Path(), request("POST", "/reload"))
	c := dial(t, "tcp", s.Addresses()["tcp"])
	answer(t, c, request("DELETE", "/sessions?route=chat", "Authorization: Bearer "+testToken))
	done := g.audited()
	if len(done) != 2 {
		t.Fatalf("%d changes are told, want 2: %+v", len(done), done)
	}
	if a := done[0]; a.What != "reload" || a.Who.Address != "" || a.Who.UID < 0 && hasPeers || a.Count != -1 {
		t.Errorf("on the Unix socket: %+v", a)
	}
	if a := done[1]; a.What != "end sessions" || a.Who.Address != c.LocalAddr().String() || a.Who.Token == "" || strings.Contains(a.Who.Token, testToken) || a.Count != 1 || a.Target != "route=chat" {
		t.Errorf("over TCP: %+v, want it from %s", a, c.LocalAddr())
	}
}
