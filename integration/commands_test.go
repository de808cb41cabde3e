package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// file writes a configuration and returns its name.
func file(t *testing.T, config string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, f, config)
	return f
}

// sluice check reports all mistakes of a file at once, each with its place.
func TestCheckReportsEveryMistake(t *testing.T) {
	t.Parallel()
	f := file(t, `listeners:
  - { address: ":80", tsl: true }
routes:
  - { path: /a, backend: nowhere }
  - { path: b, respond: { body: x } }
  - { path: /c, respond: { status: 99 } }
  - { path: /d, respond: {}, websocket: { handshake_timeout: soon } }
  - { path: /e, respond: {} }
  - { path: /e, respond: {} }
log: { level: loud }
`)
	output, code := sluice(t, "check", "--config", f)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []struct{ place, about string }{
		{":2:", "tls"}, // suggested for tsl
		{":4:", "nowhere"},
		{":5:", "/"},
		{":6:", "99"},
		{":7:", "soon"},
		{":9:", "8"}, // names the other line
		{":10:", "loud"},
	} {
		found := false
		for line := range strings.Lines(output) {
			found = found || strings.Contains(line, f+want.place) && strings.Contains(line, want.about)
		}
		if !found {
			t.Errorf("no line with %s%s and %q", f, want.place, want.about)
		}
	}
	if t.Failed() {
		t.Logf("sluice check said:\n%s", output)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "a.test")
	_, otherKey := ca.Issue(t, "b.test")
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	write(t, garbage, "no PEM")
	unreadable := t.TempDir() // even for root
	tls := func(cert, key string) string {
		return fmt.Sprintf("state_dir: %q\ntls: { certificates: [{ cert: %q, key: %q }] }\nroutes: [{ respond: {} }]\n", t.TempDir(), cert, key)
	}
	tests := []struct {
		name, config string
		code         int
		want         string
	}{
		{name: "good", config: tls(cert, key), code: 0},
		{name: "the least that works", config: "routes: [{ backend: 127.0.0.1:9000 }]\n", code: 0},
		{name: "empty", config: "", code: 1, want: "routes"},
		{name: "not YAML", config: "routes: [\n", code: 1, want: "sluice.yaml:"},
		{name: "not a mapping", config: "- a\n", code: 1, want: "sluice.yaml:1:"},
		{name: "key of another certificate", config: tls(cert, otherKey), code: 1, want: otherKey},
		{name: "certificate that is not there", config: tls(cert+"x", key), code: 1, want: cert + "x"},
		{name: "key that cannot be read", config: tls(cert, unreadable), code: 1, want: unreadable},
		{name: "key that is not PEM", config: tls(cert, garbage), code: 1, want: garbage},
		{name: "files that are not there", config: "routes: [{ files: /no/such/folder }]\n", code: 1, want: "/no/such/folder"},
		{name: "an authority that is not there", config: "backends: { b: { endpoints: [https://b.test], tls: { ca: /no/such/ca.pem } } }\nroutes: [{ backend: b }]\n", code: 1, want: "/no/such/ca.pem"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			output, code := sluice(t, "check", "--config", file(t, tt.config))
			if code != tt.code || !strings.Contains(output, tt.want) {
				t.Errorf("exit code %d, want %d; %q should be in:\n%s", code, tt.code, tt.want, output)
			}
		})
	}
	if output, code := sluice(t, "check", "--config", "/no/such/file.yaml"); code != 1 || !strings.Contains(output, "/no/such/file.yaml") {
		t.Errorf("check of a file that is not there: exit code %d, %q", code, output)
	}
}

// A start that fails says why, and the exit code is 1.
func TestRunFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	dir := t.TempDir()
	taken, plain := filepath.Join(dir, "taken"), filepath.Join(dir, "plain")
	u, err := net.Listen("unix", taken)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	write(t, plain, "not a socket")
	socket := func(path string) string {
		return fmt.Sprintf("listeners: [%q]\nroutes: [{ respond: {} }]\n", "unix:"+path)
	}
	tests := []struct{ name, config, want string }{
		{"a Unix socket in use", socket(taken), "another program listens there"},
		{"a file where the socket should be", socket(plain), "is not a socket"},
		{"a folder where the socket should be", socket(dir), "is not a socket"},
		{"no folder for the socket", socket(filepath.Join(dir, "none", "x")), "no such file or directory"},
		{"port in use", fmt.Sprintf("listeners: [%q]\nroutes: [{ respond: {} }]\n", l.Addr()), l.Addr().String()},
		{"an address of nobody here", "listeners: [\"192.0.2.1:80\"]\nroutes: [{ respond: {} }]\n", "192.0.2.1:80"},
		{"a bad file", "routes: [{ respnd: {} }]\n", "respnd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := file(t, tt.config)
			output, code := sluice(t, "run", "--config", f)
			if code != 1 || !strings.Contains(output, tt.want) {
				t.Errorf("exit code %d, want 1; %q should be in:\n%s", code, tt.want, output)
			}
		})
	}
}

