package traefik

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/importertest"
)

func TestGolden(t *testing.T) {
	importertest.Golden(t, Read, "*.yml")
	importertest.Golden(t, Read, "*.toml")
}

// dynamic returns a configuration with routers, each as "name: rule -> service", and what else is below
// http. Services a and b are there.
func dynamic(routers, more string) string {
	var b strings.Builder
	b.WriteString("entryPoints:\n  web:\n    address: :80\nhttp:\n  routers:\n")
	for router := range strings.SplitSeq(routers, "\n") {
		name, rest, _ := strings.Cut(router, ": ")
		rule, service, _ := strings.Cut(rest, " -> ")
		service, middlewares, _ := strings.Cut(service, " | ")
		b.WriteString("    " + name + ":\n      rule: '" + rule + "'\n      service: " + service + "\n")
		if middlewares != "" {
			b.WriteString("      middlewares: [" + middlewares + "]\n")
		}
	}
	b.WriteString("  services:\n    a: {loadBalancer: {servers: [{url: http://a:1}]}}\n    b: {loadBalancer: {servers: [{url: http://b:1}]}}\n" + more)
	return b.String()
}

// What comes behind a rule that is not known, and what it decides about, is in the comments.
func TestWhatIsShutIsTold(t *testing.T) {
	importertest.Check(t, Read, "traefik.yml", []importertest.Want{
		{
			Name:   "two addresses, one of them not",
			Text:   dynamic("x: !ClientIP(`10.0.0.0/8`) -> a\ny: ClientIP(`10.1.0.0/8`) -> b\nz: PathPrefix(`/`) -> a", ""),
			Routes: map[string]string{"/*": "403"},
			Told:   []string{"without what is refused:;backend: a:1", "without what is refused:;backend: b:1", "- path: /*;backend: a:1"},
		},
		{
			Name:   "a path and not an address",
			Text:   dynamic("x: PathPrefix(`/x/`) && !ClientIP(`10.0.0.0/8`) -> b\nz: PathPrefix(`/`) -> a", ""),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403", "//*": "403"},
			Told:   []string{"without what is refused:;backend: b:1"},
		},
	})
}

func TestRulesKeepTheirOrder(t *testing.T) {
	importertest.Check(t, Read, "traefik.yml", []importertest.Want{
		{
			Name: "hosts and paths", Complete: true,
			Text:   dynamic("x: Host(`a.test`) -> a\ny: Host(`a.test`) && Path(`/y`) -> b", ""),
			Routes: map[string]string{"a.test /*": "a:1", "a.test /y": "b:1"},
		},
		{
			Name: "a prefix takes what goes on in its segment, which a route does not", Complete: true,
			Text:   dynamic("x: PathPrefix(`/`) -> a\ny: PathPrefix(`/y`) -> b", ""),
			Routes: map[string]string{"/*": "a:1", "/y": "b:1", "/y/*": "b:1"},
		},
		{
			Name: "the longer rule first, not the longer path", Complete: true,
			Text:   dynamic("x: PathPrefix(`/a/b/`) -> a\ny: Host(`a.test`) && PathPrefix(`/a/`) -> b", ""),
			Routes: map[string]string{"/a/b/*": "a:1", "a.test /a/*": "b:1"},
		},
		{
			Name: "or", Complete: true,
			Text:   dynamic("x: Host(`a.test`) || Host(`b.test`) && PathPrefix(`/b/`) -> a", ""),
			Routes: map[string]string{"a.test /*": "a:1", "b.test /b/*": "a:1"},
		},
		{
			Name: "not", Complete: true,
			Text:   dynamic("x: Host(`a.test`) && !PathPrefix(`/b/`) -> a\ny: Host(`a.test`) -> b", ""),
			Routes: map[string]string{"a.test /*": "a:1", "a.test /b/*": "b:1"},
		},
		{
			Name: "methods, and WebSockets", Complete: true,
			Text:   dynamic("x: Method(`GET`) && PathPrefix(`/`) -> a\ny: Header(`Upgrade`, `websocket`) && PathPrefix(`/`) -> b", ""),
			Routes: map[string]string{"GET  /*": "a:1", "websocket  /*": "b:1"},
		},
		{
			Name: "names below a domain", Complete: true,
			Text:   dynamic("x: HostRegexp(`^.+\\.a\\.test$`) -> a", ""),
			Routes: map[string]string{"*.a.test /*": "a:1"},
		},
		{
			Name: "a wildcard, and one of several names", Complete: true,
			Text:   dynamic("x: Host(`*.a.test`) -> a\ny: Host(`**.b.test`) -> b", ""),
			Routes: map[string]string{"*.a.test /*": "a:1", "*.b.test /*": "b:1"},
		},
		{
			Name: "a list of hosts, as version 2 has it", Complete: true,
			Text:   dynamic("x: Host(`a.test`, `b.test`) && (Path(`/x`) || Path(`/y`)) -> a", ""),
			Routes: map[string]string{"a.test /x": "a:1", "a.test /y": "a:1", "b.test /x": "a:1", "b.test /y": "a:1"},
		},
	})
}

