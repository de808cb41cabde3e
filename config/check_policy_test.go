package config

import "testing"

func TestProblemsOfWebSocket(t *testing.T) {
	expectProblems(t, []problems{
		{"origins", "routes: [{ backend: 'a:1', websocket: { origins: [a.b, '*', 'https://a/', 'https://a/b', 'wss://a', 'https://a.*.b', 'https://bücher.de', 'https://a:b', '1://a', 'https://A', 'https://a:443'], subprotocols: ['a b'] } }]", []string{
			`1:51: routes[0].websocket.origins[0]: "a.b" has no scheme, did you mean "https://a.b"?`,
			`1:56: routes[0].websocket.origins[1]: "*" allows everyone: remove 'origins' and let the backend decide`,
			`1:61: routes[0].websocket.origins[2]: "https://a/" ends in '/': an origin has no path, leave it off`,
			`1:75: routes[0].websocket.origins[3]: "https://a/b" has more than scheme, host and port`,
			`1:90: routes[0].websocket.origins[4]: "wss://a" has a scheme that no page has: write http or https`,
			`1:101: routes[0].websocket.origins[5]: "https://a.*.b" has a '*' that is not the whole first label, as in *.example.com`,
			`1:118: routes[0].websocket.origins[6]: "https://bücher.de" is not ASCII: write the name in punycode, as in "https://xn--bcher-kva.de"`,
			`1:139: routes[0].websocket.origins[7]: "https://a:b" has a port that is not a number from 0 to 65535`,
			`1:154: routes[0].websocket.origins[8]: "1://a" has a scheme that is none`,
			`1:176: routes[0].websocket.origins[10]: "https://a:443" is listed twice, first at line 1`,
			`1:209: routes[0].websocket.subprotocols[0]: "a b" is not a name of a subprotocol`,
		}},
		{"websocket without a backend", "routes: [{ respond: 200, websocket: {} }]", []string{"1:26: routes[0].websocket: no WebSocket reaches this route: it has no backend; remove the section"}},
		{"websocket of http", "routes: [{ backend: 'a:1', protocol: http, websocket: {} }]", []string{"1:44: routes[0].websocket: no WebSocket reaches this route: it has 'protocol: http'; remove one of the two"}},
		{"times of sessions", "max_sessions: -1\nroutes: [{ backend: 'a:1', websocket: { idle_timeout: 5, max_lifetime: 366d, ping_interval: 1us, pong_timeout: off, keepalive: 500ms, user_timeout: 25h, buffer_size: 128KiB } }, { path: /b, backend: 'a:1', websocket: { keepalive: 10h, buffer_size: 0, stall_timeout: 999ms } }, { path: /c, backend: 'a:1', websocket: { stall_timeout: 25h } }]", []string{
			`1:15: max_sessions: "-1" is not within 0 to 10000000`,
			`2:55: routes[0].websocket.idle_timeout: "5" has no unit: add a unit, as in 30s`,
			`2:72: routes[0].websocket.max_lifetime: "366d" is too long: the most is 365d`,
			`2:93: routes[0].websocket.ping_interval: "1us" is too short: the least is 1ms`,
			`2:112: routes[0].websocket.pong_timeout: "off" is not a duration: ...`,
			`2:128: routes[0].websocket.keepalive: "500ms" is too short: the least is 1s`,
			`2:149: routes[0].websocket.user_timeout: "25h" is too long: the most is 1d`,
			`2:167: routes[0].websocket.buffer_size: "128KiB" is too large: the most is 64KiB`,
			`2:231: routes[1].websocket.keepalive: "10h" is too long: the most is 9h`,
			`2:249: routes[1].websocket.buffer_size: "0" is too small: the least is 4KiB`,
			`2:267: routes[1].websocket.stall_timeout: "999ms" is too short: the least is 1s`,
			`2:334: routes[2].websocket.stall_timeout: "25h" is too long: the most is 1d`,
		}},
		{"limits of sessions", "routes: [{ backend: 'a:1', websocket: { limits: { sessions: any, sessions_per_ip: -1, handshake_rate: 5, handshake_burst: 2, frame_size: 64, message_rate: 9s, message_burst: 3, byte_rate: 2TiB/s, on_excess: drop, " +
			"backend: { sessions: 5, message_size: 1MiB/s, byte_rate: 1B/s, byte_burst: 0 } } } }]", []string{
			`1:61: routes[0].websocket.limits.sessions: "any" is not a whole number`,
			`1:83: routes[0].websocket.limits.sessions_per_ip: "-1" is not within 0 to 1000000`,
			`1:103: routes[0].websocket.limits.handshake_rate: "5" has no period: add one, as in 50/s`,
			`1:138: routes[0].websocket.limits.frame_size: "64" has no unit: add a unit, as in 64KiB`,
			`1:156: routes[0].websocket.limits.message_rate: "9s" has no period: ...`,
			`1:189: routes[0].websocket.limits.byte_rate: "2TiB/s" is too fast: the most is 1TiB/s`,
			`1:208: routes[0].websocket.limits.on_excess: "drop" is not one of delay, close`,
			`1:225: routes[0].websocket.limits.backend.sessions: unknown key "sessions": the keys here are frame_size, message_size, message_rate, message_burst, byte_rate, byte_burst, on_excess; it is a key of 'routes.websocket.limits'`,
			`1:252: routes[0].websocket.limits.backend.message_size: "1MiB/s" is not a size: ...`,
			`1:289: routes[0].websocket.limits.backend.byte_burst: "0" is too small: the least is 1B`,
		}},
		{"limits of sessions without what they are about", "routes: [{ backend: 'a:1', websocket: { limits: { handshake_burst: 2, message_burst: 3, message_rate: off, byte_burst: 1KiB, on_excess: close, backend: { message_burst: 3, byte_rate: 1B/s, on_excess: close } } } }]", []string{
			`1:68: routes[0].websocket.limits.handshake_burst: there is no 'handshake_rate' that this is a burst of: add one or remove the key`,
			`1:86: routes[0].websocket.limits.message_burst: there is no 'message_rate' that this is a burst of: add one or remove the key`,
			`1:120: routes[0].websocket.limits.byte_burst: there is no 'byte_rate' that this is a burst of: add one or remove the key`,
			`1:137: routes[0].websocket.limits.on_excess: there is no 'message_rate' or 'byte_rate' to exceed: add one or remove the key`,
			`1:170: routes[0].websocket.limits.backend.message_burst: there is no 'message_rate' that this is a burst of: add one or remove the key`,
		}},
		{"taps", "routes: [{ backend: 'a:1', tap: all }, { path: /b, backend: 'a:1', tap: { payload: true, max: 5KiB } }, { path: /c, backend: 'a:1', tap: { max: 1KiB, no_context_takeover: true } }, { path: /d, backend: 'a:1', tap: true }]", []string{
			`1:33: routes[0].tap: expected payload or a mapping with payload, max, no_context_takeover, found the single value "all"`,
			`1:95: routes[1].tap.max: "5KiB" is too large: the most is 4KiB`,
			`1:145: routes[2].tap.max: a tap shows no payload that this is about: add 'payload: true' or remove the key`,
			`1:172: routes[2].tap.no_context_takeover: a tap shows no payload that this is about: add 'payload: true' or remove the key`,
			`1:215: routes[3].tap: expected payload or a mapping with payload, max, no_context_takeover, found the single value "true"`,
		}},
		{"taps of nothing", "routes: [{ respond: 200, tap: payload }, { path: /b, backend: 'a:1', protocol: http, tap: payload }, { path: /c, backend: 'a:1', websocket: { compression: strip }, tap: { payload: true, no_context_takeover: true } }]", []string{
			`1:31: routes[0].tap: no WebSocket reaches this route: it has no backend; remove the key`,
			`1:91: routes[1].tap: no WebSocket reaches this route: it has 'protocol: http'; remove one of the two`,
			`1:208: routes[2].tap.no_context_takeover: there is no compression: it has 'compression: strip' in 'websocket'; remove one of the two`,
		}},
	})
}

