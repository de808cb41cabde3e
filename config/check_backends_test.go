package config

import "testing"

func TestProblemsOfBackends(t *testing.T) {
	expectProblems(t, []problems{
		{"name of a backend", ok + "backends: { 'a:1': { endpoints: ['a:1'] } }", []string{`2:13: backends."a:1": "a:1" is not a name of a backend: use letters, digits, '_' and '-'`}},
		{"endpoint twice", ok + "backends: { a: { endpoints: ['a:80',\n  'http://A'] } }", []string{`3:3: backends.a.endpoints[1].address: "http://A" is the same address as the endpoint at line 2`}},
		{"tls of plain endpoints", ok + "backends: { a: { endpoints: ['a:80'], tls: { ca: a.pem } } }", []string{"2:39: backends.a.tls: no endpoint of this backend is https or wss: ..."}},
		{"server name", ok + "backends: { a: { endpoints: ['https://a'], tls: { ca: '', server_name: 'a:1' } } }", []string{
			`2:55: backends.a.tls.ca: "" is empty: give it a value or remove the key`,
			`2:72: backends.a.tls.server_name: "a:1" has a ':' but is not an IP address`,
		}},
		{"weight of zero", ok + "backends: { a: { endpoints: [{ address: 'a:80', weight: 0 }] } }", []string{`2:57: backends.a.endpoints[0].weight: "0" is not within 1 to 1000`}},
		{"nothing but backups", ok + "backends: { a: { endpoints: [{ address: 'a:80', backup: true }] } }", []string{"2:18: backends.a.endpoints: all endpoints are backups: one at least has to be none"}},
		{"own listener", "listeners: ['127.0.0.1:80',\n  ':81', 'unix:/s']\n" + ok + "backends: { a: { endpoints: ['127.0.0.1:80', 'localhost:81', 'unix:/s', '10.0.0.1:81', '127.0.0.2:80'] } }", []string{
			`4:30: backends.a.endpoints[0].address: "127.0.0.1:80" is the gateway's own listener at line 1: requests would go round for ever`,
			`4:46: backends.a.endpoints[1].address: "localhost:81" is the gateway's own listener at line 2: requests would go round for ever`,
			`4:62: backends.a.endpoints[2].address: "unix:/s" is the gateway's own listener at line 2: requests would go round for ever`,
		}},
		{"own listener by another name", "listeners: ['127.0.0.1:80', 'localhost:81']\n" + ok + "backends: { a: { endpoints: ['localhost:80', '127.0.0.1:81', 'example.com:80'] } }", []string{
			`3:30: backends.a.endpoints[0].address: "localhost:80" is the gateway's own listener at line 1: requests would go round for ever`,
			`3:46: backends.a.endpoints[1].address: "127.0.0.1:81" is the gateway's own listener at line 1: requests would go round for ever`,
		}},
		{"SRV over TLS that verifies what DNS says", ok + "backends: { a: { endpoints: ['srv+https://_a._tcp.b'] }, b: { endpoints: ['srv+wss://_a._tcp.b'], tls: { server_name: b } } }", []string{
			`2:30: backends.a.endpoints[0].address: "srv+https://_a._tcp.b" takes the name to verify from DNS, where anybody may answer: set 'server_name' or 'pinned_keys' under 'tls'`,
		}},
		{"health path without http", ok + "backends: { a: { endpoints: ['a:80'], health: { path: /up } }, b: { endpoints: ['a:80'], health: { check: tcp, host: a } } }", []string{
			"2:55: backends.a.health.path: needs 'check: http' or 'check: websocket'; the default is tcp",
			"2:118: backends.b.health.host: is for 'check: http' and 'check: websocket', not for tcp",
		}},
		{"health of another kind", ok + "backends: { a: { endpoints: ['a:80'], health: { check: websocket, status: [200], body: x } }, b: { endpoints: ['a:80'], health: { check: http, subprotocol: x } } }", []string{
			"2:67: backends.a.health.status: is for 'check: http', not for websocket",
			"2:88: backends.a.health.body: is for 'check: http', not for websocket",
			"2:157: backends.b.health.subprotocol: is for 'check: websocket', not for http",
		}},
		{"health", ok + "backends: { a: { endpoints: ['a:80'], health: { check: http, path: a b, status: [99], headers: { Host: a, Upgrade: b }, rise: 0 } } }", []string{
			`2:68: backends.a.health.path: "a b" is not a path: it begins with '/' and has no space, '#' or control character`,
			`2:82: backends.a.health.status[0]: "99" is not within 200 to 599`,
			`2:104: backends.a.health.headers.Host: "Host" is set with the key 'host'`,
			`2:116: backends.a.health.headers.Upgrade: "Upgrade" belongs to the connection: sluice sets it itself`,
			`2:127: backends.a.health.rise: "0" is not within 1 to 100`,
		}},
		{"hash of nothing", ok + "backends: { a: { endpoints: ['a:80'], hash_by: client }, b: { endpoints: ['a:80'], balance: hash, hash_by: path }, c: { endpoints: ['a:80'], balance: hash, hash_by: 'header:' } }", []string{
			"2:48: backends.a.hash_by: is for 'balance: hash', not for least_connections",
			`2:108: backends.b.hash_by: "path" is not client, header:NAME, cookie:NAME or query:NAME`,
			`2:166: backends.c.hash_by: "header:" has no name of a header`,
		}},
		{"sticky sessions do not move", ok + "backends: { a: { endpoints: ['a:80'], sticky: true, rebalance: 5%/min }, b: { endpoints: ['a:80'], balance: hash, rebalance: 5%/min } }", []string{
			"2:64: backends.a.rebalance: excludes sticky: a session that is ended would come back to the same endpoint",
			"2:126: backends.b.rebalance: excludes 'balance: hash': a session that is ended would come back to the same endpoint",
		}},
		{"connections that are kept", ok + "backends: { a: { endpoints: ['a:80'], keepalive: { idle: -1, timeout: 0s, requests: 0 } }, b: { endpoints: ['a:80'], keepalive: { idle: 100001, timeout: 60, max: 5 } }, c: { endpoints: ['a:80'], keepalive: off } }", []string{
			`2:58: backends.a.keepalive.idle: "-1" is not within 0 to 100000`,
			`2:71: backends.a.keepalive.timeout: "0s" is too short: the least is 1ms`,
			`2:85: backends.a.keepalive.requests: "0" is not within 1 to 10000000`,
			`2:137: backends.b.keepalive.idle: "100001" is not within 0 to 100000`,
			`2:154: backends.b.keepalive.timeout: "60" has no unit: add a unit, as in 30s`,
			`2:158: backends.b.keepalive.max: unknown key "max": the keys here are idle, timeout, requests; it is a key of 'routes.tap'`,
			`2:207: backends.c.keepalive: expected a mapping with idle, timeout, requests, found the single value "off"`,
		}},
		{"shares", ok + "backends: { a: { endpoints: ['a:80'], rebalance: 5/min, retry: { budget: 0.2 }, passive: { ratio: 101% } } }", []string{
			`2:50: backends.a.rebalance.rate: "5/min" is not a share in a time: write it as in 5%/min or 50%/h`,
			`2:74: backends.a.retry.budget: "0.2" is not a share of 0% to 100%: write it as in 20% or 0.5%`,
			`2:99: backends.a.passive.ratio: "101%" is not a share of 0% to 100%: write it as in 20% or 0.5%`,
		}},
		{"many clients on one connection", ok + "backends: { a: { endpoints: ['h2c://a', 'https://b'], proxy_protocol: v1, http2: true } }", []string{
			`2:30: backends.a.endpoints[0].address: "h2c://a" is HTTP/2, where a connection is many clients': it excludes proxy_protocol`,
			"2:82: backends.a.http2: excludes proxy_protocol: with HTTP/2 a connection is many clients'",
		}},
		{"WebSockets over HTTP/2 without it", ok + "backends: { a: { endpoints: ['a:80'], websocket_over: h2 } }", []string{"2:55: backends.a.websocket_over: no endpoint of this backend is https, wss or h2c: only those can speak HTTP/2"}},
		{"WebSockets of many clients on one connection", ok + "backends: { a: { endpoints: ['https://a'], websocket_over: h2, proxy_protocol: v1 } }", []string{"2:60: backends.a.websocket_over: excludes proxy_protocol: with HTTP/2 a connection is many clients'"}},
		{"WebSockets over what there is not", ok + "backends: { a: { endpoints: ['https://a'], websocket_over: h3 } }", []string{"2:60: backends.a.websocket_over: \"h3\" is not one of http/1.1, h2, did you mean \"h2\"?"}},
		{"http2 without tls", ok + "backends: { a: { endpoints: ['a:80'], http2: true } }", []string{"2:46: backends.a.http2: no endpoint of this backend is https or wss; HTTP/2 in the clear is h2c://"}},
		{"tls of a backend", ok + "backends: { a: { endpoints: ['https://a'], tls: { cert: a.pem, pinned_keys: [sha256/AAAA] } } }", []string{
			"2:44: backends.a.tls: cert and key belong together: give both or none",
			`2:78: backends.a.tls.pinned_keys[0]: "sha256/AAAA" is not 'sha256/' and the base64 of 32 bytes`,
		}},
		{"times in the wrong order", ok + "backends: { a: { endpoints: ['a:80'], dns: { server: a, min_ttl: 1h }, passive: { eject: 1h } } }", []string{
			"2:39: backends.a.dns: max_ttl is less than min_ttl",
			`2:54: backends.a.dns.server: "a" has no port: write host:port`,
			"2:72: backends.a.passive: max_eject is less than eject",
		}},
	})
}