func TestWhatKeepsClientsOutIsNeverLost(t *testing.T) {
	importertest.Check(t, Read, "traefik.yml", []importertest.Want{
		{
			Name:   "passwords",
			Text:   dynamic("x: PathPrefix(`/`) -> a\ny: PathPrefix(`/y/`) -> b | auth", "  middlewares: {auth: {basicAuth: {users: ['u:x']}}}"),
			Routes: map[string]string{"/*": "a:1", "/y/*": "403", "//*": "403"},
		},
		{
			Name:   "a prefix with what goes on in its segment",
			Text:   dynamic("x: PathPrefix(`/`) -> a\ny: PathPrefix(`/y`) -> b | auth", "  middlewares: {auth: {ipAllowList: {sourceRange: [10.0.0.0/8]}}}"),
			Routes: map[string]string{"/*": "403", "/y": "403", "/y/*": "403"},
		},
		{
			Name:   "in a chain, and one that is missing",
			Text:   dynamic("x: Path(`/x`) -> a | all\ny: Path(`/y`) -> a | none@file", "  middlewares:\n    all: {chain: {middlewares: [c, auth]}}\n    c: {compress: {}}\n    auth: {forwardAuth: {address: 'http://x'}}"),
			Routes: map[string]string{"/x": "403", "/y": "403"},
		},
		{
			Name:   "a plugin, and a rate",
			Text:   dynamic("x: Path(`/x`) -> a | p\ny: Path(`/y`) -> a | r", "  middlewares:\n    p: {plugin: {x: {}}}\n    r: {rateLimit: {average: 5}}"),
			Routes: map[string]string{"/x": "403", "/y": "403"},
		},
		{
			Name:   "an address, for some paths",
			Text:   dynamic("x: PathPrefix(`/`) -> a\ny: PathPrefix(`/y/`) && ClientIP(`10.0.0.0/8`) -> b", ""),
			Routes: map[string]string{"/*": "a:1", "/y/*": "403", "//*": "403"},
		},
		{
			Name:   "an expression for hosts with one end",
			Text:   dynamic("x: Host(`b.test`) -> a\ny: HostRegexp(`^[a-z]+\\.a\\.test$`) && PathPrefix(`/`) -> b", ""),
			Routes: map[string]string{"b.test /*": "a:1", "*.a.test /*": "403"},
		},
		{
			Name:   "the dashboard",
			Text:   dynamic("x: Path(`/x`) -> api@internal", ""),
			Routes: map[string]string{"/x": "403"},
		},
		{
			Name:   "a router with a listener of its own",
			Text:   dynamic("x: Path(`/x`) -> a\ny: Path(`/y`) -> a", "") + "entryPoints2: {}\n",
			Routes: map[string]string{"/x": "a:1", "/y": "a:1"}, Complete: true,
		},
		{
			Name:   "a client certificate for one of two hosts",
			Text:   "entryPoints: {s: {address: ':443'}}\ntls:\n  certificates: [{certFile: /c, keyFile: /k}]\n  options: {strict: {clientAuth: {caFiles: [/ca], clientAuthType: RequireAndVerifyClientCert}}}\nhttp:\n  routers:\n    x: {rule: 'Host(`a.test`)', service: a, tls: {}}\n    y: {rule: 'Host(`b.test`)', service: a, tls: {options: strict}}\n  services: {a: {loadBalancer: {servers: [{url: 'http://a:1'}]}}}",
			Routes: map[string]string{"a.test /*": "a:1", "b.test /*": "403"},
		},
		{
			Name:   "a router with an entry point of its own",
			Text:   "entryPoints: {w: {address: ':80'}, i: {address: '10.0.0.1:81'}}\nhttp:\n  routers:\n    x: {rule: 'Host(`a.test`)', service: a, entryPoints: [w]}\n    z: {rule: 'Host(`c.test`)', service: a, entryPoints: [w]}\n    y: {rule: 'Host(`b.test`)', service: a, entryPoints: [i]}\n  services: {a: {loadBalancer: {servers: [{url: 'http://a:1'}]}}}",
			Routes: map[string]string{"a.test /*": "a:1", "c.test /*": "a:1"},
		},
	})
}

