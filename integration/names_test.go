package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/internal/wstest"
)

// folded is a name of a header as CGI and its like may see it.
func folded(name string) string {
	return regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(strings.ToLower(name), "-")
}

// forged are fields with names in spellings that backends may take for those that a route or
// the gateway sets. If they are announced, the trailer section has the same ones.
func forged() []string {
	var lines []string
	for _, name := range []string{
		"X-Remote-User", "x_remote_user", "X.Remote.User", "X_Remote-User", "X-Admin", "X_Admin", "x~admin", "X-Api_Key",
		"X_Forwarded_For", "X_Forwarded_Proto", "X-Forwarded_Host", "X_Real_IP", "X-Real-IP", "X_Request_Id", "X-Client-Subject",
		"X_Client_San", "X-Client-Anything", "Forwarded", "X-Forwarded-Anything",
	} {
		lines = append(lines, name+": evil")
	}
	return lines
}

// trailing are the lines as trailers of HTTP/1.1, announced or not.
func trailing(announce bool, lines []string) (announcement, section string) {
	if announce {
		var names []string
		for _, line := range lines {
			name, _, _ := strings.Cut(line, ":")
			names = append(names, name)
		}
		announcement = "Trailer: " + strings.Join(names, ", ") + "\r\n"
	}
	return announcement, strings.Join(lines, "\r\n") + "\r\n"
}

// A sink takes what reaches a backend, over HTTP/1.1 and HTTP/2.
type sink struct {
	mu   sync.Mutex
	seen map[string][]http.Header // by path: headers, trailers
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[r.URL.Path] = []http.Header{r.Header, r.Trailer}
}

// at returns what came for a path.
func (s *sink) at(path string) []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[path]
}

// checkForged checks that a backend got nothing that clients may not send.
func checkForged(t *testing.T, sections ...http.Header) {
	t.Helper()
	names := map[string]int{}
	for _, h := range sections {
		for name, values := range h {
			if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "evil") }) {
				t.Errorf("%s: %q reached the backend", name, values)
			}
			names[folded(name)] += len(values)
		}
	}
	if n := names["x-admin"]; n > 0 {
		t.Errorf("X-Admin is there %d times in %v", n, sections)
	}
	if got := sections[0]["X-Remote-User"]; !slices.Equal(got, []string{"gateway"}) || names["x-remote-user"] != 1 {
		t.Errorf("X-Remote-User = %q and %d in all, want gateway once, in %v", got, names["x-remote-user"], sections)
	}
	if got := sections[0]["X-Api-Key"]; !slices.Equal(got, []string{"key"}) || names["x-api-key"] != 1 {
		t.Errorf("X-Api-Key = %q and %d in all, want key once, in %v", got, names["x-api-key"], sections)
	}
	for _, name := range []string{"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id"} {
		if names[name] != 1 {
			t.Errorf("%s is there %d times, want once, in %v", name, names[name], sections)
		}
	}
}