func TestProblemsOfHTTP(t *testing.T) {
	expectProblems(t, []problems{
		{"limits of routes", "routes: [{ backend: 'a:1', timeouts: { response: off }, min_body_rate: 500B, max_body_size: 1MB/s }]", []string{
			`1:50: routes[0].timeouts.response: "off" is not a duration: ...`,
			`1:72: routes[0].min_body_rate: "500B" has no period: add one, as in 500B/s`,
			`1:93: routes[0].max_body_size: "1MB/s" is not a size: ...`,
		}},
		{"keys without a backend", "routes: [{ files: a, timeouts: { response: 1s }, max_body_size: 1B, min_body_rate: 1B/s, compress: true, cors: https://a, error_pages: { 404: a } }]", []string{
			`1:22: routes[0].timeouts: the route has no backend that this is about: remove the key`,
			`1:65: routes[0].max_body_size: the route has no backend that this is about: remove the key`,
		}},
		{"keys of a redirect", "routes: [{ path: /, redirect: /a, min_body_rate: off, error_pages: { 404: a }, compress: true, cors: https://a, security: true, cache_control: no-store }]", []string{
			`1:50: routes[0].min_body_rate: a redirect has nothing that this is about: remove the key`,
			`1:55: routes[0].error_pages: a redirect has nothing that this is about: remove the key`,
			`1:90: routes[0].compress: a redirect has nothing that this is about: remove the key`,
			`1:102: routes[0].cors: a redirect has nothing that this is about: remove the key`,
		}},
		{"keys of WebSockets", "routes: [{ backend: 'a:1', protocol: websocket, timeouts: {}, max_body_size: 1B, compress: true, cors: https://a, cache_control: no-store, error_pages: { 426: a }, security: true }]", []string{
			`1:49: routes[0].timeouts: only WebSockets reach this route: set 'handshake_timeout' of 'websocket' instead`,
			`1:78: routes[0].max_body_size: only WebSockets reach this route: remove the key`,
			`1:92: routes[0].compress: only WebSockets reach this route: remove the key`,
			`1:104: routes[0].cors: only WebSockets reach this route: remove the key`,
			`1:130: routes[0].cache_control: only WebSockets reach this route: remove the key`,
		}},
		{"error pages", "routes: [{ respond: 200, error_pages: { 200: a, 6xx: a, 4XX: a, 404: '', 40x: a } }]", []string{
			`1:46: routes[0].error_pages.200: "200" is not a status of an error: write one from 400 to 599, or 4xx or 5xx for all of a class`,
			`1:54: routes[0].error_pages.6xx: "6xx" is not a status of an error: ...`,
			`1:62: routes[0].error_pages.4XX: "4XX" is not a status of an error: ...`,
			`1:70: routes[0].error_pages.404: "" is empty: give it a value or remove the key`,
			`1:79: routes[0].error_pages.40x: "40x" is not a status of an error: ...`,
		}},
		{"switches", "routes: [{ respond: 200, compress: yes, security: }, { path: /b, respond: 200, compress: '${SECRET}', security: [a] }]", []string{
			`1:36: routes[0].compress: expected true, false or a mapping with types, min_size, encodings, found the single value "yes"`,
			`1:51: routes[0].security: expected a mapping with hsts, nosniff, frame_options, found nothing: ...`,
			`1:90: routes[1].compress: expected true, false or a mapping with types, min_size, encodings, found the single value "${SECRET}"`,
			`1:103: routes[1].security: expected a mapping with hsts, nosniff, frame_options, found a list`,
		}},
		{"compression", "routes: [{ respond: 200, compress: { types: [text, '*/*', '*+', 'text/html; charset=utf-8', text/*, TEXT/*], min_size: 100, encodings: [br, gzip, gzip] } }]", []string{
			`1:46: routes[0].compress.types[0]: "text" is not a content type, as in text/html, text/* or *+json`,
			`1:52: routes[0].compress.types[1]: "*/*" is not a content type, as in text/html, text/* or *+json`,
			`1:59: routes[0].compress.types[2]: "*+" is not a content type, as in text/html, text/* or *+json`,
			`1:65: routes[0].compress.types[3]: "text/html; charset=utf-8" has parameters, which do not count: leave them off`,
			`1:101: routes[0].compress.types[5]: "TEXT/*" is listed twice, first at line 1`,
			`1:120: routes[0].compress.min_size: "100" has no unit: add a unit, as in 64KiB`,
			`1:137: routes[0].compress.encodings[0]: "br" is not one of zstd, gzip`,
			`1:147: routes[0].compress.encodings[2]: "gzip" is listed twice, first at line 1`,
		}},
		{"cache control", "routes: [{ path: /a, respond: 200, cache_control: '' }, { path: /b, respond: 200, cache_control: public; max-age=60 }, { path: /c, respond: 200, cache_control: \"a\\nb\" }, { path: /d, respond: 200, cache_control: 'a=\"b\\nc\"' }]", []string{
			`1:51: routes[0].cache_control: "" is empty: give it a value or remove the key`,
			`1:98: routes[1].cache_control: "public; max-age=60" is not a list of directives, as in public, max-age=60`,
			`1:161: routes[2].cache_control: "a\nb" is not a list of directives, as in public, max-age=60`,
		}},
		{"security", "routes: [{ respond: 200, security: { hsts: 1001d, nosniff: on, frame_options: sameorigin } }, { path: /b, respond: 200, security: { hsts: 10ms } }]", []string{
			`1:44: routes[0].security.hsts: "1001d" is too long: the most is 1000d`,
			`1:60: routes[0].security.nosniff: "on" is not true or false: write true`,
			`1:79: routes[0].security.frame_options: "sameorigin" is not one of deny, same-origin, off, did you mean "same-origin"?`,
			`1:139: routes[1].security.hsts: "10ms" is too short: the least is 1s`,
		}},
		{"cors", "routes: [{ respond: 200, cors: a.b }, { path: /b, respond: 200, cors: {} }, { path: /c, respond: 200, cors: { origins: ['*', https://a, same-origin], methods: [get, 'a b'], headers: ['a b', X, X], expose: ['a:'], max_age: 0s } }]", []string{
			`1:32: routes[0].cors.origins[0]: "a.b" has no scheme, did you mean "https://a.b"?`,
			`1:65: routes[1].cors.origins: no origins: the key is required`,
			`1:111: routes[2].cors.origins: "*" is every origin: remove it or the others`,
			`1:137: routes[2].cors.origins[2]: "same-origin" needs no permission: a page may always read from its own origin`,
			`1:161: routes[2].cors.methods[0]: "get" is not a method anyone sends: ...`,
			`1:166: routes[2].cors.methods[1]: "a b" is not a method`,
			`1:184: routes[2].cors.headers[0]: "a b" is not a name of a header`,
			`1:194: routes[2].cors.headers[2]: "X" is listed twice, first at line 1`,
			`1:207: routes[2].cors.expose[0]: "a:" is not a name of a header`,
			`1:223: routes[2].cors.max_age: "0s" is too short: the least is 1s`,
		}},
		{"cors with credentials", "routes: [{ path: /a, respond: 200, cors: { origins: ['*'], credentials: true } }, { path: /b, respond: 200, cors: { origins: ['null'], methods: ['*'], headers: ['*'], expose: ['*'], credentials: true } }]", []string{
			`1:73: routes[0].cors.credentials: origins "*" and "null" are every page there is, ...`,
			`1:136: routes[1].cors.methods: browsers take "*" literally when there are credentials: list them`,
			`1:152: routes[1].cors.headers: browsers take "*" literally when there are credentials: list them`,
			`1:168: routes[1].cors.expose: browsers take "*" literally when there are credentials: list them`,
			`1:196: routes[1].cors.credentials: origins "*" and "null" are every page there is, ...`,
		}},
		{"headers that another key sets", "routes: [{ respond: 200, security: true, cache_control: no-store, cors: https://a, response: { set_headers: { cache-control: a, X-Frame-Options: a, Access-Control-Allow-Origin: a, Vary: a }, set_headers_file: { Strict-Transport-Security: token } } }, " +
			"{ path: /b, respond: 200, security: { frame_options: off, nosniff: false, hsts: off }, response: { set_headers: { X-Frame-Options: a, X-Content-Type-Options: a, Strict-Transport-Security: a, Cache-Control: a } } }]", []string{
			`1:126: routes[0].response.set_headers.cache-control: "cache-control" is what 'cache_control' of this route sets: keep one of the two`,
			`1:146: routes[0].response.set_headers.X-Frame-Options: "X-Frame-Options" is what 'security' of this route sets: keep one of the two`,
			`1:178: routes[0].response.set_headers.Access-Control-Allow-Origin: "Access-Control-Allow-Origin" is what 'cors' of this route sets: keep one of the two`,
			`1:239: routes[0].response.set_headers_file.Strict-Transport-Security: "Strict-Transport-Security" is what 'security' of this route sets: keep one of the two`,
		}},
	})
}