// A mode of Go's cryptography in which every handshake would fail is refused at the start; a
// mode in which handshakes work is not.
func TestFIPS(t *testing.T) {
	t.Setenv("GODEBUG", "fips140=only")
	for _, args := range [][]string{{"run", "--config", file(t, "listeners: [127.0.0.1:0]\nroutes: [{ path: /, respond: {} }]")}, {"demo"}} {
		output, code := sluice(t, args...)
		if code != 1 || !strings.Contains(output, "SHA-1") || strings.Count(output, "\n") != 1 {
			t.Errorf("sluice %s: exit code %d, %q; want 1 and a line that names SHA-1", args[0], code, output)
		}
	}
	t.Setenv("GODEBUG", "fips140=on")
	b := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for _, target := range g.schemes() {
		p := wstest.Open(t, target, wstest.Handshake("/"))
		p.Send(wstest.Text("hello"))
		p.Expect(wstest.Text("hello"))
		p.Send(wstest.Close(1000, ""))
		p.ExpectClose(1000)
		p.ExpectEnd()
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	f := file(t, `
listeners: [{ address: 127.0.0.1:8080, redirect_https: true }, { address: 127.0.0.1:8443, tls: true }]
tls: { self_signed: [chat.test] }
state_dir: `+t.TempDir()+`
backends:
  chat: { endpoints: [127.0.0.1:9000] }
routes:
  - { name: chat, host: chat.test, path: /ws/*, backend: chat, protocol: websocket, websocket: { origins: ["https://chat.test"] } }
  - { name: write, host: chat.test, path: /api/*, backend: chat, methods: [POST], headers: { X-Key: k } }
  - { name: rest, path: /rest/*, respond: { body: rest } }
`)
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"a session", []string{"wss://chat.test/ws/a", "--origin", "https://chat.test"}, 0, []string{"chat", "127.0.0.1:9000", "limits.message_size", "handshake_timeout"}},
		{"a handshake by flag", []string{"https://chat.test/ws/a", "--websocket"}, 0, []string{"127.0.0.1:9000"}},
		{"a refused origin", []string{"https://chat.test/ws/a", "--websocket", "--origin", "https://evil.test"}, 1, []string{"refused"}},
		{"a method and a header", []string{"http://chat.test/api/x", "--method", "POST", "--header", "X-Key: k"}, 0, []string{"write", "127.0.0.1:9000", "timeouts.response", "min_body_rate", "max_body_size"}},
		{"why not the others", []string{"http://chat.test/rest/x"}, 0, []string{"rest", "write"}},
		{"another host", []string{"http://other.test/rest/"}, 0, []string{"rest"}},
		{"no route", []string{"http://chat.test/api/x"}, 1, []string{"no route takes it", "404", "POST"}},
		{"a listener that only redirects", []string{"http://chat.test:8080/rest/"}, 0, []string{"127.0.0.1:8080", "redirects", "rest"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			output, code := sluice(t, append([]string{"explain", "--config", f}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(output, want) {
					t.Errorf("%q is not in it", want)
				}
			}
			if t.Failed() {
				t.Logf("sluice explain said:\n%s", output)
			}
		})
	}
}

// explain refuses a request that no client can send.
func TestExplainRefuses(t *testing.T) {
	t.Parallel()
	f := file(t, "routes: [{ backend: 127.0.0.1:9000 }]\n")
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no URL", nil, "URL"},
		{"an empty URL", []string{""}, `""`},
		{"a path alone", []string{"/ws/a"}, "https://host/path"},
		{"a URL that is none", []string{"http://[a.test/"}, `"http://[a.test/" is not a URL: missing ']' in host: write it as https://host/path`},
		{"no host", []string{"https:///ws"}, "https://host/path"},
		{"another scheme", []string{"ftp://a.test/"}, "ftp://a.test/"},
		{"a method with a space", []string{"https://a.test/", "--method", "B AD"}, `"B AD"`},
		{"no method", []string{"https://a.test/", "--method", ""}, "method"},
		{"a handshake by POST", []string{"wss://a.test/", "--method", "POST"}, "GET"},
		{"a header without a colon", []string{"https://a.test/", "-H", "X-Key"}, "colon"},
		{"a header with a space in its name", []string{"https://a.test/", "-H", "X Key: k"}, `"X Key"`},
		{"a header without a name", []string{"https://a.test/", "-H", ": k"}, "name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			output, code := sluice(t, append([]string{"explain", "--config", f}, tt.args...)...)
			if code != 1 || !strings.Contains(output, tt.want) {
				t.Errorf("explain %q: exit code %d, want 1; %q should be in:\n%s", tt.args, code, tt.want, output)
			}
		})
	}
}