// No client can send, in another spelling or as a trailer, what a route or the gateway sets in
// a request.
func TestNamesInEverySpellingAndPlace(t *testing.T) {
	t.Parallel()
	backend := &sink{seen: map[string][]http.Header{}}
	mirrored := &sink{seen: map[string][]http.Header{}}
	copies := make(chan string, 100)
	plain := httptest.NewServer(backend)
	t.Cleanup(plain.Close)
	shadow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mirrored.ServeHTTP(w, r)
		copies <- r.URL.Path
	}))
	t.Cleanup(shadow.Close)
	streams := httptest.NewUnstartedServer(backend)
	streams.Config.Protocols = new(http.Protocols)
	streams.Config.Protocols.SetUnencryptedHTTP2(true)
	streams.Start()
	t.Cleanup(streams.Close)
	sockets := newRecorder(t)
	file := t.TempDir() + "/key"
	write(t, file, "key\n")
	const edits = `request: { set_headers: { X-Remote-User: gateway }, set_headers_file: { X-Api-Key: %q }, remove_headers: [x_admin] }`
	g := start(t, fmt.Sprintf(strings.ReplaceAll(`
routes:
  - { path: /h1/*, backend: %[1]q, EDITS }
  - { path: /h2/*, backend: "h2c://%[2]s", EDITS }
  - { path: /ws/*, backend: %[3]s, EDITS }
  - { path: /mirrored/*, backend: %[1]q, mirror: %[4]q, EDITS }
`, "EDITS", strings.ReplaceAll(edits, "%q", "%[5]q")), plain.URL, streams.Listener.Addr(), sockets.Address, shadow.URL, file))

	for _, to := range []string{"/h1/", "/h2/", "/mirrored/"} {
		t.Run("headers"+to, func(t *testing.T) {
			wstest.Ask(t, g.http, get(to+"headers", forged()...))
			checkForged(t, backend.at(to+"headers")...)
			if to == "/mirrored/" {
				<-copies
				checkForged(t, mirrored.at(to+"headers")...)
			}
		})
		for _, announce := range []bool{true, false} {
			t.Run(fmt.Sprintf("trailers%s, announced %t", to, announce), func(t *testing.T) {
				path := fmt.Sprintf("%strailers-%t", to, announce)
				announcement, section := trailing(announce, append(forged(), "X-Fine: 1"))
				wstest.Ask(t, g.http, "POST "+path+" HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n"+announcement+
					"\r\n5\r\nhello\r\n0\r\n"+section+"\r\n")
				seen := backend.at(path)
				checkForged(t, seen...)
				if got := seen[1].Get("X-Fine"); got != "1" && (announce || to == "/h1/") { // over HTTP/2 the library reads announced ones alone
					t.Errorf("the trailer X-Fine = %q, want 1, in %v", got, seen[1])
				}
				if to == "/mirrored/" {
					<-copies
					checkForged(t, mirrored.at(path)...)
				}
			})
		}
		t.Run("HTTP/2"+to, func(t *testing.T) {
			var fields, trailers []field
			var names []string
			for _, line := range append(forged(), "x-fine: 1") {
				name, value, _ := strings.Cut(strings.ToLower(line), ": ")
				fields, names = append(fields, field{name, value}), append(names, name)
			}
			trailers = fields
			s := dial2(t, g.https)
			defer s.conn.Close()
			_ = s.open(1, false, pseudo("POST", to+"two", append(fields, field{"trailer", strings.Join(names, ", ")})...)...)
			_ = s.WriteData(1, false, []byte("hello"))
			_ = s.open(1, true, trailers...)
			if all, err := s.outcomes(1); err != nil || all[1].status != 200 {
				t.Fatalf("%v, %v; want status 200", all[1], err)
			}
			seen := backend.at(to + "two")
			checkForged(t, seen...)
			if got := seen[1].Get("X-Fine"); got != "1" {
				t.Errorf("the trailer X-Fine = %q, want 1, in %v", got, seen[1])
			}
		})
	}
	for scheme, target := range g.schemes() {
		t.Run("handshake over "+scheme, func(t *testing.T) {
			wstest.Ask(t, target, wstest.Handshake("/ws/"+scheme, append(forged(), "Sec_WebSocket_Protocol: evil", "Sec-WebSocket_Extensions: evil")...))
			h := http.Header{}
			for _, line := range sockets.below("/ws/" + scheme)[0].Lines {
				name, value, _ := strings.Cut(line, ": ")
				h[name] = append(h[name], value)
			}
			checkForged(t, h)
		})
	}
}

