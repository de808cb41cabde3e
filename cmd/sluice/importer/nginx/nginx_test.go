package nginx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/importertest"
)

func TestGolden(t *testing.T) { importertest.Golden(t, Read, "*.conf") }

func block(body string) string { return "server { listen 8080; " + body + " }" }

func TestLocationsKeepTheirPrecedence(t *testing.T) {
	importertest.Check(t, Read, "nginx.conf", []importertest.Want{
		{
			Name: "the longest prefix, wherever it stands", Complete: true,
			Text:   block(`location / { proxy_pass http://a:1; } location /x/y/ { proxy_pass http://b:1; } location /x/ { proxy_pass http://c:1; }`),
			Routes: map[string]string{"/*": "a:1", "/x/*": "c:1", "/x/y/*": "b:1", "/x": "-> /x/", "/x/y": "-> /x/y/"},
		},
		{
			Name: "a prefix inside a segment has the path itself and what is below", Complete: true,
			Text:   block(`location / { proxy_pass http://a:1; } location /x { proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "a:1", "/x": "b:1", "/x/*": "b:1"},
		},
		{
			Name: "exact before prefix, without a redirect", Complete: true,
			Text:   block(`location / { proxy_pass http://a:1; } location = /x { return 204; } location /x/ { proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "a:1", "/x": "204", "/x/*": "b:1"},
		},
		{
			Name: "an expression that is a list of prefixes, before longer ones", Complete: true,
			Text:   block(`location / { proxy_pass http://a:1; } location /api/deep/ { proxy_pass http://b:1; } location ~ ^/(api|ws)/ { proxy_pass http://c:1; }`),
			Routes: map[string]string{"/*": "a:1", "/api/*": "c:1", "/ws/*": "c:1", "/api/deep": "-> /api/deep/"},
		},
		{
			Name: "an expression does not reach behind ^~ and =",
			Text: block(`location / { proxy_pass http://a:1; } location ^~ /x/ { proxy_pass http://b:1; } location = /y { return 204; } location ~ secret { auth_basic on; proxy_pass http://c:1; }`),
			Routes: map[string]string{
				"/*": "403", "/x/*": "b:1", "/x": "-> /x/", "/y": "204",
			},
		},
		{
			Name:   "an expression with a fixed beginning shuts that alone",
			Text:   block(`location / { proxy_pass http://a:1; } location ~ ^/user/[0-9]+/ws { proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "a:1", "/user/{id}/*": "403", "/user/{id}/ws": "403", "/user/{id}/ws/*": "403", "//*": "403", "/user//*": "403"},
		},
		{
			Name: "an expression that ignores case has every spelling", Complete: true,
			Text:   block(`location / { proxy_pass http://a:1; } location ~* ^/ab/ { deny all; }`),
			Routes: map[string]string{"/*": "a:1", "/ab/*": "403", "/aB/*": "403", "/Ab/*": "403", "/AB/*": "403", "//*": "403"},
		},
		{
			Name:   "an expression with too many spellings shuts all",
			Text:   block(`location / { proxy_pass http://a:1; } location ~* ^/administration/ { deny all; }`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "the end of a path, before prefixes but for ^~", Complete: true,
			Text: block(`location / { proxy_pass http://a:1; } location /x/ { proxy_pass http://b:1; } location ^~ /y/ { proxy_pass http://c:1; } location ~ \.(js|css)$ { proxy_pass http://d:1; }`),
			Routes: map[string]string{
				"/*": "a:1", "/*.js": "d:1", "/*.css": "d:1", "/.js": "d:1", "/.css": "d:1", "/x": "-> /x/", "/x/*": "b:1", "/x/*.js": "d:1", "/x/*.css": "d:1",
				"/x/.js": "d:1", "/x/.css": "d:1", "/y": "-> /y/", "/y/*": "c:1",
			},
		},
		{
			Name: "static files, whose capitals do not matter", Complete: true,
			Text:   block(`root /srv; location / { } location ~* \.(js|css)$ { expires 7d; } location ~ /\.ht { deny all; }`),
			Routes: map[string]string{"/*": "files /srv", "/*.js": "files /srv", "/*.css": "files /srv"},
		},
		{
			Name: "files below .well-known are shut with others that begin with a dot", Complete: true,
			Text:   block(`root /srv; location / { } location ~ /\. { deny all; }`),
			Routes: map[string]string{"/*": "files /srv", "/.well-known": "403", "/.well-known/*": "403", "//*": "403"},
		},
		{
			Name: "and are not where the expression says so", Complete: true,
			Text:   block(`root /srv; location / { } location ~ /\.(?!well-known) { deny all; }`),
			Routes: map[string]string{"/*": "files /srv"},
		},
		{
			Name:   "files of which it is not clear which they are",
			Text:   block(`root /srv; location / { } location ~ ^/assets/.*-[0-9a-f]+\.js$ { expires max; }`),
			Routes: map[string]string{"/*": "files /srv", "/assets/*.js": "403", "/assets/.js": "403", "//*": "403", "/assets//*": "403"},
		},
		{
			Name: "a segment", Complete: true,
			Text:   block(`location / { proxy_pass http://a:1; } location ~ ^/users/[^/]+/ws$ { proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "a:1", "/users/{id}/ws": "b:1"},
		},
		{
			Name:   "a segment beside another prefix, which sluice could not tell apart",
			Text:   block(`location / { proxy_pass http://a:1; } location ^~ /users/me/ { proxy_pass http://b:1; } location ~ ^/users/[^/]+/ws$ { proxy_pass http://c:1; }`),
			Routes: map[string]string{"/*": "a:1", "/users/*": "403", "/users/me/*": "b:1", "/users/me": "-> /users/me/", "//*": "403"},
		},
		{
			Name: "equal locations, and several names of a server", Complete: true,
			Text:   block(`server_name a.test www.a.test; location / { return 404; } location ^~ /x { proxy_pass http://a:1; } location = /y { proxy_pass http://a:1; }`) + "server { listen 8080 default_server; return 204; }",
			Routes: map[string]string{"/*": "204", "a.test /*": "404", "a.test /x": "a:1", "a.test /x/*": "a:1", "a.test /y": "a:1", "www.a.test /*": "404", "www.a.test /x": "a:1", "www.a.test /x/*": "a:1", "www.a.test /y": "a:1"},
		},
	})
}

func TestWhatKeepsClientsOutIsNeverLost(t *testing.T) {
	importertest.Check(t, Read, "nginx.conf", []importertest.Want{
		{
			Name:   "by address",
			Text:   block(`location / { proxy_pass http://a:1; } location /x/ { allow 10.0.0.1; deny all; proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403", "/x": "-> /x/", "//*": "403"},
		},
		{
			Name:   "by a prefix inside a segment: what goes on in it too",
			Text:   block(`location / { proxy_pass http://a:1; } location /x { auth_basic "x"; proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "403", "/x": "403", "/x/*": "403"},
		},
		{
			Name: "deny all is no more than 403", Complete: true,
			Text:   block(`location / { return 404; } location /x/ { deny all; }`),
			Routes: map[string]string{"/*": "404", "/x/*": "403"},
		},
		{
			Name:   "inherited from http",
			Text:   "auth_basic on; " + block(`location / { proxy_pass http://a:1; } location /open/ { auth_basic off; proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "403", "/open/*": "a:1", "/open": "-> /open/"},
		},
		{
			Name:   "auth_request, and a directive that nobody knows",
			Text:   block(`location / { auth_request /auth; proxy_pass http://a:1; } location /x/ { shield on; proxy_pass http://a:1; } location = /auth { internal; proxy_pass http://a:2; }`),
			Routes: map[string]string{"/*": "403", "/x/*": "403", "/x": "-> /x/", "/auth": "404"},
		},
		{
			Name:   "an if",
			Text:   block(`if ($http_user_agent ~ bot) { return 403; } location / { proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "methods", Complete: true,
			Text:   block(`location / { limit_except GET POST { deny all; } proxy_pass http://a:1; }`),
			Routes: map[string]string{"GET POST  /*": "a:1", "/*": "403"},
		},
		{
			Name:   "a server with a listener of its own",
			Text:   block(`server_name a.test; location / { proxy_pass http://a:1; }`) + block(`server_name b.test; location / { proxy_pass http://a:1; }`) + `server { listen 127.0.0.1:9; server_name c.test; location / { proxy_pass http://a:1; } }`,
			Routes: map[string]string{"/*": "a:1", "b.test /*": "a:1", "c.test /*": "403"},
		},
		{
			Name:   "a client certificate for one of two hosts",
			Text:   `ssl_certificate /c; ssl_certificate_key /k; server { listen 443 ssl; server_name a.test; return 204; } server { listen 443 ssl; server_name b.test; ssl_verify_client on; ssl_client_certificate /ca; location / { proxy_pass http://a:1; } }`,
			Routes: map[string]string{"/*": "204", "b.test /*": "403"},
		},
		{
			Name:   "a rate for one location",
			Text:   "limit_req_zone $binary_remote_addr zone=z:1m rate=5r/s; " + block(`location / { limit_req zone=z; proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "a rate for the whole server", Complete: true,
			Text:   "limit_req_zone $binary_remote_addr zone=z:1m rate=5r/s; " + block(`limit_req zone=z burst=9 nodelay; location / { proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name:   "PHP is not sent as text",
			Text:   block(`root /srv; index index.php; location / { try_files $uri $uri/ /index.php?$args; } location ~ \.php$ { fastcgi_pass a:9; }`),
			Routes: map[string]string{"/*": "403", "/*.php": "403", "/.php": "403"},
		},
		{
			Name:   "one connection for an endpoint",
			Text:   `upstream u { server a:1 max_conns=1; } ` + block(`location / { proxy_pass http://u; }`),
			Routes: map[string]string{"/*": "403"},
		},
	})
}

// Each of these lets clients in if one rule of nginx is read without another.
func TestRulesHoldTogether(t *testing.T) {
	const all = `location / { proxy_pass http://a:1; } `
	importertest.Check(t, Read, "nginx.conf", []importertest.Want{
		{
			Name:   "an if before a return of the server",
			Text:   block(`if ($http_x_key != "k") { return 403; } return 200 "open";`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "an if before a return of a location, and a directive that nobody knows",
			Text:   block(`location /x/ { if ($bad) { return 403; } return 200 "open"; } location /y/ { rewrite ^/y/z /w last; return 200 "open"; } location /z/ { shield on; return 200 "open"; }`),
			Routes: map[string]string{"/*": "404", "/x/*": "403", "/y/*": "403", "/z/*": "403"},
		},
		{
			Name: "what comes after a return keeps nobody out", Complete: true,
			Text:   "auth_basic on; " + block(`location / { return 200 "open"; }`),
			Routes: map[string]string{"/*": "200"},
		},
		{
			Name: "internal and limit_except before a return", Complete: true,
			Text:   block(all + `location /x/ { internal; return 200 "open"; } location /y/ { limit_except GET { deny all; } return 200 "open"; }`),
			Routes: map[string]string{"/*": "a:1", "/x/*": "404", "GET  /y/*": "200", "/y/*": "403", "//*": "403"},
		},
		{
			Name:   "a named location that keeps clients out",
			Text:   block(`root /srv; location / { try_files $uri @app; } location @app { allow 10.0.0.0/8; deny all; proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "named locations that lead to each other",
			Text:   block(`root /srv; location / { try_files $uri @a; } location @a { try_files $uri @b; } location @b { try_files $uri @a; }`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "try_files of the server is for no location", Complete: true,
			Text:   block(`root /srv; try_files $uri @a; location / { } location @a { proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "files /srv"},
		},
		{
			Name:   "the last file of try_files is behind a rule",
			Text:   block(`root /srv; location / { try_files $uri /in/app.html; } location ^~ /in/ { auth_basic on; }`),
			Routes: map[string]string{"/*": "403", "/in/*": "403"},
		},
		{
			Name: "the last file of try_files below an alias", Complete: true,
			Text:   block(`location / { return 404; } location /app/ { alias /srv/app/; try_files $uri /app/index.html; }`),
			Routes: map[string]string{"/*": "404", "/app/*": "files /srv/app/ without /app"},
		},
		{
			Name: "^~ in a location does not stop the expressions around it", Complete: true,
			Text: block(all + `location /x/ { return 404; location ^~ /x/y/ { proxy_pass http://b:1; } } location ~ \.x$ { deny all; }`),
			Routes: map[string]string{
				"/*": "a:1", "/*.x": "403", "/.x": "403", "/x/*": "404", "/x/*.x": "403", "/x/.x": "403", "/x/y": "-> /x/y/", "/x/y/*": "b:1", "/x/y/*.x": "403", "/x/y/.x": "403",
				"//*": "403", "/x/y//*": "403",
			},
		},
		{
			Name:   "^~ around a location stops them",
			Text:   block(`location / { return 404; } location ^~ /x/ { proxy_pass http://a:1; location /x/y/ { auth_basic on; proxy_pass http://a:1; } } location ~ \.js$ { proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "404", "/*.js": "b:1", "/.js": "b:1", "/x": "-> /x/", "/x/*": "a:1", "/x/y": "-> /x/y/", "/x/y/*": "403", "//*": "403", "/x//*": "403"},
		},
		{
			Name: "an expression in a location comes before those around it", Complete: true,
			Text:   block(all + `location ~ \.x$ { proxy_pass http://b:1; } location /x/ { return 404; location ~ \.x$ { deny all; } }`),
			Routes: map[string]string{"/*": "a:1", "/*.x": "b:1", "/.x": "b:1", "/x/*": "404", "/x/*.x": "403", "/x/.x": "403", "//*": "403"},
		},
		{
			Name:   "and is not asked for a longer prefix beside it",
			Text:   block(all + `location /x/ { return 404; location ~ \.x$ { proxy_pass http://b:1; } } location /x/y/ { auth_basic on; proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "a:1", "/x/*": "404", "/x/*.x": "b:1", "/x/.x": "b:1", "/x/y": "-> /x/y/", "/x/y/*": "403", "//*": "403", "/x//*": "403"},
		},
		{
			Name:   "a location in one with an expression",
			Text:   block(all + `location ~ ^/x/ { proxy_pass http://b:1; location ~ \.x$ { deny all; } }`),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403", "//*": "403"},
		},
		{
			Name:   "files with a dot, before an expression that leads to a backend",
			Text:   block(`root /srv; location / { } location ~ /\.(?!well-known) { deny all; } location ~ \.php$ { proxy_pass http://php:1; }`),
			Routes: map[string]string{"/*": "files /srv", "/*.php": "403", "/.php": "403", "//*": "403"},
		},
		{
			Name: "some of what is below .well-known", Complete: true,
			Text:   block(`root /srv; location / { } location ~ /\.well-known/secret { deny all; }`),
			Routes: map[string]string{"/*": "files /srv", "/.well-known": "403", "/.well-known/*": "403", "//*": "403"},
		},
		{
			Name:   "a dot that may be missing",
			Text:   block(`root /srv; location / { } location ~ /\.?env { deny all; }`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name:   "marks that clients may escape",
			Text:   block(all + `location /x/@y/ { auth_basic on; proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "a:1", "/x/*": "403", "/x/@y": "-> /x/@y/", "/x/@y/*": "403", "//*": "403"},
		},
		{
			Name:   "// before a suffix",
			Text:   block(`location / { return 404; } location ~ \.x$ { proxy_pass http://a:1; } location ^~ /y/ { auth_basic on; proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "404", "/*.x": "a:1", "/.x": "a:1", "/y": "-> /y/", "/y/*": "403", "//*": "403"},
		},
		{
			Name:   "// in a segment, beside a suffix",
			Text:   block(all + `location ~ \.x$ { proxy_pass http://b:1; } location ~ ^/users/[^/]+/ws$ { deny all; }`),
			Routes: map[string]string{"/*": "a:1", "/*.x": "b:1", "/.x": "b:1", "/users/*": "403", "/users/*.x": "b:1", "/users/.x": "b:1", "//*": "403"},
		},
		{
			Name: "a name with an underscore", Complete: true,
			Text:   `server { listen 8080 default_server; return 204; }` + block(`server_name in_side.test; return 403;`),
			Routes: map[string]string{"/*": "204", "in_side.test /*": "403"},
		},
		{
			Name: "an address for a name, and no name", Complete: true,
			Text:   `server { listen 8080 default_server; return 204; }` + block(`server_name [2001:db8::1]; return 404;`) + block(`server_name ""; return 404;`),
			Routes: map[string]string{"/*": "204", "2001:db8::1 /*": "404"},
		},
		{
			Name:   "a named location that is internal",
			Text:   block(`root /srv; location / { try_files $uri @app; } location @app { internal; proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name:   "an expression for names that get no answer",
			Text:   `server { listen 8080 default_server; server_name a.test; location / { proxy_pass http://a:1; } }` + block(`server_name ~^in\.; return 444;`),
			Routes: map[string]string{"/*": "403", "a.test /*": "a:1"},
		},
		{
			Name:   "an expression for names that are sent elsewhere",
			Text:   `server { listen 8080 default_server; location / { proxy_pass http://a:1; } }` + block(`server_name ~^www\.(?<rest>.+)$; return 301 https://$rest$request_uri;`),
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name:   "an address of its own within one of all addresses",
			Text:   `server { listen 80; location / { proxy_pass http://a:1; } } server { listen 10.0.0.1:80; return 444; }`,
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "a missing slash before a location that keeps clients out", Complete: true,
			Text:   block(all + `location ^~ /x/ { deny all; proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "a:1", "/x": "-> /x/", "/x/*": "403", "//*": "403"},
		},
		{
			Name: "auth_request off", Complete: true,
			Text:   "auth_request /auth; " + block(`location / { return 404; } location ^~ /open/ { auth_request off; proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "404", "/open": "-> /open/", "/open/*": "a:1"},
		},
	})
}

// Proxies in front are trusted as in nginx, or not at all.
func TestTrustedProxies(t *testing.T) {
	const from, header = "set_real_ip_from 10.0.0.0/8; ", "real_ip_header X-Forwarded-For; "
	for _, tt := range []struct{ name, text, want string }{
		{"of all servers", from + header + block("return 204;") + block("return 204;"), "[10.0.0.0/8]"},
		{"another header", from + block("return 204;"), "<nil>"},
		{"one server alone", block(from+header+"return 204;") + block("server_name a.test; return 204;"), "<nil>"},
		{"another server alone", block("return 204;") + block(from+header+"server_name a.test; return 204;"), "<nil>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := Read(importer.Source{Files: []importer.File{{Name: "nginx.conf", Text: tt.text}}})
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(plan.Keys.Get("trusted_proxies")); got != tt.want || len(plan.Notes) == 0 && tt.want == "<nil>" {
				t.Errorf("%s: trusted_proxies is %s with notes %v, want %s", tt.text, got, plan.Notes, tt.want)
			}
		})
	}
}

// What a refused rule shuts is in the comments, and nothing that the source does not do.
func TestWhatIsShutIsTold(t *testing.T) {
	importertest.Check(t, Read, "nginx.conf", []importertest.Want{
		{
			Name:   "behind a rewrite of the server",
			Text:   block(`rewrite ^/old(.*) /new$1 last; location /x/ { deny all; } location / { proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "403"},
			Told:   []string{"- path: /*;backend: a:1", "- path: /x/*;respond: { status: 403 }"},
		},
		{
			Name:   "behind a rewrite, and a return",
			Text:   block(`rewrite ^/ok(.*) /in$1 last; return 403; location /in/ { proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "403"},
			Told:   []string{"without what is refused:;backend: a:1"},
			Untold: []string{"- path: /in/*;backend: a:1"},
		},
		{
			Name:   "a server on a listener of its own",
			Text:   block(`location / { proxy_pass http://a:1; }`) + block(`server_name b.test; location / { proxy_pass http://b:1; }`) + `server { listen 9000; server_name c.test; location /x/ { deny all; } location / { proxy_pass http://c:1; } }`,
			Routes: map[string]string{"/*": "a:1", "b.test /*": "b:1", "c.test /*": "403"},
			Told:   []string{"- host: c.test;path: /*;backend: c:1", "- host: c.test;path: /x/*;respond: { status: 403 }"},
		},
		{
			Name:   "a listener within another one",
			Text:   block(`location / { proxy_pass http://a:1; }`) + `server { listen 10.0.0.1:8080; server_name b.test; location / { proxy_pass http://b:1; } }`,
			Routes: map[string]string{"/*": "403", "b.test /*": "403"},
			Told:   []string{"- path: /*;backend: a:1", "- host: b.test;path: /*;backend: b:1"},
		},
		{
			Name:   "an expression for names",
			Text:   "server { listen 8080 default_server; location / { proxy_pass http://a:1; } }" + block(`server_name ~^u\d+\.test$; location / { proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "403"},
			Told:   []string{"without what is refused:;backend: b:1", "- path: /*;backend: a:1"},
			Untold: []string{"- path: /*;backend: b:1"},
		},
		{
			Name:   "a path that a password guards, in another location too",
			Text:   block(`location = /a { auth_basic x; proxy_pass http://a:1; } location /a { proxy_pass http://b:1; } location / { proxy_pass http://c:1; }`),
			Routes: map[string]string{"/*": "c:1", "/a": "403", "/a/*": "b:1", "//*": "403"},
			Untold: []string{"- path: /a;backend: b:1"},
		},
		{
			Name:   "expressions where the whole server asks for a password",
			Text:   block(`auth_basic x; location ~ /\.ht { deny all; } location ~ ^/u/[0-9]+/x$ { proxy_pass http://u:1; } location /s/ { proxy_pass http://s:1; } location / { proxy_pass http://a:1; }`),
			Routes: map[string]string{"/*": "403", "/s/*": "403", "/s": "-> /s/"},
			Told:   []string{"without what is refused:;backend: a:1", "without what is refused:;backend: s:1", "without what is refused:;backend: u:1", "deny all;"},
		},
	})
}

func TestProxyPassReplacesPaths(t *testing.T) {
	importertest.Check(t, Read, "nginx.conf", []importertest.Want{
		{Name: "no URI", Complete: true, Text: block(`location / { return 404; } location ^~ /x { proxy_pass http://a:1; }`), Routes: map[string]string{"/*": "404", "/x": "a:1", "/x/*": "a:1"}},
		{Name: "a slash", Complete: true, Text: block(`location / { return 404; } location /x/ { proxy_pass http://a:1/; }`), Routes: map[string]string{"/*": "404", "/x": "-> /x/", "/x/*": "a:1 without /x"}},
		{Name: "a path", Complete: true, Text: block(`location / { return 404; } location /x/ { proxy_pass http://a:1/y/; }`), Routes: map[string]string{"/*": "404", "/x": "-> /x/", "/x/*": "a:1 as /y/*"}},
		{Name: "exact", Complete: true, Text: block(`location / { return 404; } location = /x { proxy_pass http://a:1/y; }`), Routes: map[string]string{"/*": "404", "/x": "a:1 as /y"}},
		{Name: "no slash in either", Complete: true, Text: block(`location / { return 404; } location /x { proxy_pass http://a:1/y; }`), Routes: map[string]string{"/*": "404", "/x": "a:1 as /y", "/x/*": "a:1 as /y/*"}},
		{Name: "a socket", Complete: true, Text: block(`location / { return 404; } location /x/ { proxy_pass http://unix:/s.sock:/; }`), Routes: map[string]string{"/*": "404", "/x": "-> /x/", "/x/*": "unix:/s.sock without /x"}},
		{Name: "a rewrite", Complete: true, Text: block(`location / { return 404; } location /x/ { rewrite ^/x/(.*)$ /y/$1 break; proxy_pass http://a:1; }`), Routes: map[string]string{"/*": "404", "/x": "-> /x/", "/x/*": "a:1 as /y/*"}},
		{Name: "the path as it came", Complete: true, Text: block(`location / { proxy_pass http://a:1$request_uri; }`), Routes: map[string]string{"/*": "a:1"}},
		{Name: "a variable", Text: block(`location / { proxy_pass http://$backend; }`), Routes: map[string]string{"/*": "403"}},
	})
}

func TestServersAndHosts(t *testing.T) {
	importertest.Check(t, Read, "nginx.conf", []importertest.Want{
		{
			Name: "a wildcard before the default server", Complete: true,
			Text: block(`server_name .b.test; location / { proxy_pass http://b:1; }`) + "server { listen 8080 default_server; location / { return 404; } }",
			Routes: map[string]string{
				"/*": "404", "b.test /*": "b:1", "*.b.test /*": "b:1",
			},
		},
		{
			Name:   "an expression for names shuts the hosts that none has",
			Text:   "server { listen 8080 default_server; location / { proxy_pass http://a:1; } }" + block(`server_name ~^u\d+\.test$; auth_basic on; location / { proxy_pass http://b:1; }`),
			Routes: map[string]string{"/*": "403"},
		},
		{
			Name: "www to the bare name", Complete: true,
			Text:   "server { listen 8080 default_server; server_name www.a.test; return 301 http://a.test$request_uri; }" + block("server_name a.test; location / { proxy_pass http://a:1; }"),
			Routes: map[string]string{"/*": "-> http://a.test/*", "a.test /*": "a:1"},
		},
		{
			Name: "http to https as certbot writes it", Complete: true,
			Text:   `server { if ($host = a.test) { return 301 https://$host$request_uri; } listen 80; server_name a.test; return 404; } server { listen 443 ssl; server_name a.test; ssl_certificate /c; ssl_certificate_key /k; location / { proxy_pass http://a:1; } }`,
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name: "one server for both, with an if", Complete: true,
			Text:   `server { listen 80; listen 443 ssl; server_name a.test; ssl_certificate /c; ssl_certificate_key /k; if ($scheme = http) { return 301 https://$host$request_uri; } location / { proxy_pass http://a:1; } }`,
			Routes: map[string]string{"/*": "a:1"},
		},
		{
			Name: "weights by split_clients", Complete: true,
			Text:   `upstream one { server a:1; } upstream two { server b:1; } split_clients $remote_addr $to { 10% two; * one; } ` + block(`location / { proxy_pass http://$to; }`),
			Routes: map[string]string{"/*": "two one"},
		},
		{
			Name: "a mirror", Complete: true,
			Text:   block(`location / { mirror /m; proxy_pass http://a:1; } location = /m { internal; proxy_pass http://b:1$request_uri; }`),
			Routes: map[string]string{"/*": "a:1", "/m": "404", "//*": "403"},
		},
	})
}

func TestMistakesHaveTheirPlace(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no semicolon", "server {\n listen 80\n}", "nginx.conf:3: listen has no ; at its end"},
		{"no brace", "server {\n listen 80;", "nginx.conf:1: server has no } at its end"},
		{"a brace too many", "server { }\n}", "nginx.conf:2: a } that closes nothing"},
		{"a quote", "a 'b", "nginx.conf:1: a quote is not closed"},
		{"nothing", "worker_processes 1;", "nginx.conf: there is no server in it: import the file that has one, or that includes it"},
		{"too deep", strings.Repeat("a { ", 60) + strings.Repeat("}", 60), "nginx.conf:1: blocks are more than 50 deep"},
		{"an include", "include x.conf;", "nginx.conf:1: include x.conf: nothing can be included here"},
		{"a listener", "server { listen a:b; }", "nginx.conf:1: listen a:b: not an address with one port, such as 8080 or 10.0.0.1:8080"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(importer.Source{Files: []importer.File{{Name: "nginx.conf", Text: tt.text}}})
			if err == nil || err.Error() != tt.want {
				t.Errorf("Read(%q): %v, want %s", tt.text, err, tt.want)
			}
		})
	}
}

func TestIncludesAreBounded(t *testing.T) {
	source := importer.Source{
		Files: []importer.File{{Name: "nginx.conf", Text: "include nginx.conf;"}},
		Include: func(string) ([]importer.File, error) {
			return []importer.File{{Name: "nginx.conf", Text: "include nginx.conf;"}}, nil
		},
	}
	if _, err := Read(source); err == nil || !strings.Contains(err.Error(), "include each other") {
		t.Errorf("a file that includes itself: %v", err)
	}
	missing := errors.New("no such file")
	source.Include = func(string) ([]importer.File, error) { return nil, missing }
	if _, err := Read(source); !errors.Is(err, missing) {
		t.Errorf("a file that is missing: %v", err)
	}
}

// FuzzRead: whatever the text is, it becomes what sluice takes, or an error.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.conf")
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
	f.Add(`upstream u { server a weight=2 backup; hash $cookie_a; } server { server_name ~^a$ *.b .c "é"; location ~ ^/(a|b)$ { proxy_pass https://u/$1; } location /%41/ { alias /x; } }`)
	f.Add(`server { root /s; try_files $uri @a; location /x/ { proxy_pass http://a/; location ^~ /x/@y/ { deny all; } location ~ ^/x/[^/]+/z$ { return 404; } } location ~ \.php$ { location ~ x { } } location @a { try_files a @a; } }`)
	f.Fuzz(func(t *testing.T, text string) { importertest.Law(t, Read, "nginx.conf", text) })
}