func TestSchemaIsJSON(t *testing.T) {
	t.Parallel()
	output, code := sluice(t, "schema")
	var schema struct {
		Schema     string                     `json:"$schema"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal([]byte(output), &schema); err != nil || code != 0 || schema.Schema == "" {
		t.Errorf("exit code %d, %v, $schema %q", code, err, schema.Schema)
	}
	for _, key := range []string{"listeners", "tls", "backends", "routes", "log"} {
		if schema.Properties[key] == nil {
			t.Errorf("no property %q", key)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"version", "--version"} {
		if output, code := sluice(t, arg); code != 0 || !strings.HasPrefix(output, "sluice ") {
			t.Errorf("%s: exit code %d, %q; want sluice and its version", arg, code, output)
		}
	}
}

func TestUnknownCommandsFail(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"rnu"}, {"run", "--confg", "x"}, {"run"}, {"explain"}, {"check", "extra"}} {
		if output, code := sluice(t, args...); code == 0 || output == "" {
			t.Errorf("sluice %q: exit code 0 or no word of why: %q", args, output)
		}
	}
}

// health asks the gateway of a file, for container checks.
func TestHealth(t *testing.T) {
	t.Parallel()
	for _, listener := range []string{`%q`, `{ address: %q, tls: true }`} {
		config := fmt.Sprintf("listeners: [%s]\ntls: { self_signed: [localhost] }\nlog: { format: json }\nstate_dir: %q\nroutes: [{ respond: { status: 503 } }]\n",
			fmt.Sprintf(listener, wstest.Reserve(t)), t.TempDir())
		f := file(t, config)
		if output, code := sluice(t, "health", "--config", f); code != 1 || output == "" {
			t.Errorf("health of a gateway that does not run: exit code %d, %q; want 1 and why", code, output)
		}
		g := launch(t, "run", "--config", f)
		g.started()
		if output, code := sluice(t, "health", "--config", f); code != 0 {
			t.Errorf("health of a gateway that runs: exit code %d, %q", code, output)
		}
	}
}

// A listener that refuses the probe has answered, and is there.
func TestHealthOfListenersThatRefuse(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body string }{
		{"PROXY headers of strangers", "trusted_proxies: [192.0.2.1]\nlisteners: [{ address: %q, proxy_protocol: true }]\n"},
		{"PROXY headers of this machine", "trusted_proxies: [127.0.0.1]\nlisteners: [{ address: %q, proxy_protocol: true }]\n"},
		{"PROXY headers before TLS", "trusted_proxies: [127.0.0.1]\ntls: { self_signed: [localhost] }\nlisteners: [{ address: %q, proxy_protocol: true, tls: true }]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := file(t, fmt.Sprintf(tt.body+"log: { format: json }\nstate_dir: %q\nroutes: [{ respond: 204 }]\n", wstest.Reserve(t), t.TempDir()))
			if output, code := sluice(t, "health", "--config", f); code != 1 || output == "" {
				t.Errorf("health of a gateway that does not run: exit code %d, %q; want 1 and why", code, output)
			}
			g := launch(t, "run", "--config", f)
			g.started()
			if output, code := sluice(t, "health", "--config", f); code != 0 {
				t.Errorf("health of a gateway that runs: exit code %d, %q", code, output)
			}
		})
	}
}

// With a mistake in its file, a gateway that still uses the old configuration is healthy.
func TestHealthSurvivesMistakesInTheFile(t *testing.T) {
	t.Parallel()
	config := fmt.Sprintf("listeners: [%q]\nlog: { format: json }\nroutes: [{ respond: 204 }]\n", wstest.Reserve(t))
	f := file(t, config)
	g := launch(t, "run", "--config", f)
	g.started()
	write(t, f, config+"nonsense: true\n")
	if output, code := sluice(t, "health", "--config", f); code != 0 {
		t.Errorf("health with a mistake in the file: exit code %d, %q; want 0", code, output)
	}
	write(t, f, "routes: [\n")
	if output, code := sluice(t, "health", "--config", f); code != 1 || !strings.Contains(output, f) {
		t.Errorf("health with a file that tells no listener: exit code %d, %q; want 1 and why", code, output)
	}
}
