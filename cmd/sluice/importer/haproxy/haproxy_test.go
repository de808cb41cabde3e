package haproxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/importertest"
)

func TestGolden(t *testing.T) { importertest.Golden(t, Read, "*.cfg") }

// web is a configuration with lines of a frontend, behind which a and b are backends, and more sections.
func web(lines string, more ...string) string {
	return "defaults\n mode http\nfrontend web\n bind 127.0.0.1:8080\n " + strings.ReplaceAll(lines, "; ", "\n ") +
		"\nbackend a\n server s a:1\nbackend b\n server s b:1\n" + strings.ReplaceAll(strings.Join(more, "\n"), "; ", "\n ")
}

func TestBackendsAreChosenInOrder(t *testing.T) {
	importertest.Check(t, Read, "haproxy.cfg", []importertest.Want{
		{
			Name: "one for all", Complete: true,
			Text:   web("default_backend a"),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name: "the first that matches, wherever default_backend stands", Complete: true,
			Text:   web("default_backend a; use_backend b if { path_beg /x/ }; use_backend a if { path_beg /x/y/ }"),
			Routes: map[string]string{"/*": "a:1", "/x/*": "b:1"},
		},
		{
			Name: "a beginning inside a segment has the path itself and what is below", Complete: true,
			Text:   web("use_backend b if { path_beg /x }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "/x": "b:1", "/x/*": "b:1"},
		},
		{
			Name: "hosts, by name and by their end", Complete: true,
			Text:   web("acl one hdr(host) -i a.test www.a.test; use_backend a if one; use_backend b if { hdr_end(host) -i .b.test }"),
			Routes: map[string]string{"/*": "503", "a.test /*": "a:1", "www.a.test /*": "a:1", "*.b.test /*": "b:1"},
		},
		{
			Name: "an end with and without a dot", Complete: true,
			Text:   web("use_backend a if { hdr_end(host) -i a.test }; default_backend b"),
			Routes: map[string]string{"/*": "b:1", "a.test /*": "a:1", "*.a.test /*": "a:1"},
		},
		{
			Name: "host and path together, or", Complete: true,
			Text:   web("acl one hdr(host) a.test; acl ws path_beg /ws/; use_backend b if one ws or { path /x }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "/x": "b:1", "a.test /ws/*": "b:1"},
		},
		{
			Name: "not", Complete: true,
			Text:   web("use_backend b if !{ path_beg /x/ } { hdr(host) a.test }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "a.test /*": "b:1", "a.test /x/*": "a:1"},
		},
		{
			Name: "unless", Complete: true,
			Text:   web("use_backend b unless { path_beg /x/ }; default_backend a"),
			Routes: map[string]string{"/*": "b:1", "/x/*": "a:1"},
		},
		{
			Name: "the end of a path, before and below others", Complete: true,
			Text:   web("use_backend b if { path_end .css .js }; use_backend a if { path_beg /x/ }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "/*.css": "b:1", "/*.js": "b:1", "/.css": "b:1", "/.js": "b:1"},
		},
		{
			Name: "an expression that is a list of paths", Complete: true,
			Text:   web(`use_backend b if { path_reg ^/(api|ws)/ }; use_backend b if { path_reg -i \.PHP$ }; default_backend a`),
			Routes: map[string]string{"/*": "a:1", "/api/*": "b:1", "/ws/*": "b:1", "/*.php": "b:1", "/*.PHP": "b:1", "/*.Php": "b:1", "/*.pHp": "b:1", "/*.phP": "b:1", "/*.PHp": "b:1", "/*.pHP": "b:1", "/*.PhP": "b:1", "/.php": "b:1", "/.PHP": "b:1", "/.Php": "b:1", "/.pHp": "b:1", "/.phP": "b:1", "/.PHp": "b:1", "/.pHP": "b:1", "/.PhP": "b:1"},
		},
		{
			Name: "an expression for hosts", Complete: true,
			Text:   web(`use_backend b if { hdr_reg(host) -i ^(www\.)?b\.test$ }; default_backend a`),
			Routes: map[string]string{"/*": "a:1", "b.test /*": "b:1", "www.b.test /*": "b:1"},
		},
		{
			Name: "WebSockets", Complete: true,
			Text:   web("use_backend b if { hdr(Upgrade) -i websocket } { hdr(Connection) -i upgrade }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "websocket  /*": "b:1"},
		},
		{
			Name: "methods", Complete: true,
			Text:   web("use_backend b if METH_POST; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "POST  /*": "b:1"},
		},
		{
			Name: "a proxy that is both", Complete: true,
			Text:   "listen x\n mode http\n bind 127.0.0.1:8080\n http-request deny if { path_beg /x/ }\n server s a:1",
			Routes: map[string]string{"/*": "a:1", "/x/*": "403"},
		},
		{
			Name:   "an address for HTTP/3",
			Text:   web("bind quic4@:443 ssl crt /c.pem alpn h3; default_backend a"),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name: "what holds by defaults", Complete: true,
			Text:   "defaults\n mode http\n default_backend a\nfrontend web\n bind 127.0.0.1:8080\nbackend a\n server s a:1",
			Routes: map[string]string{"/*": "a:1"},
		},
	})
}

func TestWhatKeepsClientsOutIsNeverLost(t *testing.T) {
	importertest.Check(t, Read, "haproxy.cfg", []importertest.Want{
		{
			Name:   "by address",
			Text:   web("acl office src 10.0.0.0/8; http-request deny if { path_beg /x/ } !office; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403"},
		},
		{
			Name:   "a backend by address",
			Text:   web("use_backend b if { src 10.0.0.0/8 }; default_backend a"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "deny is no more than 403", Complete: true,
			Text:   web("http-request deny if { path_beg /x/ }; http-request deny deny_status 404 if { path /y }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403", "/y": "404"},
		},
		{
			Name:   "a beginning inside a segment: what goes on in it too",
			Text:   web("http-request deny if { path_beg /x }; default_backend a"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "an end of a host inside a name",
			Text:   web("http-request deny if { hdr_end(host) x.test }; default_backend a"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "an allow before it", Complete: true,
			Text:   web("http-request allow if { path /x/y }; http-request deny if { path_beg /x/ }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403", "/x/y": "a:1"},
		},
		{
			Name: "methods", Complete: true,
			Text:   web("http-request deny if !{ method GET HEAD POST }; default_backend a"),
			Routes: map[string]string{"GET HEAD POST  /*": "a:1", "/*": "403"},
		},
		{
			Name:   "passwords, and what nobody knows",
			Text:   web("http-request auth if { path_beg /x/ }; http-request lua.guard if { path_beg /y/ }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403", "/y/*": "403"},
		},
		{
			Name:   "in the backend",
			Text:   web("use_backend c if { path_beg /c/ }; default_backend a", "backend c; http-request deny if { path_sub x }; server s c:1"),
			Routes: map[string]string{"/*": "a:1", "/c/*": "403"},
		},
		{
			Name:   "a rate",
			Text:   web("stick-table type ip size 1m store http_req_rate(10s); http-request track-sc0 src; http-request deny if { sc_http_req_rate(0) gt 9 }; default_backend a"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "a line that nobody knows",
			Text:   web("shield on; default_backend a"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "connections",
			Text:   web("tcp-request connection reject if { src 192.0.2.0/24 }; default_backend a"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "one connection for a server",
			Text:   web("default_backend c", "backend c; server s c:1 maxconn 1"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "a backend by a map, and one that is in mode tcp",
			Text:   web("use_backend %[path,map(x)] if { path_beg /x/ }; default_backend c", "backend c; mode tcp; server s c:1"),
			Routes: map[string]string{"/*": "403", "/x/*": "403"},
		},
		{
			Name:   "client certificates on one of two addresses",
			Text:   web("bind :443 ssl crt /c.pem verify required ca-file /ca.pem; default_backend a"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "an expression that could be anything",
			Text:   web(`http-request deny if { path_reg ^/x/[0-9]+/y }; http-request deny if { path_reg z }; default_backend a`),
			Routes: map[string]string{"/*": "403", "/x/*": "403"},
		},
		{
			Name:   "hosts that begin and end so",
			Text:   web(`http-request deny if { hdr_reg(host) -i ^api-.*\.b\.test$ }; default_backend a`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "a backend that refuses, for a header of which there may be several",
			Text:   web(`use_backend c if { hdr(X-Bad) yes }; default_backend a`, "backend c; http-request deny; server s c:1"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "a backend without a server, for the end of a host",
			Text:   web(`use_backend c if { hdr_end(host) x.test }; default_backend a`, "backend c"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "a header that was set before it is asked for",
			Text:   web(`http-request set-header X-Tier %[src,map(x)]; use_backend b if { hdr(X-Tier) gold }; default_backend a`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "headers that are removed by a part of their name",
			Text:   web(`http-request del-header X-In- -m beg; default_backend a`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "two frontends that ask in another order",
			Text:   web("http-request allow if { path /x }; http-request deny; default_backend a", "frontend other; bind 127.0.0.1:8081; http-request deny; http-request allow if { path /x }; default_backend a"),
			Routes: map[string]string{"/*": "403", "/x": "a:1"},
		},
		{
			Name:   "a frontend with an address of its own within that of another",
			Text:   web("bind :80; default_backend a", "frontend other; bind 10.0.0.1:80; http-request deny"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "one in mode tcp",
			Text:   web("bind :80; default_backend a", "listen other; mode tcp; bind 10.0.0.1:80; server s c:1"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "slashes that are merged first", Complete: true,
			Text:   web("http-request normalize-uri path-merge-slashes; http-request deny if { path_beg /x/ }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403", "//*": "403"},
		},
		{
			Name:   "HEAD apart from GET",
			Text:   web("http-request deny if METH_HEAD; use_backend b if METH_GET; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "GET HEAD  /*": "403"},
		},
		{
			Name: "paths behind a replaced beginning", Complete: true,
			Text:   web("use_backend c if { path_beg /c }; default_backend a", `backend c; http-request replace-path ^/c(/.*) \1; http-request deny if { path /c }; server s c:1`),
			Routes: map[string]string{"/*": "a:1", "/c": "403", "/c/*": "c:1 without /c", "/c/c": "403"},
		},
		{
			Name:   "a certificate that is verified beside one that is not",
			Text:   web("default_backend c", "backend c; server s c:1 ssl verify none; server t c:2 ssl verify required ca-file /ca.pem"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "a response that is checked",
			Text:   web("option checkcache; default_backend a"),
			Routes: map[string]string{"/*": "403"},
		},
	})
}

// What comes behind a condition that is not known, and what it decides about, is in the comments.
func TestWhatIsShutIsTold(t *testing.T) {
	const reject = "tcp-request connection reject if { src 192.0.2.0/24 }; "
	importertest.Check(t, Read, "haproxy.cfg", []importertest.Want{
		{
			Name:   "behind a condition, where everything is refused already",
			Text:   web(reject + "use_backend b if { src 10.0.0.0/8 }; default_backend a"),
			Routes: map[string]string{"/*": "403"},
			Told:   []string{"without what is refused:;backend: b:1", "without what is refused:;backend: a:1"},
		},
		{
			Name:   "behind a change of a header, where everything is refused already",
			Text:   web(reject + "http-request set-header X-A b; default_backend a"),
			Routes: map[string]string{"/*": "403"},
			Told:   []string{"backend: a:1;request:;set_headers: { X-A: b }"},
		},
		{
			Name:   "behind a header that was changed",
			Text:   web(reject + "http-request set-header X-Tier %[src,map(x)]; use_backend b if { hdr(X-Tier) gold }; default_backend a"),
			Routes: map[string]string{"/*": "403"},
			Told:   []string{"backend: b:1", "backend: a:1"},
		},
		{
			Name:   "not",
			Text:   web("use_backend b if !{ src 10.0.0.0/8 }; default_backend a"),
			Routes: map[string]string{"/*": "403"},
			Told:   []string{"without what is refused:;backend: b:1", "- path: /*;backend: a:1"},
		},
		{
			Name:   "unless",
			Text:   web("use_backend b unless { src 10.0.0.0/8 }; default_backend a"),
			Routes: map[string]string{"/*": "403"},
			Told:   []string{"without what is refused:;backend: b:1", "- path: /*;backend: a:1"},
		},
		{
			Name:   "a path and not an address",
			Text:   web("use_backend b if { path_beg /x/ } !{ src 10.0.0.0/8 }; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403"},
			Told:   []string{"without what is refused:;backend: b:1"},
		},
		{
			Name:   "the rules of a backend for what is refused",
			Text:   web(reject+"default_backend c", "backend c; http-request deny if { path_beg /x/ }; http-request set-path /y%[path]; server s c:1"),
			Routes: map[string]string{"/*": "403", "/x/*": "403"},
			Told:   []string{"without what is refused:;backend: c:1;rewrite: /y/*"},
		},
	})
}

func TestServersAreVerifiedAsTheySay(t *testing.T) {
	result := importertest.Import(t, Read, "haproxy.cfg", web("default_backend c", "backend c; default-server ssl verify none; server s c:1 verify required ca-file /ca.pem"))
	if text := string(result.Text); strings.Contains(text, "insecure") || !strings.Contains(text, "tls: { ca: /ca.pem }") {
		t.Errorf("what a server says of itself does not go before default-server:\n%s", text)
	}
}

func TestPathsAreReplaced(t *testing.T) {
	in := func(line string) string {
		return web("use_backend c if { path_beg /x/ }", "backend c; "+line+"; server s c:1")
	}
	importertest.Check(t, Read, "haproxy.cfg", []importertest.Want{
		{Name: "nothing", Complete: true, Text: in("http-request set-header X-A b"), Routes: map[string]string{"/*": "503", "/x/*": "c:1"}},
		{Name: "replace-path", Complete: true, Text: in(`http-request replace-path /x/(.*) /\1`), Routes: map[string]string{"/*": "503", "/x/*": "c:1 without /x"}},
		{Name: "replace-path with another beginning", Complete: true, Text: in(`http-request replace-path ^/x/(.*)$ /y/\1`), Routes: map[string]string{"/*": "503", "/x/*": "c:1 as /y/*"}},
		{Name: "set-path", Complete: true, Text: in(`http-request set-path %[path,regsub(^/x/,/)]`), Routes: map[string]string{"/*": "503", "/x/*": "c:1 without /x"}},
		{Name: "a beginning in front", Complete: true, Text: in(`http-request set-path /y%[path]`), Routes: map[string]string{"/*": "503", "/x/*": "c:1 as /y/x/*"}},
		{Name: "any expression", Text: in(`http-request replace-path (.*)/x/(.*) \1\2`), Routes: map[string]string{"/*": "503", "/x/*": "403"}},
	})
}

func TestRedirects(t *testing.T) {
	importertest.Check(t, Read, "haproxy.cfg", []importertest.Want{
		{
			Name: "to a URL, to a prefix, after http-request", Complete: true,
			Text:   web("redirect prefix https://b.test code 301 if { hdr(host) a.test }; redirect location /new if { path /old }; http-request deny if { path /old } METH_POST; default_backend a"),
			Routes: map[string]string{"/*": "a:1", "a.test /*": "-> https://b.test/*", "/old": "-> /new", "POST  /old": "403", "a.test /old": "-> https://b.test/old", "POST a.test /old": "403"},
		},
		{
			Name: "http to https with both in one frontend", Complete: true,
			Text:   web("bind :443 ssl crt /c.pem; http-request redirect scheme https unless { ssl_fc }; default_backend a"),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name: "http to https but for the proof of a CA", Complete: true,
			Text:   web("bind :443 ssl crt /c.pem; acl proof path_beg /.well-known/acme-challenge/; redirect scheme https if !{ ssl_fc } !proof; default_backend a"),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name:   "http to https but for some paths",
			Text:   web("bind :443 ssl crt /c.pem; redirect scheme https if !{ ssl_fc } !{ path_beg /x/ }; default_backend a"),
			Routes: map[string]string{"/*": "403", "/x/*": "a:1"},
		},
		{
			Name: "http to https in a frontend of its own", Complete: true,
			Text:   web("redirect scheme https code 301", "frontend tls; bind :443 ssl crt /c.pem; default_backend a"),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name:   "to what a request says",
			Text:   web("redirect location https://%[req.cook(to)]; default_backend a"),
			Routes: map[string]string{"/*": "403"},
		},
	})
}

func TestMistakesHaveTheirPlace(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no section", "mode http", "haproxy.cfg:1: mode: no section has begun, such as frontend or backend"},
		{"a quote", "defaults\n log 'x", "haproxy.cfg:2: a quote is not closed"},
		{"the environment", "defaults\n log \"$X\"", "haproxy.cfg:2: a variable of the environment: write its value in its place"},
		{"nothing", "global\n maxconn 1", "haproxy.cfg: there is no frontend in it that listens and has mode http: import the files that have one together"},
		{"an address", "listen x\n mode http\n bind :80-90", "haproxy.cfg:3: bind :80-90: not an address with one port, such as :8080: write a bind for each"},
		{"an acl that is missing", web("use_backend a if x"), "haproxy.cfg:5: there is no acl x in this section"},
		{"a brace", web("use_backend a if { path /"), "haproxy.cfg:5: a { has no } with something between"},
		{"twice", "defaults\n mode http\nbackend a\nbackend a", "haproxy.cfg:4: a is there twice: remove one"},
		{"defaults that are missing", "frontend x from y", "haproxy.cfg:1: there are no defaults y before it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := Read(importer.Source{Files: []importer.File{{Name: "haproxy.cfg", Text: tt.text}}})
			if err == nil || err.Error() != tt.want {
				t.Errorf("Read(%q): %v, want %s (%v)", tt.text, err, tt.want, plan)
			}
		})
	}
}

// FuzzRead: whatever the text is, it becomes what sluice takes, or an error.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.cfg")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(web(`http-request set-path %[path,regsub(^/x/?,)] if { path_reg ^/[^/]+/x$ }; use_backend a if ! { hdr(host) a } || METH_GET; default_backend b`))
	f.Add(web(`http-request del-header X; http-request deny if { hdr(X) y } or METH_HEAD; http-request normalize-uri path-merge-slashes; use_backend b if { hdr_reg(host) ^a-.*\.b$ } !{ path_beg -i /@x }; default_backend a`))
	f.Fuzz(func(t *testing.T, text string) { importertest.Law(t, Read, "haproxy.cfg", text) })
}