// The router guarded is for a part of what all is for, and has the higher priority.
func TestARouterThatCannotBeCarriedLeavesNothingToTheNextOne(t *testing.T) {
	file := func(entryPoints, all, guarded, more string) string {
		return "entryPoints: {" + entryPoints + "}\nhttp:\n  routers:\n    all: {rule: 'PathPrefix(`/`)', service: a" + all + "}\n    more: {rule: 'Path(`/x`)', service: a" + all +
			"}\n    guarded: {rule: 'PathPrefix(`/x/`)', service: a" + guarded + "}\n  services: {a: {loadBalancer: {servers: [{url: 'http://a:1'}]}}}\n" + more
	}
	const (
		strict = "tls:\n  certificates: [{certFile: /c, keyFile: /k}]\n  options: {strict: {clientAuth: {caFiles: [/ca]}}}\n"
		two    = "w: {address: ':80'}, i: {address: ':81'}, t: {address: ':82'}"
	)
	kept := map[string]string{"/*": "a:1", "/x/*": "403", "//*": "403"}
	importertest.Check(t, Read, "traefik.yml", []importertest.Want{
		{Name: "it listens elsewhere too", Text: file(two, ", entryPoints: [w, i]", ", entryPoints: [i, t]", ""), Routes: kept},
		{Name: "it listens elsewhere alone", Text: file(two, ", entryPoints: [w]", ", entryPoints: [i]", ""), Routes: map[string]string{"/*": "a:1"}},
		{Name: "it listens for Traefik itself", Text: file("w: {address: ':80'}", ", entryPoints: [w]", ", entryPoints: [traefik]", ""), Routes: map[string]string{"/*": "a:1"}},
		{Name: "it has a parent", Text: file("w: {address: ':80'}", "", ", parentRefs: [all]", ""), Routes: kept},
		{
			Name: "its entry point asks for certificates",
			Text: file("w: {address: ':443', http: {tls: {options: strict@file}}}", "", ", tls: {}", strict), Routes: map[string]string{"/*": "403", "/x/*": "a:1"},
		},
		{
			Name: "its options are missing",
			Text: file("w: {address: ':443', http: {tls: {}}}", "", ", tls: {options: none}", strict), Routes: kept,
		},
		{
			Name: "all entry points ask for certificates", Complete: true,
			Text: file("w: {address: ':443', http: {tls: {options: strict}}}", "", "", strict), Routes: map[string]string{"/*": "a:1"},
		},
		{Name: "a middleware of another provider with a name that files have too", Text: file("w: {address: ':80'}", "", ", middlewares: [m@docker]", "  middlewares: {m: {compress: {}}}"), Routes: kept},
		{
			Name: "everything is sent to https before",
			Text: file("w: {address: ':80', http: {redirections: {entryPoint: {to: s}}}}, s: {address: ':443', http: {tls: {}}}", ", entryPoints: [s]", ", entryPoints: [w]", strict), Routes: map[string]string{"/*": "a:1"},
		},
	})
}

func TestARuleTakesNoMoreThanInTraefik(t *testing.T) {
	importertest.Check(t, Read, "traefik.yml", []importertest.Want{
		{
			Name:   "a prefix that is left out takes what goes on in its segment",
			Text:   dynamic("x: !PathPrefix(`/y`) -> a", ""),
			Routes: map[string]string{"/*": "403", "/y": "404", "/y/*": "404"},
		},
		{
			Name: "a prefix that is left out, with a slash", Complete: true,
			Text:   dynamic("x: !PathPrefix(`/y/`) -> a", ""),
			Routes: map[string]string{"/*": "a:1", "/y/*": "404", "//*": "403"},
		},
		{
			Name:   "several parameters of version 2, a variable of it, a star that is one",
			Text:   dynamic("x: Path(`/x`) && Query(`a=1`, `b=2`) -> a\ny: Path(`/y`) && Query(`a={n:[0-9]+}`) -> a\nz: Path(`/z`) && Header(`X-A`, `*`) -> a", ""),
			Routes: map[string]string{"/x": "403", "/y": "403", "/z": "403"},
		},
		{
			Name: "any host", Complete: true,
			Text:   dynamic("x: HostRegexp(`{host:.+}`) && Path(`/x`) -> a\ny: HostRegexp(`^.*$`) && Path(`/y`) -> b", ""),
			Routes: map[string]string{"/x": "a:1", "/y": "b:1"},
		},
		{
			Name:   "a dot of an expression that stands for any character",
			Text:   dynamic("x: HostRegexp(`^[a-z]{3}.a.test$`) -> a\ny: Host(`b.test`) -> b", ""),
			Routes: map[string]string{"/*": "403"},
		},
	})
}

