//go:build unix

package admin

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// environment returns a function for the environment of a command.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// run starts the server of a configuration in a runtime directory.
func run(t *testing.T, dir, config string) *fakeGateway {
	t.Helper()
	g := newFakeGateway()
	newTestServer(t, g, Options{Socket: &SocketOptions{Dir: dir, Name: SocketName(config), Group: -1}})
	return g
}

func TestFindBySocket(t *testing.T) {
	dir := t.TempDir()
	find := func(w Where) (string, error) {
		w.dirs = []string{dir} // gateways may run on this machine
		c, err := Find(w, environment())
		if err != nil {
			return "", err
		}
		var s Status
		if status, err := c.Do(t.Context(), "GET", "/status", nil, &s); err != nil || status != 200 {
			t.Errorf("status of what %+v means: %d, %v", w, status, err)
		}
		return c.Where(), nil
	}
	wanted := filepath.Join(dir, SocketName("/c/a.yaml"))

	_, err := find(Where{Config: "/c/a.yaml", Defaults: []string{"/c/d.yaml"}})
	if err == nil || !strings.Contains(err.Error(), "/c/a.yaml") || !strings.Contains(err.Error(), wanted) || !strings.Contains(err.Error(), "does it run") {
		t.Errorf("nothing runs: %v, want the file, where it was looked for, and what to check", err)
	}

	run(t, dir, "/c/a.yaml")
	if got, err := find(Where{Config: "/c/a.yaml", Defaults: []string{"/c/d.yaml"}}); got != wanted {
		t.Errorf("by its configuration: %q, %v", got, err)
	}
	if got, err := find(Where{Config: "/c/../c/a.yaml"}); got != wanted {
		t.Errorf("by another spelling: %q, %v", got, err)
	}
	if got, err := find(Where{Defaults: []string{"/c/a.yaml"}}); got != wanted {
		t.Errorf("by the default: %q, %v", got, err)
	}
	if got, err := find(Where{Admin: "unix:" + wanted, Config: "/no"}); got != wanted {
		t.Errorf("by its socket: %q, %v", got, err)
	}
	if got, err := find(Where{Admin: wanted}); got != wanted {
		t.Errorf("by the path of its socket: %q, %v", got, err)
	}

	_, err = find(Where{Config: "/c/b.yaml", Defaults: []string{"/c/d.yaml"}})
	if err == nil || !strings.Contains(err.Error(), "/c/b.yaml") || !strings.Contains(err.Error(), wanted) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("another file: %v, want no gateway and a word of the other one", err)
	}

	run(t, dir, "/c/d.yaml")
	if got, err := find(Where{Defaults: []string{"/c/d.yaml"}}); got != filepath.Join(dir, SocketName("/c/d.yaml")) {
		t.Errorf("the default with another beside it: %q, %v", got, err)
	}
	_, err = find(Where{Defaults: []string{"/c/e.yaml"}})
	if err == nil || !strings.Contains(err.Error(), wanted) || !strings.Contains(err.Error(), SocketName("/c/d.yaml")) || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("two others: %v, want both named", err)
	}

	if got, err := find(Where{Defaults: []string{"/c/e.yaml", "/c/d.yaml", "/c/a.yaml"}}); got != filepath.Join(dir, SocketName("/c/d.yaml")) {
		t.Errorf("the first default that runs: %q, %v", got, err)
	}
	if got, err := find(Where{Config: "/c/e.yaml", Defaults: []string{"/c/d.yaml"}}); err == nil || strings.Contains(err.Error(), SocketName("/c/d.yaml")+",") {
		t.Errorf("a configuration that does not run beside a default that does: %q, %v", got, err)
	}

	// What is left over does not count.
	l, err := net.Listen("unix", filepath.Join(dir, "dead.sock"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err = find(Where{Defaults: []string{"/c/e.yaml"}}); err == nil || strings.Contains(err.Error(), "dead.sock") {
		t.Errorf("with a socket that is left over: %v", err)
	}
}

// The only gateway that runs is meant where nothing is said.
func TestFindTheOnlyOne(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, "/c/a.yaml")
	c, err := Find(Where{Defaults: []string{"/etc/sluice/sluice.yaml"}, dirs: []string{dir}}, environment())
	if err != nil || c.Where() != filepath.Join(dir, SocketName("/c/a.yaml")) {
		t.Errorf("%v, %v", c, err)
	}
}

// A command trusts no socket in a directory that another user could have made.
func TestFindTrustsNoOneElse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a directory of another user")
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	theirs := filepath.Join(temporary, "sluice-0")
	run(t, theirs, "/c/a.yaml")
	if err := os.Chown(theirs, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if c, err := Find(Where{Config: "/c/a.yaml"}, environment("RUNTIME_DIRECTORY", t.TempDir())); err == nil {
		t.Errorf("the socket %s in a directory of another user was taken", c.Where())
	}
}