// What a route removes from an answer, or sets in it, does not come back in another spelling,
// as a trailer or with an informational answer.
func TestAnswersInEverySpellingAndPlace(t *testing.T) {
	t.Parallel()
	spelled := []string{
		"X-Powered-By: evil", "X_Powered_By: evil", "x.powered.by: evil", "Server_: evil", "X-Version: evil", "X_Version: evil", "X-Frame-Options: evil",
		"X_Frame_Options: evil", "Access_Control_Allow_Origin: evil", "Access-Control-Allow-Origin: evil", "Content_Type: evil",
		"Strict_Transport_Security: evil", "X-Content_Type-Options: evil",
	}
	answer := func(announce bool) string {
		announcement, section := trailing(announce, append(spelled, "X-Fine: 1"))
		lines := strings.Join(spelled, "\r\n") + "\r\n"
		return "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" + lines + "\r\n" +
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n" + lines + announcement + "\r\n5\r\nhello\r\n0\r\n" + section + "\r\n"
	}
	b := wstest.NewBackend(t, func(c *wstest.Conn) {
		if c.Head.Get("Upgrade") != "" {
			_ = c.Accept(spelled...)
			return
		}
		_, _ = io.WriteString(c, answer(strings.Contains(c.Head.Start, "/announced")))
	})
	streams := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, code := range []int{103, 200} {
			for _, line := range append(spelled, "Link: </a>") {
				name, value, _ := strings.Cut(line, ": ")
				w.Header()[name] = []string{value}
			}
			w.WriteHeader(code)
		}
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush() // without a length there may be trailers
		for _, line := range append(spelled, "X-Fine: 1") {
			name, value, _ := strings.Cut(line, ": ")
			w.Header()[http.TrailerPrefix+name] = []string{value}
		}
	}))
	streams.Config.Protocols = new(http.Protocols)
	streams.Config.Protocols.SetUnencryptedHTTP2(true)
	streams.Start()
	t.Cleanup(streams.Close)
	const edits = `response: { set_headers: { X-Version: gateway }, remove_headers: [X-Powered-By, server-, content-type] }, security: true`
	g := start(t, fmt.Sprintf(strings.ReplaceAll(`
routes:
  - { path: /h1/*, backend: %[1]s, cors: "https://app.test", EDITS }
  - { path: /h2/*, backend: "h2c://%[2]s", cors: "https://app.test", EDITS }
  - { path: /own, respond: { body: hello }, cors: "https://app.test", EDITS }
`, "EDITS", edits), b.Address, streams.Listener.Addr()))
	check := func(t *testing.T, sections ...http.Header) {
		t.Helper()
		for _, h := range sections {
			for name, values := range h {
				if slices.Contains(values, "evil") || slices.Contains([]string{"x-powered-by", "content-type"}, folded(name)) {
					t.Errorf("%s: %q reached the client", name, values)
				}
			}
		}
	}
	for way, target := range map[string]wstest.Target{"HTTP/1.1": g.http, "HTTP/2": g.https} {
		for _, path := range []string{"/h1/announced", "/h1/", "/h2/", "/own"} {
			t.Run(way+path, func(t *testing.T) {
				var early []http.Header
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
					early = append(early, http.Header(h))
					return nil
				}})
				q, err := http.NewRequestWithContext(ctx, http.MethodGet, target.URL(path), nil)
				if err != nil {
					t.Fatal(err)
				}
				r, err := g.client(t).Do(q)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || string(body) != "hello" {
					t.Fatalf("body %q, %v; want hello", body, err)
				}
				check(t, append(early, r.Header, r.Trailer)...)
				if got := r.Header["X-Version"]; !slices.Equal(got, []string{"gateway"}) {
					t.Errorf("X-Version = %q, want gateway", got)
				}
				if path == "/own" {
					return
				}
				if len(early) != 1 || early[0].Get("Link") != "</a>" || r.Trailer.Get("X-Fine") != "1" {
					t.Errorf("informational answers %v, trailers %v; want one with a Link, and X-Fine", early, r.Trailer)
				}
			})
		}
	}
	for scheme, target := range g.schemes() {
		t.Run("handshake over "+scheme, func(t *testing.T) {
			r, _ := wstest.Ask(t, target, wstest.Handshake("/h1/"))
			check(t, r.Header)
			if got := r.Header["X-Version"]; r.StatusCode != 101 || !slices.Equal(got, []string{"gateway"}) {
				t.Errorf("status %d, X-Version = %q; want 101, gateway", r.StatusCode, got)
			}
		})
	}
}

// A header that the gateway sets by itself may be removed, and one that the
// library would add stays away.
func TestRemovedHeadersStayAway(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, request: { remove_headers: [x_forwarded_for, Forwarded, X-Request-Id, user-agent] } }]", b.Address))
	wstest.Ask(t, g.http, get("/", "User-Agent: a"))
	for _, line := range b.all()[0].Lines {
		name, _, _ := strings.Cut(line, ":")
		if slices.Contains([]string{"X-Forwarded-For", "Forwarded", "X-Request-Id", "User-Agent"}, name) {
			t.Errorf("%s reached the backend", line)
		}
	}
}
