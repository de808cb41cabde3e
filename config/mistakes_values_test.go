package config

import "testing"

func TestMistakesInUnits(t *testing.T) {
	expectMistakes(t, []mistake{
		{"the stop twice", `routes: [{ respond: 204 }]
shutdown: { delay: 5s }
shutdown_timeout: 30s
`, `
3:19: shutdown_timeout: shutdown_timeout is short for 'shutdown: { timeout }', and both are there, the first at line 2: keep the section, with timeout in it`},
		{"a spread that does not fit", `routes: [{ respond: 204 }]
shutdown: { spread: 31s }
`, `
2:21: shutdown.spread: "31s" is longer than 'timeout', 30s, after which sessions are cut: make it shorter, or 'timeout' longer`},
		{"times", `shutdown_timeout: 30
routes:
  - backend: localhost:3000
    timeouts: { response: 5 minutes, idle: never }
    security: { hsts: 1y }
`, `
1:19: shutdown_timeout: "30" has no unit: add a unit, as in 30s
4:27: routes[0].timeouts.response: "5 minutes" is not a duration: write it as in 30s, 1h30m or 1d
4:44: routes[0].timeouts.idle: "never" is another word for off: write off
5:23: routes[0].security.hsts: "1y" is not a duration: write it as in 30s, 1h30m or 1d`},
		{"sizes", `routes:
  - { path: /a, backend: "a:1", max_body_size: 10mb }
  - { path: /b, backend: "a:1", max_body_size: 1000 }
`, `
2:48: routes[0].max_body_size: "10mb" is not a size: write it as in 512B, 64KiB, 1MiB or 10MB
3:48: routes[1].max_body_size: "1000" has no unit: add a unit, as in 64KiB`},
		{"rates", `listeners: [{ address: ":80", request_rate: 100, connection_rate: 10r/s }]
routes: [{ respond: 200 }]
`, `
1:45: listeners[0].request_rate: "100" has no period: add one, as in 50/s
1:67: listeners[0].connection_rate: "10r/s" is not a rate: write it as in 50/s, 600/m or 10/h`},
		{"shares", `backends:
  app:
    endpoints: { address: 10.0.0.1:80, weight: 50% }
    passive: { ratio: false }
    retry: { budget: 0.2 }
routes: [{ backend: app }]
`, `
3:48: backends.app.endpoints.weight: "50%" is not a whole number
4:23: backends.app.passive.ratio: "false" is another word for off: write off
5:22: backends.app.retry.budget: "0.2" is not a share of 0% to 100%: write it as in 20% or 0.5%`},
	})
}

func TestMistakesInHostsPathsAndAddresses(t *testing.T) {
	expectMistakes(t, []mistake{
		{"a URL as a host", `routes:
  - { host: "https://example.com", respond: 200 }
  - { host: "example.com:8080", respond: 200 }
  - { host: example.com/ws, respond: 200 }
  - { host: "*", respond: 200 }
  - { host: "chat*.example.com", respond: 200 }
`, `
2:13: routes[0].host: "https://example.com" is not a host: leave out scheme, user and path
3:13: routes[1].host: "example.com:8080" has a port: leave it out, a route matches on every listener
4:13: routes[2].host: "example.com/ws" is not a host: leave out scheme, user and path
5:13: routes[3].host: "*" matches what no host at all does: remove the key
6:13: routes[4].host: "chat*.example.com" has a '*' that is not the whole first label, as in *.example.com`},
		{"a host beyond ASCII", `routes: [{ host: bücher.example, respond: 200 }]
`, `
1:18: routes[0].host: "bücher.example" is not ASCII: write the name in punycode, as in "xn--bcher-kva.example"`},
		{"paths", `routes:
  - { path: ws, respond: 200 }
  - { path: "~ ^/api", respond: 200 }
  - { path: "/a?b=c", respond: 200 }
  - { path: "/50%", respond: 200 }
`, `
2:13: routes[0].path: "ws" does not begin with '/'
3:13: routes[1].path: "~ ^/api" does not begin with '/'
4:13: routes[2].path: "/a?b=c" has a '?' or '#', which are no part of a path
5:13: routes[3].path: "/50%" has a '%' that begins no escape such as %20: write %25 for the sign itself`},
		{"several in one text", `routes:
  - { path: "/ws, /chat", respond: 200 }
  - { host: "a.test, b.test", respond: 200 }
  - { path: /b, backend: "a:1, b:2" }
`, `
2:13: routes[0].path: "/ws, /chat" has a ',': write several as a list, as in [/ws, /chat/*]
3:13: routes[1].host: "a.test, b.test" has a ',': write several as a list, as in [a.example.com, b.example.com]
4:26: routes[2].backend: "a:1, b:2" has a ',': write several as a list, as in [10.0.0.1:80, 10.0.0.2:80]`},
		{"a port as a backend", `routes: [{ backend: 3000 }]
`, `
1:21: routes[0].backend: "3000" is only a port: write the host too, as in 127.0.0.1:3000`},
		{"backends in a list", `routes: [{ backend: [10.0.0.1:80, 10.0.0.2:80] }]
`, `
1:12: routes[0].backend: expected a single value, found a list: give the addresses a name in 'backends', as in app: [10.0.0.1:80, 10.0.0.2:80]`},
		{"a name as a backend", `backends: { chat: [10.0.0.1:80] }
routes:
  - { path: /a, backend: caht }
  - { path: /b, backend: example.com }
`, `
3:26: routes[0].backend: unknown backend "caht", did you mean "chat"?
4:26: routes[1].backend: unknown backend "example.com": the backends are chat; an address has a port, as in host:8080`},
		{"a backend with a path", `routes: [{ backend: "http://localhost:3000/api" }]
`, `
1:21: routes[0].backend: "http://localhost:3000/api" has more than scheme, host and port: change paths with 'rewrite' or 'strip_prefix' of the route`},
		{"a backend of gRPC", `routes: [{ backend: "grpc://localhost:50051" }]
`, `
1:21: routes[0].backend: "grpc://localhost:50051" has a scheme that is none: gRPC is h2c:// in the clear, and https:// with 'http2: true' over TLS`},
		{"HTTP/2 in the clear", `backends: { app: { endpoints: localhost:50051, http2: true } }
routes: [{ backend: app }]
`, `
1:55: backends.app.http2: no endpoint of this backend is https or wss; HTTP/2 in the clear is h2c://`},
		{"ports that are none", `listeners: [99999, "localhost", "0.0.0.0:http"]
routes: [{ backend: "localhost:808080" }]
`, `
1:13: listeners[0].address: "99999" has a port that is not a number from 0 to 65535
1:20: listeners[1].address: "localhost" has no port: write host:port
1:33: listeners[2].address: "0.0.0.0:http" has a port that is not a number from 0 to 65535
2:21: routes[0].backend: "localhost:808080" has a port that is not a number from 0 to 65535`},
		{"listeners that are the same", `listeners:
  - 8080
  - ":8080"
routes: [{ backend: "localhost:8080" }]
`, `
3:5: listeners[1].address: ":8080" is already the address of the listener at line 2
4:21: routes[0].backend: "localhost:8080" is the gateway's own listener at line 2: requests would go round for ever`},
	})
}