func TestFindByAddress(t *testing.T) {
	s := newTestServer(t, newFakeGateway(), Options{Address: "127.0.0.1:0", Token: testToken})
	address := s.Addresses()["tcp"]
	dir := t.TempDir()
	good, bad, empty := filepath.Join(dir, "good"), filepath.Join(dir, "bad"), filepath.Join(dir, "empty")
	for file, text := range map[string]string{good: "\n" + testToken + "\r\n", bad: "another token", empty: "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		w    Where
		env  string
		want string // of the error; "" means that it works
	}{
		{name: "a token in a file", w: Where{Admin: address, TokenFile: good}},
		{name: "a token in the environment", w: Where{Admin: address}, env: testToken},
		{name: "the file comes first", w: Where{Admin: address, TokenFile: good}, env: "another token"},
		{name: "a URL", w: Where{Admin: "http://" + address, TokenFile: good}},
		{name: "a URL with a slash", w: Where{Admin: "http://" + address + "/", TokenFile: good}},
		{name: "no token", w: Where{Admin: address}, want: "--token-file"},
		{name: "an empty file", w: Where{Admin: address, TokenFile: empty}, env: testToken, want: "token is needed"},
		{name: "a file that is not there", w: Where{Admin: address, TokenFile: filepath.Join(dir, "none")}, want: filepath.Join(dir, "none")},
		{name: "another token", w: Where{Admin: address, TokenFile: bad}, want: "the token is wrong"},
		{name: "an empty address", w: Where{Admin: "http://", TokenFile: good}, want: "neither a socket"},
		{name: "another scheme", w: Where{Admin: "ftp://a.test", TokenFile: good}, want: "neither a socket"},
		{name: "a port that is none", w: Where{Admin: "127.0.0.1:port", TokenFile: good}, want: "neither a socket"},
		{name: "a socket that is not there", w: Where{Admin: "unix:" + filepath.Join(dir, "none.sock")}, want: filepath.Join(dir, "none.sock")},
		{name: "a file that is no socket", w: Where{Admin: good}, want: good},
		{name: "TLS where there is none", w: Where{Admin: "https://" + address, TokenFile: good}, want: "HTTP"},
		{name: "a relative path", w: Where{Admin: "unix:none.sock"}, want: "none.sock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Find(tt.w, environment("SLUICE_ADMIN_TOKEN", tt.env))
			if err == nil {
				_, err = c.Do(t.Context(), "GET", "/status", nil, nil)
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%+v: %v, want %q", tt.w, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), testToken) {
				t.Errorf("the token is in the error %q", err)
			}
		})
	}
}

func TestTheClientSaysWhatWasSaid(t *testing.T) {
	c := newUnixClient(newSocketServer(t, newFakeGateway()))
	if status, err := c.Do(t.Context(), "GET", "/sessions", url.Values{"min_age": {"x"}}, nil); status != 400 || err == nil || !strings.Contains(err.Error(), `min_age "x"`) || !strings.Contains(err.Error(), c.Where()) {
		t.Errorf("%d, %v", status, err)
	}
	g := newFakeGateway()
	g.ready = Ready{Reasons: []string{"starting"}}
	var r Ready
	if status, err := newUnixClient(newSocketServer(t, g)).Do(t.Context(), "GET", "/readyz", nil, &r); status != 503 || err != nil || len(r.Reasons) != 1 {
		t.Errorf("not ready: %d, %v, %+v", status, err, r)
	}
}

// What is no gateway is not understood, and said so.
func TestTheClientMeetsAnotherServer(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page":   func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502); io.WriteString(w, "oops") },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		},
		"another's error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); io.WriteString(w, `{"error":{}}`) },
		"nothing":         func(w http.ResponseWriter, _ *http.Request) {},
	} {
		s := httptest.NewServer(answer)
		t.Cleanup(s.Close)
		c, err := Find(Where{Admin: s.URL}, environment("SLUICE_ADMIN_TOKEN", testToken))
		if err != nil {
			t.Fatal(err)
		}
		var to Status
		if _, err := c.Do(t.Context(), "GET", "/status", nil, &to); err == nil || !strings.Contains(err.Error(), s.URL) {
			t.Errorf("%s: %v, want an error that says where", name, err)
		}
	}
}

// A token is sent to the address that was named and to no other one.
func TestTheClientKeepsItsToken(t *testing.T) {
	got := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Authorization") }))
	t.Cleanup(other.Close)
	s := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(s.Close)
	c, err := Find(Where{Admin: s.URL}, environment("SLUICE_ADMIN_TOKEN", testToken))
	if err != nil {
		t.Fatal(err)
	}
	if status, err := c.Do(t.Context(), "DELETE", "/sessions", nil, new(Ended)); err == nil {
		t.Errorf("a redirect is taken for an answer: %d", status)
	}
	select {
	case token := <-got:
		t.Errorf("a redirect was followed, with Authorization %q", token)
	default:
	}
}

func TestPath(t *testing.T) {
	for want, parts := range map[string][]string{
		"/sessions/a":          {"sessions", "a"},
		"/b/a%2Fb/c%3Fd%23e":   {"b", "a/b", "c?d#e"},
		"/b/%25/%C3%A9%20":     {"b", "%", "é "},
		"/b/unix:%2Frun%2Fa.s": {"b", "unix:/run/a.s"},
	} {
		if got := Path(parts...); got != want {
			t.Errorf("Path(%q) = %q, want %q", parts, got, want)
		}
	}
}
