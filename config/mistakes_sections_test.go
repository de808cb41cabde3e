package config

import "testing"

func TestMistakesInWhatRoutesDo(t *testing.T) {
	expectMistakes(t, []mistake{
		{"two actions", `routes:
  - path: /a
    backend: localhost:3000
    redirect: /b
`, `
4:15: routes[0].redirect: the route has backend and redirect: keep one of backend, split, redirect, respond, files`},
		{"no action", `routes:
  - path: /a
`, `
2:5: routes[0]: the route does nothing: add one of backend, split, redirect, respond, files`},
		{"redirects", `routes:
  - { path: /a, redirect: www.example.com }
  - { path: /b/*, redirect: "https://example.com/*/x" }
  - { path: /c, redirect: "https://example.com/*" }
`, `
2:27: routes[0].redirect.to: "www.example.com" is neither an absolute path nor a URL with a host, as in https://example.com/new
3:29: routes[1].redirect.to: "https://example.com/*/x" has a '*' before its end
4:27: routes[2].redirect.to: "https://example.com/*" ends in '*', but 'path' has none that it could stand for`},
		{"a prefix that is none", `routes:
  - { path: /api/*, backend: "localhost:3000", strip_prefix: /v1 }
  - { path: /b/*, backend: "localhost:3000", strip_prefix: /b, rewrite: /c/* }
`, `
2:62: routes[0].strip_prefix: "/v1" is not how 'path' begins, up to a '/'
3:73: routes[1].rewrite: excludes strip_prefix: a rewrite replaces the whole path`},
		{"two names", `backends:
  app: [10.0.0.1:80]
  app: [10.0.0.2:80]
routes:
  - { name: a, path: /a, backend: app }
  - { name: a, path: /b, backend: app }
`, `
3:3: backends.app: key "app" is given twice, first at line 2
6:13: routes[1].name: "a" is already the name of the route at line 5`},
		{"origins", `routes:
  - backend: localhost:3000
    websocket: { origins: ["*", example.com, "https://example.com/"] }
`, `
3:28: routes[0].websocket.origins[0]: "*" allows everyone: remove 'origins' and let the backend decide
3:33: routes[0].websocket.origins[1]: "example.com" has no scheme, did you mean "https://example.com"?
3:46: routes[0].websocket.origins[2]: "https://example.com/" ends in '/': an origin has no path, leave it off`},
		{"cookies for everybody", `routes:
  - { respond: 200, cors: { origins: "*", credentials: true } }
`, `
2:38: routes[0].cors.origins: expected a list, found the single value "*": put it in brackets, as in ["*"]`},
		{"limits of sessions for an answer", `routes: [{ respond: 200, websocket: { idle_timeout: 1m } }]
`, `
1:26: routes[0].websocket: no WebSocket reaches this route: it has no backend; remove the section`},
		{"error pages of successes", `routes: [{ respond: 200, error_pages: { 200: ok.html, "50x": 5xx.html } }]
`, `
1:46: routes[0].error_pages.200: "200" is not a status of an error: write one from 400 to 599, or 4xx or 5xx for all of a class
1:62: routes[0].error_pages.50x: "50x" is not a status of an error: write one from 400 to 599, or 4xx or 5xx for all of a class`},
	})
}

func TestMistakesInOtherSections(t *testing.T) {
	expectMistakes(t, []mistake{
		{"TLS without a certificate", `listeners:
  - { address: ":443", tls: true }
routes: [{ respond: 200 }]
`, `
2:29: listeners[0].tls: this needs a section 'tls' with certificates`},
		{"TLS without any certificate", `tls: { min_version: "1.3" }
routes: [{ respond: 200 }]
`, `
1:1: tls: no certificate: add 'acme', 'certificates' or 'self_signed'`},
		{"half a certificate", `tls:
  certificates:
    - cert: a.pem
routes: [{ respond: 200 }]
`, `
3:7: tls.certificates[0].key: no key: the key is required`},
		{"certificates that nobody issues", `tls:
  acme:
    email: example.com
    hosts: ["*.example.com", localhost, 10.0.0.1]
routes: [{ respond: 200 }]
`, `
3:12: tls.acme.email: "example.com" is not an address such as ops@example.com
4:13: tls.acme.hosts[0]: "*.example.com" is a wildcard, which takes a challenge over DNS: list the names below it
4:30: tls.acme.hosts[1]: "localhost" has no dot: no public CA has certificates for it
4:41: tls.acme.hosts[2]: "10.0.0.1" is an IP address, for which no certificate is ordered`},
		{"versions of TLS", `tls: { self_signed: [localhost], min_version: TLS1.2 }
routes: [{ respond: 200 }]
`, `
1:47: tls.min_version: "TLS1.2" is not one of 1.2, 1.3`},
		{"an admin interface for everybody", `admin: 9901
routes: [{ respond: 200 }]
`, `
1:8: admin.address: "9901" is only a port: write the host too, as in 127.0.0.1:9901`},
		{"a token that can be guessed", `admin: { address: "127.0.0.1:9901", token: secret }
routes: [{ respond: 200 }]
`, `
1:44: admin.token: it is shorter than 16 characters, so that it could be guessed: make one with 'openssl rand -hex 16'`},
		{"PROXY headers of everybody", `listeners: [{ address: ":80", proxy_protocol: true }]
trusted_proxies: 10.0.0.0/8
routes: [{ respond: 200 }]
`, `
1:47: listeners[0].proxy_protocol: every connection would be refused: list those who send PROXY headers in 'trusted_proxies'
2:18: trusted_proxies: expected a list, found the single value "10.0.0.0/8": put it in brackets, as in [10.0.0.0/8]`},
		{"a network with the bits of a host", `trusted_proxies: [10.0.0.1/8]
routes: [{ respond: 200 }]
`, `
1:19: trusted_proxies[0]: "10.0.0.1/8" has bits set behind its first 8`},
		{"a level that is none", `log: { level: verbose, format: text }
routes: [{ respond: 200 }]
`, `
1:15: log.level: "verbose" is not one of debug, info, warn, error
1:32: log.format: "text" is not one of auto, json, pretty`},
		{"a check of health with a path alone", `backends:
  app: { endpoints: 10.0.0.1:80, health: { path: /healthz } }
routes: [{ backend: app }]
`, `
2:50: backends.app.health.path: needs 'check: http' or 'check: websocket'; the default is tcp`},
		{"a check of health by its path", `backends:
  app: { endpoints: 10.0.0.1:80, health: /healthz }
routes: [{ backend: app }]
`, `
2:42: backends.app.health.check: "/healthz" is not one of tcp, http, websocket`},
	})
}
