package config

import "testing"

func TestProblemsOfMatchers(t *testing.T) {
	expectProblems(t, []problems{
		{"hosts", "routes: [{ host: 'a:80', respond: 200 }, { host: 'http://a', respond: 200 }, { host: '*', respond: 200 }, { host: a.*.b, respond: 200 }, { host: '*.1.2.3.4', respond: 200 }, { host: '[a]', respond: 200 }]", []string{
			`1:18: routes[0].host: "a:80" has a port: leave it out, a route matches on every listener`,
			`1:50: routes[1].host: "http://a" is not a host: leave out scheme, user and path`,
			`1:86: routes[2].host: "*" matches what no host at all does: remove the key`,
			`1:115: routes[3].host: "a.*.b" has a '*' that is not the whole first label, as in *.example.com`,
			`1:146: routes[4].host: "*.1.2.3.4" has a '*' before an IP address`,
			`1:183: routes[5].host: "[a]" has brackets without an IPv6 address in them`,
		}},
		{"host beyond ASCII", "routes: [{ host: '*.bücher.de', respond: 200 }]", []string{`1:18: routes[0].host: "*.bücher.de" is not ASCII: write the name in punycode, as in "*.xn--bcher-kva.de"`}},
		{"paths", "routes: [{ path: a, respond: 200 }, { path: /a*, respond: 200 }, { path: '/*/a', respond: 200 }, { path: '/a?b', respond: 200 }, { path: /%zz, respond: 200 }, { path: \"/\\x01\", respond: 200 }]", []string{
			`1:18: routes[0].path: "a" does not begin with '/'`,
			`1:106: routes[3].path: "/a?b" has a '?' or '#', which are no part of a path`,
			`1:138: routes[4].path: "/%zz" has a '%' that begins no escape such as %20: write %25 for the sign itself`,
			`1:168: routes[5].path: "/\x01" has a control character`,
		}},
		{"methods", "routes: [{ methods: [get, GET, GET, 'a b', purge], respond: 200 }]", []string{
			`1:22: routes[0].methods[0]: "get" is not a method anyone sends: methods are case-sensitive, write GET`,
			`1:32: routes[0].methods[2]: "GET" is listed twice, first at line 1`,
			`1:37: routes[0].methods[3]: "a b" is not a method`,
		}},
		{"header matchers", "routes: [{ headers: { Host: a, 'a b': c, A: b, a: \"c\\n\" }, query: { '': a }, respond: 200 }, { headers: { A: \"c\\n\" }, respond: 200 }]", []string{
			`1:29: routes[0].headers.Host: "Host" is matched with the key 'host'`,
			`1:39: routes[0].headers."a b": "a b" is not a name of a header`,
			`1:51: routes[0].headers.a: "a" is given twice, first at line 1: names of headers ignore case`,
			`1:73: routes[0].query."": a query parameter needs a name`,
			`1:110: routes[1].headers.A: "c\n" is not a value for a header: ...`,
		}},
		{"names", "routes:\n- { name: a, path: /a, respond: 200 }\n- { name: a, respond: 200 }\n- { name: '', path: /c, respond: 200 }", []string{
			`3:11: routes[1].name: "a" is already the name of the route at line 2`,
			`4:11: routes[2].name: "" is empty: give it a value or remove the key`,
		}},
	})
}

