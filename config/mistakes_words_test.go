package config

import "testing"

func TestMistakesInWordsOfOtherProxies(t *testing.T) {
	expectMistakes(t, []mistake{
		{"a server of nginx", `server:
  listen: 80
`, `
1:1: routes: no routes: the key is required
1:1: server: unknown key "server": here it is called 'routes'`},
		{"location and proxy_pass", `routes:
  - location: /ws/*
    proxy_pass: http://localhost:3000
`, `
2:5: routes[0]: the route does nothing: add one of backend, split, redirect, respond, files
2:5: routes[0].location: unknown key "location": here it is called 'path'
3:5: routes[0].proxy_pass: unknown key "proxy_pass": here it is called 'backend'`},
		{"server_name and root", `routes:
  - server_name: example.com
    root: /srv/www
    respond: 200
`, `
2:5: routes[0].server_name: unknown key "server_name": here it is called 'host'
3:5: routes[0].root: unknown key "root": here it is called 'files'`},
		{"return", `routes:
  - path: /old
    return: 301 /new
`, `
2:5: routes[0]: the route does nothing: add one of backend, split, redirect, respond, files
3:5: routes[0].return: unknown key "return": here it is called 'redirect' or 'respond'`},
		{"a line of nginx", `routes:
  - path: /
    proxy_pass http://localhost:3000;
`, `
3:5: not valid YAML: a key has ': ' behind it, and an element of a list '- ' before it: this line has neither`},
		{"a semicolon at the end", `routes:
  - host: example.com;
    backend: localhost:3000;
`, `
2:11: routes[0].host: "example.com;" ends in ';', which ends nothing here: leave it off
3:14: routes[0].backend: "localhost:3000;" ends in ';', which ends nothing here: leave it off`},
		{"headers for an upgrade", `routes:
  - path: /ws/*
    backend: localhost:3000
    request:
      set_headers: { Upgrade: websocket, Connection: upgrade }
`, `
5:31: routes[0].request.set_headers.Upgrade: "Upgrade" belongs to the connection: sluice sets it itself
5:54: routes[0].request.set_headers.Connection: "Connection" belongs to the connection: sluice sets it itself`},
		{"headers of a route", `routes:
  - backend: localhost:3000
    set_headers: { X-A: b }
`, `
3:5: routes[0].set_headers: unknown key "set_headers": it is a key of 'routes.request' and 'routes.response'`},
		{"a rule of Traefik", "routes:\n  - rule: Host(`example.com`)\n    service: app\n    respond: 200\n", `
2:5: routes[0].rule: unknown key "rule": here it is called 'path'
3:5: routes[0].service: unknown key "service": here it is called 'backend'`},
		{"entry points and services of Traefik", `entryPoints: { web: { address: ":80" } }
services: { app: { loadBalancer: { servers: [] } } }
routes: [{ respond: 200 }]
`, `
1:1: entryPoints: unknown key "entryPoints": here it is called 'listeners'
2:1: services: unknown key "services": here it is called 'backends'`},
		{"servers of a load balancer", `backends:
  app:
    servers: [{ url: "http://10.0.0.1" }]
routes: [{ backend: app }]
`, `
2:3: backends.app.endpoints: no endpoints: the key is required
3:5: backends.app.servers: unknown key "servers": here it is called 'endpoints'`},
		{"reverse_proxy of Caddy", `routes:
  - host: example.com
    reverse_proxy: localhost:9000
    encode: gzip
    respond: 200
`, `
3:5: routes[0].reverse_proxy: unknown key "reverse_proxy": here it is called 'backend'
4:5: routes[0].encode: unknown key "encode": here it is called 'compress'`},
		{"certificates of nginx", `tls:
  ssl_certificate: a.pem
  ssl_certificate_key: a.key
routes: [{ respond: 200 }]
`, `
2:3: tls.ssl_certificate: unknown key "ssl_certificate": here it is called 'certificates'
3:3: tls.ssl_certificate_key: unknown key "ssl_certificate_key": here it is called 'certificates'`},
	})
}

