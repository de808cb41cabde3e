package caddy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/importertest"
)

func TestGolden(t *testing.T) { importertest.Golden(t, Read, "*.caddyfile") }

func site(body string) string { return ":8080 {\n" + strings.ReplaceAll(body, "; ", "\n") + "\n}\n" }

func TestDirectivesAreAskedInTheirOrder(t *testing.T) {
	importertest.Check(t, Read, "Caddyfile", []importertest.Want{
		{
			Name: "the longest path, wherever it stands", Complete: true,
			Text:   site("reverse_proxy a:1; reverse_proxy /x/* c:1; reverse_proxy /x/y/* b:1"),
			Routes: map[string]string{"/*": "a:1", "/x/*": "c:1", "/x/y/*": "b:1"},
		},
		{
			Name: "an answer before a backend", Complete: true,
			Text:   site("reverse_proxy a:1; respond /health 200; redir /old /new permanent"),
			Routes: map[string]string{"/*": "a:1", "/health": "200", "/old": "-> /new"},
		},
		{
			Name: "handle blocks exclude each other", Complete: true,
			Text:   site("handle_path /api/* {; reverse_proxy b:1; }; handle {; root * /srv; try_files {path} /index.html; file_server; }"),
			Routes: map[string]string{"/*": "files /srv", "/api/*": "b:1 without /api"},
		},
		{
			Name: "what a handle does not answer is not answered by the next one", Complete: true,
			Text:   site("handle /x/* {; reverse_proxy /x/y b:1; }; handle {; reverse_proxy a:1; }"),
			Routes: map[string]string{"/*": "a:1", "/x/*": "404", "/X/*": "404", "/x/y": "b:1", "//*": "403"},
		},
		{
			Name: "route keeps the order of the file", Complete: true,
			Text:   site("route {; respond 204; reverse_proxy a:1; }"),
			Routes: map[string]string{"/*": "204"},
		},
		{
			Name: "WebSockets to a backend of their own", Complete: true,
			Text:   site("@ws {; header Connection *Upgrade*; header Upgrade websocket; }; reverse_proxy @ws w:1; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "a:1", "websocket  /*": "w:1"},
		},
		{
			Name: "methods, and the rest", Complete: true,
			Text:   site("@read method GET HEAD; reverse_proxy @read a:1; respond 405"),
			Routes: map[string]string{"/*": "405"},
		},
		{
			Name: "methods in a route", Complete: true,
			Text:   site("@read method GET HEAD; handle @read {; reverse_proxy a:1; }; handle {; respond 405; }"),
			Routes: map[string]string{"GET HEAD  /*": "a:1", "/*": "405"},
		},
		{
			Name: "not", Complete: true,
			Text:   site("@open not path /static/*; reverse_proxy @open a:1; reverse_proxy b:1"),
			Routes: map[string]string{"/*": "a:1", "/static/*": "b:1"},
		},
		{
			Name: "an ending", Complete: true,
			Text:   site("@css path *.css; header @css Cache-Control no-cache; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "a:1", "/*.css": "a:1", "/.css": "a:1"},
		},
		{
			Name: "a header for some paths", Complete: true,
			Text:   site("header /static/* Cache-Control no-cache; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "a:1", "/static/*": "a:1"},
		},
		{
			Name: "hosts in a wildcard site", Complete: true,
			Text:   "http://*.b.test {\n@a host a.b.test\nhandle @a {\nreverse_proxy a:1\n}\nhandle {\nabort\n}\n}",
			Routes: map[string]string{"*.b.test /*": "403", "a.b.test /*": "a:1"},
		},
		{
			Name: "a named route", Complete: true,
			Text:   "&(app) {\nreverse_proxy a:1\n}\n" + site("invoke /x/* app; respond 404"),
			Routes: map[string]string{"/*": "404", "/x/*": "a:1"},
		},
	})
}

func TestWhatKeepsClientsOutIsNeverLost(t *testing.T) {
	importertest.Check(t, Read, "Caddyfile", []importertest.Want{
		{
			Name:   "passwords for all",
			Text:   site("basic_auth {; u $2a$14$x; }; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "passwords for a path: Caddy ignores its case",
			Text:   site("basic_auth /in/* {; u $2a$14$x; }; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "a:1", "/in/*": "403", "/In/*": "403", "/iN/*": "403", "/IN/*": "403", "//*": "403"},
		},
		{
			Name: "a path with any segment in it: Caddy ignores its case",
			Text: site("handle /n/*/x {; respond 403; }; handle /n/a/* {; reverse_proxy a:1; }"),
			Routes: map[string]string{
				"/n/a/*": "a:1", "/n/a/x": "403", "/n/a/X": "403", "/n/a/*x": "403", "/n/a/*X": "403", "/n/a//*": "403",
				"/n/x": "403", "/n/X": "403", "/n/*x": "403", "/n/*X": "403", "/N/x": "403", "/N/X": "403", "/N/*x": "403", "/N/*X": "403",
			},
		},
		{
			Name: "paths that no request has, and one beside them", Complete: true,
			Text:   site("@p path /a\x00b /c; respond @p 403; handle /d\x00 {; respond 403; }; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "a:1", "/c": "403", "/C": "403", "//*": "403"},
			Told:   []string{"this is for paths with a NUL in them, and sluice answers 400 to these"},
		},
		{
			Name:   "passwords for a path with too many spellings",
			Text:   site("basic_auth /administration/* {; u $2a$14$x; }; reverse_proxy a:1; reverse_proxy /open/* b:1"),
			Routes: map[string]string{"/*": "403", "/administration/*": "403", "/open/*": "b:1"},
		},
		{
			Name: "an ending in every case", Complete: true,
			Text:   site("reverse_proxy a:1; @own path *.b1; respond @own 404"),
			Routes: map[string]string{"/*": "a:1", "/*.b1": "404", "/*.B1": "404", "/.b1": "404", "/.B1": "404", "//*": "403"},
		},
		{
			Name:   "passwords for a path of files",
			Text:   site("root * /srv; basic_auth /admin/* {; u $2a$14$x; }; file_server"),
			Routes: map[string]string{"/*": "files /srv", "/admin/*": "403", "//*": "403"},
		},
		{
			Name:   "a handle that asks another server",
			Text:   site("handle /open/* {; reverse_proxy a:1; }; handle {; forward_auth auth:9 {; uri /verify; }; reverse_proxy a:1; }"),
			Routes: map[string]string{"/*": "403", "/open/*": "a:1"},
		},
		{
			Name:   "by address",
			Text:   site("@local remote_ip 10.0.0.0/8; handle @local {; reverse_proxy a:1; }; respond 403"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "not by address",
			Text:   site("@far not remote_ip 10.0.0.0/8; respond @far 403; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "by an expression with a fixed beginning",
			Text:   site("@user path_regexp ^/user/[0-9]+; root * /srv; respond @user 403; file_server"),
			Routes: map[string]string{"/*": "files /srv", "/user/{id}": "403", "/user/{id}/*": "403", "//*": "403", "/user//*": "403"},
		},
		{
			Name:   "by an expression in Caddy's language",
			Text:   site("@odd `{query.token} == \"x\"`; handle @odd {; reverse_proxy a:1; }; respond 404"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "a plugin that nobody knows comes first",
			Text:   site("reverse_proxy a:1; shield /1/* {; on; }; respond /1/2 200"),
			Routes: map[string]string{"/*": "a:1", "/1/*": "403", "/1/2": "403", "//*": "403"},
		},
		{
			Name:   "a site with a listener of its own",
			Text:   "http://a.test {\nreverse_proxy a:1\n}\nhttp://b.test {\nreverse_proxy a:1\n}\nhttp://c.test:9000 {\nreverse_proxy c:1\n}",
			Routes: map[string]string{"a.test /*": "a:1", "b.test /*": "a:1"},
		},
		{
			Name:   "a client certificate for one of two hosts",
			Text:   "a.test {\nrespond 204\n}\nb.test {\ntls {\nclient_auth {\nmode require_and_verify\ntrust_pool file /ca.pem\n}\n}\nreverse_proxy a:1\n}",
			Routes: map[string]string{"a.test /*": "204", "b.test /*": "403"},
		},
		{
			Name:   "files that are hidden",
			Text:   site("root * /srv; file_server {; hide *.secret; }"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "PHP is not sent as text",
			Text:   site("root * /srv; php_fastcgi unix//run/php.sock; file_server"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "files before a backend",
			Text:   site("root * /srv; try_files {path} /index.html; reverse_proxy /1/* a:1; file_server"),
			Routes: map[string]string{"/*": "files /srv", "/1/*": "403", "//*": "403"},
		},
		{
			Name:   "an inner refusal holds after the block",
			Text:   site("route /x/* {; basic_auth {; u $2a$14$x; }; }; root * /srv; file_server"),
			Routes: map[string]string{"/*": "files /srv", "/x/*": "403", "//*": "403"},
		},
	})
}

// What comes behind a condition that is not known, and what it decides about, is in the comments.
func TestWhatIsShutIsTold(t *testing.T) {
	const office = "@office remote_ip 10.0.0.0/8; @far not remote_ip 10.0.0.0/8; "
	all := map[string]string{"/*": "403"}
	importertest.Check(t, Read, "Caddyfile", []importertest.Want{
		{
			Name: "behind a condition, where everything is refused already", Text: site("basic_auth {; u $2a$14$x; }; " + office + "respond @office 403; reverse_proxy a:1"),
			Routes: all, Told: []string{"without what is refused:;backend: a:1"},
		},
		{
			Name: "handle", Text: site(office + "handle @office {; reverse_proxy a:1; }; handle {; reverse_proxy b:1; }"),
			Routes: all, Told: []string{"without what is refused:;backend: a:1", "- path: /*;backend: b:1"},
		},
		{
			Name: "not", Text: site(office + "handle @far {; reverse_proxy a:1; }; handle {; reverse_proxy b:1; }"),
			Routes: all, Told: []string{"without what is refused:;backend: a:1", "- path: /*;backend: b:1"},
		},
		{
			Name: "not, and a refusal", Text: site(office + "respond @far 403; reverse_proxy a:1"),
			Routes: all, Told: []string{"- path: /*;backend: a:1"},
		},
		{
			Name: "route", Text: site(office + "route @office {; reverse_proxy a:1; }; respond 404"),
			Routes: all, Told: []string{"without what is refused:;backend: a:1", "- path: /*;respond: { status: 404 }"},
		},
		{
			Name: "a backend", Text: site(office + "reverse_proxy @office a:1; reverse_proxy b:1"),
			Routes: all, Told: []string{"without what is refused:;backend: a:1", "- path: /*;backend: b:1"},
		},
		{
			Name: "files", Text: site(office + "root * /srv; file_server @office; file_server browse"),
			Routes: all, Told: []string{"without what is refused:;files: { root: /srv, index: index.html }", "- path: /*;files: { root: /srv, index: index.html, browse: true }"},
		},
	})
}

func TestAMatcherTakesNoMoreAndNoLessThanInCaddy(t *testing.T) {
	importertest.Check(t, Read, "Caddyfile", []importertest.Want{
		{
			Name: "a path counts for the order beside other conditions too", Complete: true,
			Text:   site("@in {; path /a/b/*; method POST; }; handle /a/* {; respond 204; }; handle @in {; respond 403; }"),
			Routes: map[string]string{"/a/*": "204", "/a/b/*": "204", "POST  /a/b/*": "403", "/a//*": "403"},
		},
		{
			Name:   "a star at the front stands for segments",
			Text:   site("root * /srv; @env path */.env; respond @env 403; file_server"),
			Routes: map[string]string{"/*": "files /srv", "/*.env": "403", "/.env": "403", "//*": "403"},
		},
		{
			Name:   "a star at both ends",
			Text:   site("root * /srv; @git path */.git/*; respond @git 403; file_server"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "a pattern that is not told",
			Text:   site("root * /srv; @odd path /1%2Fy*; handle @odd {; reverse_proxy a:1; }; handle {; respond 404; }"),
			Routes: map[string]string{"/*": "404", "/1": "403", "/1/*": "403"},
		},
		{
			Name:   "a host that is a placeholder",
			Text:   "http://a.test {\n@bad host {env.BAD}\nrespond @bad 403\nreverse_proxy a:1\n}",
			Routes: map[string]string{"a.test /*": "403"},
		},
		{
			Name:   "a header that has been removed",
			Text:   site("request_header -X-Staff; @staff header X-Staff 1; handle @staff {; reverse_proxy b:1; }; handle {; reverse_proxy a:1; }"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "a handshake with POST, which is none", Complete: true,
			Text:   site("@odd {; header Upgrade websocket; method POST; }; respond @odd 403; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name:   "a path that was made, in another case",
			Text:   site("rewrite /1 /A1; respond /a1 403; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "a:1", "/1": "403", "/a1": "403", "/A1": "403", "//*": "403"},
		},
		{
			Name:   "headers of one beginning that are removed",
			Text:   site("request_header -X-User-*; reverse_proxy a:1"),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "paths that a handle is not for", Complete: true,
			Text:   site("@open not path /a/*; handle @open {; reverse_proxy a:1; }"),
			Routes: map[string]string{"/*": "a:1", "/a/*": "404", "/A/*": "404", "//*": "403"},
		},
		{
			Name:   "a prefix that a handle is not for takes what goes on in its segment",
			Text:   site("@open not path /a*; handle @open {; root * /srv; file_server; }"),
			Routes: map[string]string{"/*": "403", "/a": "404", "/a/*": "404"},
		},
	})
}

func TestConditionsOfSeveralLinesAllHold(t *testing.T) {
	for _, tt := range []struct{ name, text, want, not string }{
		{
			"the smallest of several sizes of a body",
			"request_body /x/* {; max_size 1MB; }; request_body {; max_size 9MB; }; handle /x/* {; request_body {; max_size 5MB; }; reverse_proxy a:1; }; handle {; reverse_proxy a:1; }",
			"max_body_size: 1MB", "5MB",
		},
		{
			"parameters of the query, of which those with one name are a list",
			"@key {; query a=1 b=2; query a=3; }; reverse_proxy @key a:1",
			`query: { a: "3", b: "2" }`, `{ a: "3" }`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result := string(importertest.Import(t, Read, "Caddyfile", site(tt.text)).Text)
			if !strings.Contains(result, tt.want) || strings.Contains(result, tt.not) {
				t.Errorf("of %s becomes\n%s", tt.text, result)
			}
		})
	}
}

func TestASiteWithListenersOfItsOwnLeavesItsHostToNoOther(t *testing.T) {
	importertest.Check(t, Read, "Caddyfile", []importertest.Want{
		{
			Name:   "one that it shares",
			Text:   "http://, http://:81 {\nreverse_proxy a:1\n}\nhttp://b.test, http://b.test:81 {\nreverse_proxy b:1\n}\nhttp://in.test:81, http://in.test:82 {\nrespond 403\n}",
			Routes: map[string]string{"/*": "a:1", "b.test /*": "b:1", "in.test /*": "403"},
		},
		{
			Name: "a second name below a wildcard", Complete: true,
			Text:   "http://a.test, http://x.b.test {\nreverse_proxy /x a:1\n}\nhttp://*.b.test {\nreverse_proxy b:1\n}",
			Routes: map[string]string{"*.b.test /*": "b:1", "a.test /*": "404", "a.test /x": "a:1", "x.b.test /*": "404", "x.b.test /x": "a:1"},
		},
	})
}

func TestPathsChangeOnTheWay(t *testing.T) {
	importertest.Check(t, Read, "Caddyfile", []importertest.Want{
		{Name: "a prefix that is removed", Complete: true, Text: site("uri /x/* strip_prefix /x; reverse_proxy a:1"), Routes: map[string]string{"/*": "a:1", "/x/*": "a:1 without /x"}},
		{Name: "a prefix in place of another", Complete: true, Text: site("handle_path /x/* {; rewrite * /y{uri}; reverse_proxy a:1; }"), Routes: map[string]string{"/x/*": "a:1 as /y/*"}},
		{Name: "a prefix more", Complete: true, Text: site("rewrite * /y{uri}; reverse_proxy a:1"), Routes: map[string]string{"/*": "a:1 as /y/*"}},
		{Name: "one path for another", Complete: true, Text: site("rewrite /x /y; reverse_proxy a:1"), Routes: map[string]string{"/*": "a:1", "/x": "a:1 as /y"}},
		{Name: "one path for all", Text: site("rewrite * /y; reverse_proxy a:1"), Routes: map[string]string{"/*": "403"}},
		{Name: "a matcher behind a change", Complete: true, Text: site("handle_path /x/* {; reverse_proxy /y/* b:1; reverse_proxy a:1; }"), Routes: map[string]string{"/x/*": "a:1 without /x", "/x/y/*": "b:1 without /x"}},
		{Name: "an expression", Text: site("uri path_regexp /a /b; reverse_proxy a:1"), Routes: map[string]string{"/*": "403"}},
	})
}

func TestSitesAndRedirects(t *testing.T) {
	importertest.Check(t, Read, "Caddyfile", []importertest.Want{
		{
			Name: "https with a name", Complete: true,
			Text:   "a.test, www.a.test {\nreverse_proxy a:1\n}",
			Routes: map[string]string{"a.test /*": "a:1", "www.a.test /*": "a:1"},
		},
		{
			Name: "www to the bare name", Complete: true,
			Text:   "www.a.test {\nredir https://a.test{uri}\n}\na.test {\nreverse_proxy a:1\n}",
			Routes: map[string]string{"www.a.test /*": "-> https://a.test/*", "a.test /*": "a:1"},
		},
		{
			Name: "the host of the request", Complete: true,
			Text:   "a.test, b.test {\nredir https://www.{host}{uri} 308\n}",
			Routes: map[string]string{"a.test /*": "-> https://www.a.test/*", "b.test /*": "-> https://www.b.test/*"},
		},
		{
			Name: "http to https", Complete: true,
			Text:   "http:// {\nredir https://{host}{uri} permanent\n}\na.test {\ntls /c.pem /k.pem\nreverse_proxy a:1\n}",
			Routes: map[string]string{"a.test /*": "a:1"},
		},
		{
			Name: "one site without braces", Complete: true,
			Text:   "http://localhost\n\nreverse_proxy a:1",
			Routes: map[string]string{"localhost /*": "a:1"},
		},
		{
			Name: "a site for the rest", Complete: true,
			Text:   "http://a.test {\nreverse_proxy /x a:1\n}\nhttp:// {\nrespond 404\n}",
			Routes: map[string]string{"/*": "404", "a.test /x": "a:1", "a.test /*": "404"},
		},
		{
			Name: "snippets with arguments and blocks", Complete: true,
			Text:   "(app) {\nhandle_path /{args[0]}/* {\nreverse_proxy {args[1:]}\n{block}\n}\n}\n" + site("import app x a:1; import app y b:1 {; header -Server; }"),
			Routes: map[string]string{"/x/*": "a:1 without /x", "/y/*": "b:1 without /y"},
		},
	})
}

func TestMistakesHaveTheirPlace(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no brace", ":80 {\nrespond 204", "Caddyfile:1: :80 has no } at its end"},
		{"a brace too many", ":80 {\n}\n}", "Caddyfile:3: a } that closes nothing"},
		{"an inner brace", ":80 {\nhandle {\nrespond 204\n}", "Caddyfile:1: :80 has no } at its end"},
		{"a brace of its own", ":80 {\nhandle\n{\n}\n}", "Caddyfile:3: a { stands at the end of a line, behind what it belongs to"},
		{"text behind a brace", ":80 {\nhandle { respond 204\n}\n}", "Caddyfile:2: what follows a { begins on the next line"},
		{"a quote", ":80 {\nrespond \"x\n}", "Caddyfile:2: a quote is not closed"},
		{"a marker", ":80 {\nrespond <<END\nx\n}", "Caddyfile:2: <<END has no END at its end"},
		{"a matcher", ":80 {\nrespond @x 204\n}", "Caddyfile:2: the matcher @x is not defined"},
		{"nothing", "# nothing\n", "Caddyfile: there is no site in it"},
		{"an import", ":80 {\nimport x\n}", "Caddyfile:2: import x: there is no such snippet, and no file can be included here"},
		{"a snippet in itself", "(a) {\nimport a\n}\n:80 {\nimport a\n}", "Caddyfile:2: more than 20 imports in each other"},
		{"a variable in a comment", "# {$SLUICE_NOT_SET}\n", "Caddyfile: there is no site in it"},
		{"a variable", ":80 {\nrespond {$SLUICE_NOT_SET}\n}", "Caddyfile:2: the environment variable SLUICE_NOT_SET is not set: set it for the import as it is for Caddy"},
		{"an address", "a.test:b {\n}", "Caddyfile:1: a.test:b: not the address of a site, as in example.com, :8080 or http://example.com"},
		{"a route", ":80 {\ninvoke x\n}", "Caddyfile:2: there is no route &(x)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(importer.Source{Files: []importer.File{{Name: "Caddyfile", Text: tt.text}}})
			if err == nil || err.Error() != tt.want {
				t.Errorf("Read(%q): %v, want %s", tt.text, err, tt.want)
			}
		})
	}
}

func TestImportsOfFilesAreFollowed(t *testing.T) {
	source := importer.Source{
		Files: []importer.File{{Name: "Caddyfile", Text: "import sites/*\n:80 {\nimport app\n}"}},
		Include: func(pattern string) ([]importer.File, error) {
			if pattern != "sites/*" {
				return nil, errors.New("no such file: " + pattern)
			}
			return []importer.File{{Name: "sites/a", Text: "(app) {\nrespond 204\n}"}}, nil
		},
	}
	if _, err := Read(source); err != nil {
		t.Errorf("a file with a snippet: %v", err)
	}
	source.Include = func(string) ([]importer.File, error) {
		return []importer.File{{Name: "sites/a", Text: "import sites/*"}}, nil
	}
	if _, err := Read(source); err == nil || !strings.Contains(err.Error(), "in each other") {
		t.Errorf("a file that imports itself: %v", err)
	}
}

// FuzzRead: whatever the text is, it becomes what sluice takes, or an error.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.caddyfile")
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
	f.Add("(s) {\nheader {args[0]} \"a b\"\n{block}\n}\n:80, b.test:81 {\n@m {\nnot path /a* *.b\nheader !X\nquery a=b\n}\nimport s X {\nuri @m strip_prefix /a\n}\nrespond <<E\n  x\n  E 200\n}")
	f.Add(":80 {\n@p h x\nhandle @p {\nreverse_proxy a:1\n}\nhandle {\nreverse_proxy b:1 {\nheader_up\ufffd X\n}\n}\n}")
	f.Add(":80 {\nhandle /a\x00b {\nrespond 204\n}\nrespond 404\n}")
	f.Fuzz(func(t *testing.T, text string) { importertest.Law(t, Read, "Caddyfile", text) })
}
