package config

import "testing"

func TestProblemsOfReferences(t *testing.T) {
	expectProblems(t, []problems{
		{"own listener in a route", "listeners: ['[::]:80']\nroutes: [{ backend: 'http://[::1]' }]", []string{`2:21: routes[0].backend: "http://[::1]" is the gateway's own listener at line 1: requests would go round for ever`}},
		{"split", "backends: { a: { endpoints: ['a:80'] } }\nroutes: [{ path: /a, split: [{ backend: a, weight: 0 }, { backend: a, weight: 0 }] }, { path: /b, split: [{ backend: b, weight: 1 }] }, { path: /c, backend: a, split_cookie: x }]", []string{
			"2:22: routes[0].split: all weights are 0: no request would be served",
			`2:68: routes[0].split[1].backend: "a" is there twice, first at line 2`,
			`2:118: routes[1].split[0].backend: unknown backend "b": the backends are a; an address has a port, as in host:8080`,
			"2:175: routes[2].split_cookie: is for 'split': remove the key",
		}},
		{"mirror", "backends: { a: { endpoints: ['a:80'] } }\nroutes: [{ path: /a, backend: a, mirror: a }, { path: /b, respond: 204, mirror: a }, { path: /c, backend: a, protocol: websocket, mirror: 'b:80' }]", []string{
			"2:42: routes[0].mirror: names a backend of the route itself: it would get each request twice",
			"2:81: routes[1].mirror: copies what goes to a backend: the route has none; remove the section",
			"2:139: routes[2].mirror: copies plain requests only: the route has 'protocol: websocket'; remove one of the two",
		}},
		{"unknown backend with a suggestion", "backends: { chat: { endpoints: ['a:80'] } }\nroutes: [{ backend: chta }]", []string{`2:21: routes[0].backend: unknown backend "chta", did you mean "chat"?`}},
		{"unknown backend", "routes: [{ backend: chat }]", []string{`1:21: routes[0].backend: unknown backend "chat": it is not a key of 'backends', and an address has a port, as in host:8080`}},
		{"bad address in a route", "routes: [{ backend: 'http://a/b' }]", []string{`1:21: routes[0].backend: "http://a/b" has more than scheme, host and port: ...`}},
		{"broken backend is known", "backends: { a: { endpoints: [b] } }\nroutes: [{ backend: a }]", []string{`1:30: backends.a.endpoints[0].address: "b" has no port: write host:port`}},
	})
}