func TestTheSmallestBodyHolds(t *testing.T) {
	text := dynamic("x: Path(`/x`) -> a | m, n", "  middlewares:\n    m: {buffering: {maxRequestBodyBytes: 100}}\n    n: {buffering: {maxRequestBodyBytes: 200}}")
	if result := string(importertest.Import(t, Read, "traefik.yml", text).Text); !strings.Contains(result, "max_body_size: 100B") {
		t.Errorf("of %s becomes\n%s", text, result)
	}
}

func TestMiddlewaresChangeThePath(t *testing.T) {
	importertest.Check(t, Read, "traefik.yml", []importertest.Want{
		{
			Name: "a prefix that is removed", Complete: true,
			Text:   dynamic("x: PathPrefix(`/x`) -> a | s", "  middlewares: {s: {stripPrefix: {prefixes: [/x]}}}"),
			Routes: map[string]string{"/x": "a:1 without /x", "/x/*": "a:1 without /x"},
		},
		{
			Name: "a prefix more", Complete: true,
			Text:   dynamic("x: PathPrefix(`/`) -> a | s", "  middlewares: {s: {addPrefix: {prefix: /y}}}"),
			Routes: map[string]string{"/*": "a:1 as /y/*"},
		},
		{
			Name: "one in place of another", Complete: true,
			Text:   dynamic("x: PathPrefix(`/x/`) -> a | s", "  middlewares: {s: {replacePathRegex: {regex: ^/x/(.*), replacement: /y/$1}}}"),
			Routes: map[string]string{"/x/*": "a:1 as /y/*"},
		},
		{
			Name: "one path", Complete: true,
			Text:   dynamic("x: Path(`/x`) -> a | s", "  middlewares: {s: {replacePath: {path: /y}}}"),
			Routes: map[string]string{"/x": "a:1 as /y"},
		},
		{
			Name:   "an expression",
			Text:   dynamic("x: Path(`/x`) -> a | s", "  middlewares: {s: {stripPrefixRegex: {regex: ['/[a-z]+']}}}"),
			Routes: map[string]string{"/x": "403"},
		},
		{
			Name: "a host to another", Complete: true,
			Text:   dynamic("x: Host(`www.a.test`) || Host(`a.test`) -> a | s", "  middlewares: {s: {redirectRegex: {regex: '^http://www\\.a\\.test/(.*)', replacement: 'http://a.test/${1}', permanent: true}}}"),
			Routes: map[string]string{"www.a.test /*": "-> http://a.test/*", "a.test /*": "a:1"},
		},
	})
}

