package config

import "testing"

func TestProblemsOfHeaders(t *testing.T) {
	expectProblems(t, []problems{
		{"files of headers", "routes: [{ backend: 'a:1', request: { set_headers_file: { A: empty, B: utf16 } } }]", []string{
			`1:62: routes[0].request.set_headers_file.A: "empty" is a file with nothing in it: write the value into it`,
			`1:72: routes[0].request.set_headers_file.B: "utf16" is a file in UTF-16, or no text: save it as UTF-8`}},
		{"unknown variable in what a variable stands for", "routes: [{ backend: 'a:1', request: { set_headers: { A: '${BRACES}' } } }]", []string{
			`1:57: routes[0].request.set_headers.A: "${BRACES}" stands for a value with an unknown variable in braces; {{name}} is the text {name} itself`,
		}},
		{"variables of headers", "routes: [{ backend: 'a:1', request: { set_headers: { A: '{clientaddress}', B: '{{nothing}} {\"a\": 1} {}', C: '{x}' } } }]", []string{
			`1:57: routes[0].request.set_headers.A: unknown variable {clientaddress}, did you mean "client_address"?`,
			"1:109: routes[0].request.set_headers.C: unknown variable {x}: there are client_address, ...",
		}},
		{"headers", "routes: [{ backend: 'a:1', request: { set_headers: { te: a, 'a:': b, A: b }, set_headers_file: { a: token, B: none, C: two }, remove_headers: [Host, Sec-WebSocket-Key, x, x, ''] }, response: { set_headers: { Host: a } } }]", []string{
			`1:58: routes[0].request.set_headers.te: "te" belongs to the connection: sluice sets it itself`,
			`1:67: routes[0].request.set_headers."a:": "a:" is not a name of a header`,
			`1:101: routes[0].request.set_headers_file.a: "a" is set to a value too, at line 1`,
			`1:111: routes[0].request.set_headers_file.B: "none" cannot be read: file does not exist`,
			`1:120: routes[0].request.set_headers_file.C: "two" is a file whose content is not a value for a header: ...`,
			`1:144: routes[0].request.remove_headers[0]: "Host" cannot be removed: requests need it, answers lack it`,
			`1:150: routes[0].request.remove_headers[1]: "Sec-WebSocket-Key" belongs to the WebSocket handshake: sluice sets it itself`,
			`1:172: routes[0].request.remove_headers[3]: "x" is listed twice, first at line 1`,
			`1:175: routes[0].request.remove_headers[4]: "" is not a name of a header`,
			`1:215: routes[0].response.set_headers.Host: "Host" is a header of requests`,
		}},
		{"segments of the path", "routes:\n- { path: ['/{a}/x', '/{b}'], backend: 'a:1', request: { set_headers: { A: '{path.a}' } } }\n- { path: '/{a}/y', respond: 200, response: { set_headers: { A: '{path.a} {{path.b}} {path.C} {path.c}' } } }", []string{
			`2:76: routes[0].request.set_headers.A: {path.a} is the segment {a} of the path, and /{b} has none`,
			`3:65: routes[1].response.set_headers.A: {path.c} is the segment {c} of the path, and /{a}/y has none`,
		}},
		{"headers without a backend", "routes: [{ respond: 200, request: { remove_headers: [a] } }]", []string{"1:26: routes[0].request: no backend sees these headers: the route has none; remove the section"}},
		{"headers that are sluice's own, in another spelling", "routes: [{ backend: 'a:1', request: { set_headers: { Sec_WebSocket_Key: a, X_A: b }, set_headers_file: { x-a: c }, remove_headers: [Content_Length] }, security: true, response: { set_headers: { X_Frame_Options: a } } }]", []string{
			`1:73: routes[0].request.set_headers.Sec_WebSocket_Key: "Sec_WebSocket_Key" belongs to the WebSocket handshake: sluice sets it itself`,
			`1:111: routes[0].request.set_headers_file.x-a: "x-a" is set to a value too, at line 1`,
			`1:133: routes[0].request.remove_headers[0]: "Content_Length" belongs to the connection: sluice sets it itself`,
			`1:212: routes[0].response.set_headers.X_Frame_Options: "X_Frame_Options" is what 'security' of this route sets: keep one of the two`,
		}},
	})
}
