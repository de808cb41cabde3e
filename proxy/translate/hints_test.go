package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/config"
	"sluice/route"
	"sluice/tlsconf"
)

// parse returns the configuration in a text.
func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("f", []byte(text), config.Options{Getenv: func(string) (string, bool) { return "/h", true }})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestPathHints(t *testing.T) {
	const root = "path / matches only the start page; write /* for everything below"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"prefixes", "routes: [{ path: /a/*, respond: 200 }, { respond: 200 }]", nil},
		{"exact paths", "routes: [{ path: /a, respond: 200 }, { path: '/{id}', respond: 200 }]", nil},
		{"the root", "routes: [{ path: /, respond: 200 }]", []string{"routes[0] (line 1): " + root}},
		{"a directory", "routes:\n- { path: /a/, respond: 200 }", []string{"routes[0] (line 2): path /a/ matches only itself; write /a/* for everything below"}},
		{"the root beside all", "routes: [{ path: /, respond: 200 }, { path: /*, respond: 404 }]", nil},
		{"a directory beside all", "routes: [{ path: /a/, respond: 200 }, { respond: 404 }]", nil},
		{"the root of a host, beside all of another", "routes: [{ host: a, path: /, respond: 200 }, { host: b, respond: 200 }]", []string{"routes[0] (line 1): " + root}},
		{"the root of a host, beside all of all", "routes: [{ host: a, path: /, respond: 200 }, { respond: 200 }]", nil},
		{"the root of a wildcard", "routes: [{ host: '*.a', path: /, respond: 200 }, { host: a, respond: 200 }]", []string{"routes[0] (line 1): " + root}},
		{"one of several hosts", "routes: [{ host: [a, b], path: /, respond: 200 }, { host: a, respond: 200 }]", []string{"routes[0] (line 1): " + root}},
		{"one of several paths", "routes:\n- path:\n  - /a\n  - /b/\n  respond: 200", []string{"routes[0].path[1] (line 4): path /b/ matches only itself; write /b/* for everything below"}},
		{"what only other methods reach", "routes: [{ path: /, respond: 200 }, { methods: [POST], respond: 200 }]", nil},
		{"WebSockets", "routes: [{ path: /, protocol: websocket, backend: 'a:1' }, { protocol: http, respond: 200 }]", []string{"routes[0] (line 1): " + root}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parse(t, tt.text)
			entries := make([]route.Entry[int], len(cfg.Routes))
			for i := range cfg.Routes {
				entries[i].Pattern = Pattern(&cfg.Routes[i])
			}
			table, conflicts := route.Compile(entries)
			if len(conflicts) > 0 {
				t.Fatal(conflicts)
			}
			if got := PathHints(cfg, table); !slices.Equal(got, tt.want) {
				t.Errorf("PathHints of %q = %q; want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestOrderMistakes(t *testing.T) {
	const acme = "tls: { acme: true }\n"
	tests := []struct {
		name, text string
		mistakes   string // each on a line
		notes      []string
	}{
		{"hosts", acme + "routes: [{ host: [a.test, b.test], respond: 200 }]", "", nil},
		{"no host", acme + "routes: [{ respond: 200 }]", "routes[0]: there is no host to order a certificate for, and nothing else has a certificate: give the route a host, or list names in 'tls.acme.hosts'", nil},
		{"no host beside one", acme + "routes: [{ host: a.test, respond: 200 }, { respond: 404 }]", "", []string{"routes[1] (line 2): there is no host to order a certificate for; over TLS it is reached by the names of other certificates only"}},
		{"no host, and names in a list", "tls: { acme: { hosts: [a.test] } }\nroutes: [{ respond: 404 }]", "", []string{"routes[0] (line 2): there is no host to order a certificate for; over TLS it is reached by the names of other certificates only"}},
		{"one of several hosts", acme + "routes: [{ host: [a.test, '*.b.test', 10.0.0.1, localhost], respond: 200 }]", `
routes[0].host[1]: *.b.test: a wildcard certificate cannot be ordered, as that takes a challenge over DNS: list one that covers it in 'tls.certificates', or what it stands for in 'tls.acme.hosts'
routes[0].host[2]: 10.0.0.1: certificates for IP addresses are not ordered: list one that covers it in 'tls.certificates', or what it stands for in 'tls.acme.hosts'
routes[0].host[3]: localhost: no public CA has certificates for a name without a dot: list one that covers it in 'tls.certificates', or what it stands for in 'tls.acme.hosts'`, nil},
		{"what a wildcard stands for is in a list", "tls: { acme: { hosts: [a.b.test] } }\nroutes: [{ host: '*.b.test', respond: 200 }]", "", nil},
		{"another certificate is for it", "tls: { acme: true, self_signed: [localhost, 10.0.0.1, '*.b.test'] }\nroutes: [{ host: [a.test, localhost, 10.0.0.1, '*.b.test'], respond: 200 }]", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parse(t, tt.text)
			store, err := tlsconf.New(TLS(cfg, t.TempDir()), nil)
			if err != nil {
				t.Fatal(err)
			}
			mistakes, notes := OrderMistakes(cfg, store)
			var lines []string
			for _, m := range mistakes {
				lines = append(lines, fmt.Sprintf("%s: %v", m.Path, m.Err))
			}
			if got := strings.Join(lines, "\n"); got != strings.TrimPrefix(tt.mistakes, "\n") || !slices.Equal(notes, tt.notes) {
				t.Errorf("OrderMistakes of %q =\n%s\n%q\nwant\n%s\n%q", tt.text, got, notes, tt.mistakes, tt.notes)
			}
		})
	}
}