func TestMistakesOfKeysInTheWrongPlace(t *testing.T) {
	expectMistakes(t, []mistake{
		{"sticky in a route", `backends: { app: [10.0.0.1:80, 10.0.0.2:80] }
routes:
  - backend: app
    sticky: true
`, `
4:5: routes[0].sticky: unknown key "sticky": it is a key of 'backends'`},
		{"passwords", `routes:
  - backend: localhost:3000
    auth: { user: a }
`, `
3:5: routes[0].auth: unknown key "auth": remove it; docs/configuration.md has the keys of 'routes'`},
		{"origins in a route", `routes:
  - backend: localhost:3000
    origins: [same-origin]
`, `
3:5: routes[0].origins: unknown key "origins": it is a key of 'routes.cors' and 'routes.websocket'`},
		{"a level alone", `level: debug
routes: [{ respond: 200 }]
`, `
1:1: level: unknown key "level": it is a key of 'log'`},
		{"singular and plural", `backend: { app: [10.0.0.1:80] }
route:
  - hosts: [a.test]
    paths: [/a]
    method: [GET]
    respond: 200
`, `
1:1: backend: unknown key "backend", did you mean "backends"?
1:1: routes: no routes: the key is required
2:1: route: unknown key "route", did you mean "routes"?`},
		{"plural in a route", `routes:
  - hosts: [a.test]
    paths: [/a]
    method: [GET]
    respond: 200
`, `
2:5: routes[0].hosts: unknown key "hosts", did you mean "host"?
3:5: routes[0].paths: unknown key "paths", did you mean "path"?
4:5: routes[0].method: unknown key "method", did you mean "methods"?`},
		{"a slip", `backends:
  app:
    endpoint: 10.0.0.1:80
    helth: http
routes: [{ backend: app }]
`, `
2:3: backends.app.endpoints: no endpoints: the key is required
3:5: backends.app.endpoint: unknown key "endpoint", did you mean "endpoints"?
4:5: backends.app.helth: unknown key "helth", did you mean "health"?`},
		{"sections that are on", `tls: true
routes: [{ backend: "a:1", websocket: true, cors: true, compress: gzip }]
`, `
1:6: tls: expected a mapping with acme, certificates, self_signed, min_version, records, curves, cipher_suites, client_auth, found the single value "true": say where certificates come from, as in { acme: true } or { self_signed: [localhost] }
2:39: routes[0].websocket: expected a mapping with origins, subprotocols, handshake_timeout, compression, close_code_bad_gateway, idle_timeout, max_lifetime, ping_interval, pong_timeout, stall_timeout, keepalive, user_timeout, buffer_size, limits, found the single value "true": WebSockets pass without this key
2:51: routes[0].cors.origins[0]: "true" is no origin: list those whose pages may read, or write "*" for all
2:67: routes[0].compress: expected true, false or a mapping with types, min_size, encodings, found the single value "gzip"`},
		{"a level in place of the log", `log: debug
routes: [{ respond: 200 }]
`, `
1:6: log: expected a mapping with level, format, access, redact, found the single value "debug": write { level: debug }`},
		{"a route without its dash", `routes:
  path: /a
  respond: 200
`, `
1:1: routes: expected a list, found a mapping: put '- ' in front of each element`},
		{"a list of backends", `backends:
  - 10.0.0.1:80
routes: [{ backend: app }]
`, `
1:1: backends: expected a mapping of names to backends, found a list: write a name and ':' in front of each element
3:21: routes[0].backend: unknown backend "app": it is not a key of 'backends', and an address has a port, as in host:8080`},
		{"methods", `routes:
  - { path: /a, methods: GET, respond: 200 }
  - { path: /b, methods: GET POST, respond: 200 }
`, `
2:26: routes[0].methods: expected a list, found the single value "GET": put it in brackets, as in [GET]
3:26: routes[1].methods: expected a list, found the single value "GET POST": put it in brackets, as in [GET, POST]`},
	})
}