func TestProblemsOfActions(t *testing.T) {
	expectProblems(t, []problems{
		{"no action", "routes: [{ path: /a }]", []string{"1:10: routes[0]: the route does nothing: add one of backend, split, redirect, respond, files"}},
		{"two actions", "routes: [{ files: a, respond: 200 }]", []string{"1:19: routes[0].files: the route has respond and files: keep one of backend, split, redirect, respond, files"}},
		{"redirects", "routes: [{ path: /a, redirect: a }, { path: /b, redirect: //a }, { path: /c, redirect: 'ftp://a' }, { path: /d, redirect: /* }, { path: /e/*, redirect: '/*/a' }, { path: /f/*, redirect: '/?a=*' }, { path: /g, redirect: '/ a' }, { path: /h, redirect: 'https:a' }, { path: /i, redirect: '' }]", []string{
			`1:32: routes[0].redirect.to: "a" is neither an absolute path nor a URL with a host, ...`,
			`1:59: routes[1].redirect.to: "//a" begins with '//': write the scheme of the URL too`,
			`1:88: routes[2].redirect.to: "ftp://a" has a scheme that is not one of http, https, ws, wss`,
			`1:123: routes[3].redirect.to: "/*" ends in '*', but 'path' has none that it could stand for`,
			`1:153: routes[4].redirect.to: "/*/a" has a '*' before its end`,
			`1:187: routes[5].redirect.to: "/?a=*" has a '*' in its query`,
			`1:220: routes[6].redirect.to: "/ a" has a space, a backslash or a control character: escape it`,
			`1:251: routes[7].redirect.to: "https:a" is neither an absolute path nor a URL with a host, ...`,
			`1:286: routes[8].redirect.to: "" is neither an absolute path nor a URL with a host, ...`,
		}},
		{"responses", "routes: [{ path: /a, respond: { status: 204, body: a } }, { path: /b, respond: { content_type: \"a\\nb\" } }, { path: /c, respond: 99 }]", []string{
			`1:52: routes[0].respond.body: an answer with this status has no body: remove the key`,
			`1:96: routes[1].respond.content_type: "a\nb" is not a value for a header...`,
			`1:129: routes[2].respond.status: "99" is not within 200 to 599`,
		}},
		{"files", "routes: [{ path: /a, files: { root: '', index: a/b, fallback: /a } }, { path: /b, files: { root: a, index: .a, fallback: a/../b } }, { path: /c, files: { root: a, fallback: a/.b } }]", []string{
			`1:37: routes[0].files.root: "" is empty: give it a value or remove the key`,
			`1:48: routes[0].files.index: "a/b" has a '/': it is the name of a file in the directory asked for`,
			`1:63: routes[0].files.fallback: "/a" is not a path below 'root': write it without a leading '/', '.' and '..'`,
			`1:108: routes[1].files.index: ".a" has a name that starts with a dot; such files are never served`,
			`1:122: routes[1].files.fallback: "a/../b" is not a path below 'root': ...`,
			`1:174: routes[2].files.fallback: "a/.b" has a name that starts with a dot; such files are never served`,
		}},
		{"stripping", "routes: [{ path: /a/*, backend: 'a:1', strip_prefix: a }, { path: /b/*, backend: 'a:1', strip_prefix: /b/ }, { path: /cc/*, backend: 'a:1', strip_prefix: /c }, { path: /d, respond: 200, strip_prefix: /d }, { path: /e, backend: 'a:1', strip_prefix: /e }]", []string{
			`1:54: routes[0].strip_prefix: "a" does not begin with '/'`,
			`1:103: routes[1].strip_prefix: "/b/" ends in '/': leave it off, it stays as the first of the new path`,
			`1:155: routes[2].strip_prefix: "/c" is not how 'path' begins, up to a '/'`,
			`1:201: routes[3].strip_prefix: there is no path to change without 'backend' or 'files': remove the key`,
		}},
		{"rewriting", "routes: [{ path: /a/*, backend: 'a:1', strip_prefix: /a, rewrite: /b/* }, { path: /b, backend: 'a:1', rewrite: /* }, { path: /c, redirect: /, rewrite: /a }, { path: /d, files: a, rewrite: a }]", []string{
			`1:67: routes[0].rewrite: excludes strip_prefix: a rewrite replaces the whole path`,
			`1:112: routes[1].rewrite: "/*" ends in '*', but 'path' has none that it could stand for`,
			`1:152: routes[2].rewrite: there is no path to change without 'backend' or 'files': remove the key`,
			`1:189: routes[3].rewrite: "a" does not begin with '/'`,
		}},
		{"segments", "routes:\n- { path: ['/{a}/x', '/{b}/y'], backend: 'a:1', rewrite: '/{path.a}' }\n- { path: '/{a}', backend: 'a:1', rewrite: '/{path.a}/{path.c}/{{path.d}}' }\n- { path: '/z/{a}/*', files: a, strip_prefix: '/z/{a}' }\n- { path: '/r/{a}', redirect: 'https://a/{path.a}' }", []string{
			`2:58: routes[0].rewrite: {path.a} is the segment {a} of the path, and /{b}/y has none`,
			`3:44: routes[1].rewrite: {path.c} is the segment {c} of the path, and /{a} has none`,
			`4:47: routes[2].strip_prefix: "/z/{a}" has a '{': a segment in braces cannot be removed; change the path with 'rewrite' instead`,
			`5:31: routes[3].redirect.to: "https://a/{path.a}" has a segment {path.name}, which stands in 'rewrite' and 'set_headers' only`,
		}},
	})
}