func TestServices(t *testing.T) {
	importertest.Check(t, Read, "traefik.yml", []importertest.Want{
		{
			Name: "shares", Complete: true,
			Text:   dynamic("x: PathPrefix(`/`) -> both", "    both: {weighted: {services: [{name: a, weight: 9}, {name: b, weight: 1}]}}"),
			Routes: map[string]string{"/*": "a:1 b:1"},
		},
		{
			Name:   "shares of which one has a host of its own",
			Text:   dynamic("x: PathPrefix(`/`) -> both", "    c: {loadBalancer: {passHostHeader: false, servers: [{url: 'http://c:1'}]}}\n    both: {weighted: {services: [{name: a}, {name: c}]}}"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "a mirror", Complete: true,
			Text:   dynamic("x: PathPrefix(`/`) -> m", "    m: {mirroring: {service: a, mirrors: [{name: b, percent: 100}]}}"),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name:   "a service that is missing",
			Text:   dynamic("x: PathPrefix(`/`) -> c", ""),
			Routes: map[string]string{"/*": "403"},
		},
	})
}

func TestMistakesHaveTheirPlace(t *testing.T) {
	for _, tt := range []struct{ name, file, text, want string }{
		{"YAML", "traefik.yml", "a: b\nc: [", "traefik.yml:2: did not find expected node content"},
		{"a key twice", "traefik.yml", "a: b\nA: c", "traefik.yml:2: A is there twice"},
		{"TOML", "traefik.toml", "a = 1\nb = \n", "traefik.toml:2: "},
		{"a TOML key twice", "traefik.toml", "[a]\nb = 1\nb = 2", "traefik.toml:3: b is there twice"},
		{"nothing", "traefik.yml", "log: {}", "traefik.yml: there is no router for HTTP in it: name the files with routers too"},
		{"a template", "traefik.yml", "a: 1\nb: {{ env \"X\" }}", "traefik.yml:2: {{: a template of Go: write its values in its place first"},
		{"no rule", "traefik.yml", "http:\n  routers:\n    a: {service: b}", "traefik.yml:3: router a has no rule"},
		{"a priority", "traefik.yml", "http: {routers: {a: {rule: Path(`/a`), priority: high}}}", "traefik.yml:1: router a: priority \"high\" is no number"},
		{"a rule", "traefik.yml", "http:\n  routers:\n    a:\n      rule: Host(`a`", "traefik.yml:4: rule Host(`a`: Host: a ) or a comma is expected"},
		{"an operator", "traefik.yml", "http: {routers: {a: {rule: 'Path(`/a`) & Path(`/b`)'}}}", "traefik.yml:1: rule Path(`/a`) & Path(`/b`): it goes on with \"& Path(`/b`)\""},
		{"a path that is not UTF-8", "traefik.yml", "http: {routers: {a: {rule: 'Path(\"/\\xff/b\")'}}}", "traefik.yml:1: rule Path(\"/\\xff/b\"): Path: a value in quotes that cannot be read"},
		{"an entry point", "traefik.yml", "http: {routers: {a: {rule: 'Path(`/a`)', entryPoints: [x]}}}", "traefik.yml:1: router a: there is no entry point x: name the file that has it too"},
		{"an address", "traefik.yml", "entryPoints: {x: {address: y}}\nhttp: {routers: {a: {rule: 'Path(`/a`)'}}}", "traefik.yml:1: entry point x: \"y\" is not an address to listen on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(importer.Source{Files: []importer.File{{Name: tt.file, Text: tt.text}}})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("Read(%q): %v, want %s", tt.text, err, tt.want)
			}
		})
	}
}

func TestFilesOfTheProviderAreRead(t *testing.T) {
	source := importer.Source{
		Files: []importer.File{{Name: "traefik.yml", Text: "providers: {file: {directory: conf}}"}},
		Include: func(pattern string) ([]importer.File, error) {
			switch pattern {
			case filepath.Join("conf", "*.toml"):
				return []importer.File{{Name: "conf/a.toml", Text: "[http.routers.a]\nrule = \"Path(`/a`)\"\nservice = \"noop@internal\"\n[[tls.certificates]]"}}, nil
			case filepath.Join("conf", "*", "*.yml"): // of the same name as the first file
				return []importer.File{{Name: "conf/b/traefik.yml", Text: "http: {routers: {b: {rule: Path(`/b`), service: noop@internal}}}\ntls: {certificates: [{}]}"}}, nil
			}
			return nil, nil
		},
	}
	plan, err := Read(source)
	if err != nil || len(plan.Rules) != 2 {
		t.Errorf("a directory with a file, and one below it: %v, %v", plan, err)
	}
	gone := errors.New("no such file")
	source.Include = func(string) ([]importer.File, error) { return nil, gone }
	if _, err := Read(source); !errors.Is(err, gone) {
		t.Errorf("a directory that is missing: %v", err)
	}
}

// FuzzRead: whatever the text is, it becomes what sluice takes, or an error.
func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yml", "testdata/*.toml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(strings.HasSuffix(name, ".toml"), string(text))
		}
	}
	f.Add(false, dynamic("x: !Host(`a.test`) || (Header(`A`, `b`) && Query(`c=d`)) -> a | s\ny: HostRegexp(`{s:[a-z]+}.a.test`) -> b", "  middlewares: {s: {stripPrefix: {prefixes: [/x, /y]}}}"))
	f.Fuzz(func(t *testing.T, toml bool, text string) {
		file := "traefik.yml"
		if toml {
			file = "traefik.toml"
		}
		importertest.Law(t, Read, file, text)
	})
}
