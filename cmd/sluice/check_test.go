package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// check runs 'sluice check sluice.yaml' in a directory of these files, and returns what it says.
func check(t *testing.T, files map[string]string) (warnings, mistakes string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	var out, errors strings.Builder
	c := checkCommand()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetOut(&out)
	c.SetErr(&errors)
	c.SetArgs([]string{"sluice.yaml"})
	if err := c.Execute(); err != nil {
		mistakes = err.Error()
	}
	return strings.TrimSpace(errors.String()), mistakes
}

// Mistakes that only the whole gateway finds; those of the file itself are in the table of package
// config.
func TestCheckFindsWhatCannotRun(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  string // lines
	}{
		{"no file", nil, `
sluice.yaml:1:1: cannot read the configuration: no such file or directory`},
		{"a route twice", map[string]string{"sluice.yaml": `routes:
  - { host: a.test, methods: [GET, PUT], headers: { x-a: b }, respond: 200 }
  - { name: n, path: /*, host: A.test., methods: [PUT, HEAD, GET], headers: { X-A: b }, respond: 404 }
`}, `
sluice.yaml:3:5: routes[1]: matches the same requests as another route: a.test/* methods GET,PUT header X-A="b" (line 2)`},
		{"a path of a list twice", map[string]string{"sluice.yaml": `routes:
  - { host: [a.test, b.test], path: /a, respond: 200 }
  - host: b.test
    path: [/b, /a]
    respond: 404
`}, `
sluice.yaml:4:16: routes[1].path[1]: matches the same requests as another route: b.test/a (line 2)`},
		{"a path twice in one list", map[string]string{"sluice.yaml": `routes:
  - { path: [/a, /b/../%61], respond: 200 }
`}, `
sluice.yaml:2:18: routes[0].path[1]: stands for the same requests as another host or path of this route: /a (line 2)`},
		{"a route twice over two files", map[string]string{"sluice.yaml": `include: conf.d/*.yaml
routes: [{ respond: 200 }]
`, "conf.d/a.yaml": "routes:\n  - { path: /*, respond: 404 }\n", "conf.d/b.yaml": "routes: [{ respond: 404 }]\n"}, `
conf.d/a.yaml:2:5: routes[1]: matches the same requests as another route: /* (line 2 of sluice.yaml)
conf.d/b.yaml:1:10: routes[2]: matches the same requests as another route: /* (line 2 of sluice.yaml)`},
		{"paths of which neither is narrower", map[string]string{"sluice.yaml": `routes:
  - { path: "/{a}/x", respond: 200 }
  - { path: "/y/{b}", respond: 200 }
`}, `
sluice.yaml:3:5: routes[1]: /y/{b} and /{a}/x both match some paths, and neither is narrower: change one of them (line 2)`},
		{"a route that never takes a request", map[string]string{"sluice.yaml": `routes:
  - { path: /a, respond: 200 }
  - { path: /a, protocol: http, respond: 200 }
  - { path: /a, protocol: websocket, backend: "127.0.0.1:9" }
`}, `
sluice.yaml:2:5: routes[0]: never takes a request: they all go to /a protocol http or /a protocol websocket, which come first in precedence (line 3)`},
		{"a path that ends in a star", map[string]string{"sluice.yaml": `routes:
  - { path: /ws*, respond: 200 }
  - { path: "/(a|b)/.*", respond: 200 }
`}, `
sluice.yaml:2:13: routes[0].path: path holds a '*' that does not begin its last segment: /ws/* takes what is below /ws/, and /*.php what ends in .php; %2A is an escaped '*'
sluice.yaml:3:13: routes[1].path: path holds a '*' that does not begin its last segment: /ws/* takes what is below /ws/, and /*.php what ends in .php; %2A is an escaped '*'`},
		{"segments with other names", map[string]string{"sluice.yaml": `routes:
  - { path: "/{userId}", respond: 200 }
  - { path: "/{id}.json", respond: 200 }
`}, `
sluice.yaml:2:13: routes[0].path: path holds {userId}: the name of a segment has small letters, '_' and digits
sluice.yaml:3:13: routes[1].path: path holds "{id}.json": {name} stands for a whole segment; %7B and %7D are escaped braces`},
		{"mistakes of a route with lists", map[string]string{"sluice.yaml": `routes:
  - host: [a, b]
    path: /x/*b*
    respond: 200
  - path: [/p, /q]
    protocol: websocket
    methods: [POST]
    backend: "127.0.0.1:9"
`}, `
sluice.yaml:3:11: routes[0].path: path holds a '*' that does not begin its last segment: /ws/* takes what is below /ws/, and /*.php what ends in .php; %2A is an escaped '*'
sluice.yaml:5:5: routes[1]: methods POST leave out GET, the method of every WebSocket handshake`},
		{"WebSockets that are POST", map[string]string{"sluice.yaml": `routes:
  - { protocol: websocket, methods: [POST], backend: "127.0.0.1:9" }
`}, `
sluice.yaml:2:5: routes[0]: methods POST leave out GET, the method of every WebSocket handshake`},
		{"files that are not there", map[string]string{"sluice.yaml": `tls:
  certificates:
    - { cert: a.pem, key: a.key }
  client_auth: { ca: clients.pem }
backends:
  app: { endpoints: "https://127.0.0.1:9", tls: { ca: ca.pem } }
routes:
  - { path: /a, backend: app }
  - { path: /b/*, files: www }
  - { path: /c, respond: 200, error_pages: { 404: 404.html } }
`}, `
sluice.yaml:3:15: tls.certificates[0].cert: certificate a.pem: no such file or directory
sluice.yaml:3:27: tls.certificates[0].key: key a.key: no such file or directory
sluice.yaml:4:22: tls.client_auth.ca: client authorities clients.pem: no such file or directory
sluice.yaml:6:55: backends.app.tls.ca: ca.pem: no such file or directory
sluice.yaml:9:26: routes[1].files: files www: no such file or directory
sluice.yaml:10:31: routes[2].error_pages: error page 404: 404.html: no such file or directory`},
		{"certificates that are not ordered", map[string]string{"sluice.yaml": `tls: { acme: true }
routes:
  - { host: "*.example.com", respond: 200 }
  - { host: [a.example.com, localhost], path: /a, respond: 200 }
`}, `
sluice.yaml:3:13: routes[0].host: *.example.com: a wildcard certificate cannot be ordered, as that takes a challenge over DNS: list one that covers it in 'tls.certificates', or what it stands for in 'tls.acme.hosts'
sluice.yaml:4:29: routes[1].host[1]: localhost: no public CA has certificates for a name without a dot: list one that covers it in 'tls.certificates', or what it stands for in 'tls.acme.hosts'`},
		{"mistakes of both kinds", map[string]string{"sluice.yaml": `routes:
  - { path: /a, respond: 99 }
  - { path: /b*, respond: 200 }
`}, `
sluice.yaml:2:26: routes[0].respond.status: "99" is not within 200 to 599
sluice.yaml:3:13: routes[1].path: path holds a '*' that does not begin its last segment: /ws/* takes what is below /ws/, and /*.php what ends in .php; %2A is an escaped '*'`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, got := check(t, tt.files); got != strings.TrimPrefix(tt.want, "\n") {
				t.Errorf("check says\n%s\nwant%s", got, tt.want)
			}
		})
	}
}

func TestCheckWarns(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"paths of other proxies", "routes:\n  - { path: /, respond: 200 }\n  - { path: [/a, /api/], respond: 200 }\n", `
warning: routes[0] (line 2): path / matches only the start page; write /* for everything below
warning: routes[1].path[1] (line 3): path /api/ matches only itself; write /api/* for everything below`},
		{"nothing to include", "include: conf.d/*.yaml\nroutes: [{ respond: 200 }]\n", `
warning: include (line 1): no file has such a name`},
		{"nothing to say", "routes: [{ path: /, respond: 200 }, { respond: 404 }]\n", "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, mistakes := check(t, map[string]string{"sluice.yaml": tt.text}); got != strings.TrimPrefix(tt.want, "\n") || mistakes != "" {
				t.Errorf("check says\n%s\n%s\nwant%s", got, mistakes, tt.want)
			}
		})
	}
}
