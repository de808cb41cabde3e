package config

import (
	"fmt"
	"strings"
	"testing"

	"sluice/config/decode"
)

func TestProblems(t *testing.T) {
	deep := strings.Repeat("[", 60) + strings.Repeat("]", 60)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'h'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	tests := []struct {
		name, text string
		want       []string // whole lines without the file, or their beginnings when they end in "..."
	}{
		// The document.
		{"empty", "", []string{"1:1: routes: no routes: the key is required"}},
		{"only comments", "# nothing\n", []string{"1:1: routes: no routes: the key is required"}},
		{"null", "~", []string{"1:1: routes: no routes: the key is required"}},
		{"text", "\nhello", []string{`2:1: expected a mapping with listeners, tls, backends, routes, trusted_proxies, via, max_sessions, http, log, admin, tracing, state_dir, shutdown_timeout, found the single value "hello"`}},
		{"list", "- a", []string{"1:1: expected a mapping with ..."}},
		{"two documents", ok + "---\nb: 1\n", []string{"2:1: a second document starts here: put everything into one"}},
		{"second document broken", ok + "---\n[\n", []string{"4:1: not valid YAML: ..."}},
		{"not YAML", "routes:\n  - a: [\n", []string{"3:1: not valid YAML: did not find expected node content"}},
		{"open bracket", "a: 1\nb: [1, 2\nc: 2\nd: 1\n", []string{"2:1: not valid YAML: did not find expected ',' or ']'"}},
		{"odd indentation", "a:\n    b: 1\n  c: 2\nd: 1", []string{"3:1: not valid YAML: did not find expected key"}},
		{"colon in a value", "a: 1\nb: c: d\n", []string{"2:1: not valid YAML: mapping values are not allowed in this context"}},
		{"tab", "routes:\n\t- a\n", []string{"2:1: not valid YAML: found character that cannot start any token (a tab? indent with spaces; or quote the value)"}},
		{"unknown alias", "routes:\n  - *a\n", []string{"2:5: not valid YAML: unknown anchor 'a' referenced"}},
		{"control character", "routes:\n  é\x00", []string{"2:4: the file is not plain UTF-8 text: found byte 0x00"}},
		{"not UTF-8", "a\xff", []string{"1:2: the file is not plain UTF-8 text: found byte 0xff"}},
		{"too big", strings.Repeat(" ", decode.MaxSize+1), []string{"1:1: the file is larger than 4194304 bytes, the most that is read"}},
		{"too deep", "a: " + deep, []string{"1:54: more than 50 mappings and lists in one another"}},
		{"alias inside itself", "routes: &a [*a]", []string{"1:13: alias *a stands inside what it repeats"}},
		{"alias bomb", bomb, []string{"1:12: the aliases of the file repeat more than 100000 values"}},
		{"merge key", ok + "log: { <<: { level: info } }", []string{"2:8: log: merge keys (<<) are not supported: repeat a whole value with an alias, or write its keys out"}},
		{"tag", ok + "state_dir: !x y", []string{"2:12: state_dir: the tag !x means nothing here: remove it"}},

		// Form.
		{"unknown key with a suggestion", ok + "lgo: {}", []string{`2:1: lgo: unknown key "lgo", did you mean "log"?`}},
		{"unknown key without", "routes: [{ respond: { colour: red } }]", []string{`1:23: routes[0].respond.colour: unknown key "colour": the keys here are status, body, content_type`}},
		{"unknown key among many", "routes: [{ respond: 200, colour: red }]", []string{`1:26: routes[0].colour: unknown key "colour"`}},
		{"long key", ok + strings.Repeat("k", 100) + ": 1", []string{`2:1: "` + strings.Repeat("k", 80) + `...": unknown key "` + strings.Repeat("k", 80) + `...": ...`}},
		{"alias of a key", "log: &a {}\n*a : {}\n" + ok, []string{"2:1: a key must be a single value, found a mapping"}},
		{"key of a list", ok + "? [a]\n: b", []string{`2:3: a key must be a single value, found a list`}},
		{"duplicate key", ok + "log: {}\nlog: {}", []string{`3:1: log: key "log" is given twice, first at line 2`}},
		{"duplicate header", "routes: [{ respond: 200, headers: { A: b, A: c } }]", []string{`1:43: routes[0].headers.A: key "A" is given twice, first at line 1`}},
		{"mapping for a list", "routes: {}", []string{"1:1: routes: expected a list, found a mapping"}},
		{"value for a list", "routes: [{ respond: 200, methods: GET }]", []string{`1:35: routes[0].methods: expected a list, found the single value "GET": put it in brackets, as in [GET]`}},
		{"empty list", ok + "listeners: []", []string{"2:1: listeners: the list is empty: add to it or remove the key"}},
		{"empty list that is required", "routes: []", []string{"1:1: routes: the list is empty: add to it"}},
		{"number that is not of the list", "routes: [{ redirect: { to: /a, status: 200 } }]", []string{
			`1:40: routes[0].redirect.status: "200" is not one of 301, 302, 303, 307, 308`,
		}},
		{"list for a value", ok + "state_dir: [a]", []string{"2:1: state_dir: expected a single value, found a list"}},
		{"nothing for a value", ok + "state_dir:", []string{"2:11: state_dir: expected a single value, found nothing: remove the key or give it a value"}},
		{"nothing for a section", ok + "log:", []string{"2:5: log: expected a mapping with level, format, access, redact, found nothing: remove the key or give it a value"}},
		{"null in a list", "routes: [{ backend: 'a:1', websocket: { origins: [null] } }]", []string{"1:51: routes[0].websocket.origins[0]: expected a single value, found null (in quotes it is text)"}},
		{"value for a mapping", "routes: [{ respond: 200, query: a }]", []string{`1:33: routes[0].query: expected a mapping of names to values, found the single value "a"`}},
		{"list of backends", ok + "backends: [a]", []string{"2:1: backends: expected a mapping of names to backends, found a list"}},
		{"mapping for an endpoint", ok + "backends: { a: { endpoints: [{}] } }", []string{"2:30: backends.a.endpoints[0].address: no address: the key is required"}},
		{"no switch", ok + "log: { access: yes }", []string{`2:16: log.access: "yes" is not true or false`}},
		{"no number", "routes: [{ respond: 0xC8 }]", []string{`1:21: routes[0].respond.status: "0xC8" is not a whole number`}},
		{"enum", ok + "log: { level: warning }", []string{`2:15: log.level: "warning" is not one of debug, info, warn, error, did you mean "warn"?`}},
		{"duration without unit", ok + "shutdown_timeout: 30", []string{`2:19: shutdown_timeout: "30" has no unit: add a unit, as in 30s`}},
		{"negative duration", ok + "shutdown_timeout: -1s", []string{`2:19: shutdown_timeout: "-1s" is too short: the least is 0s`}},
		{"no time to connect", ok + "backends: { a: { endpoints: ['a:1'], connect_timeout: 0s } }", []string{`2:55: backends.a.connect_timeout: "0s" is too short: the least is 1ms`}},
		{"overlong duration", ok + "shutdown_timeout: 25h", []string{`2:19: shutdown_timeout: "25h" is too long: the most is 1d`}},
		{"missing keys", ok + "tls: { certificates: [{}] }", []string{
			"2:23: tls.certificates[0].cert: no cert: the key is required", "2:23: tls.certificates[0].key: no key: the key is required",
		}},

		// Variables.
		{"unset variable", ok + "state_dir: a${NOPE}", []string{`2:12: state_dir: "a${NOPE}" needs the environment variable NOPE, which is not set (${NAME:-default} gives a default)`}},
		{"broken variable", ok + "state_dir: ${a b}", []string{`2:12: state_dir: "${a b}" has a ${ that begins no ${NAME} or ${NAME:-default}: write $${ if it is meant as it stands`}},
		{"variable in a key", "routes: [{ respond: 200, query: { '${NAME}': a } }]", []string{`1:35: routes[0].query."${NAME}": variables are expanded in values, not in keys`}},
		{"empty variable", "routes: [{ host: '${EMPTY}', respond: 200 }]", []string{`1:18: routes[0].host: "${EMPTY}" is empty: remove the key to match any host`}},
		{"secrets stay out of messages", `
listeners: ["${SECRET}"]
tls: { self_signed: ["${SECRET}:1"], min_version: "${SECRET}" }
backends: { a: { endpoints: ["http://${SECRET}/x", "é${SECRET}:1"] } }
routes:
  - { backend: "${SECRET}", host: "é${SECRET}", methods: ["${SECRET} "], websocket: { origins: ["${SECRET}"] } }
  - { backend: a, request: { set_headers: { A: "${SECRET}\n" }, set_headers_file: { B: "${SECRET}" } } }
shutdown_timeout: ${SECRET}`, []string{
			`2:13: listeners[0].address: "${SECRET}" has no port: write host:port`,
			`3:22: tls.self_signed[0]: "${SECRET}:1" has a ':' but is not an IP address`,
			`3:51: tls.min_version: "${SECRET}" is not one of 1.2, 1.3`,
			`4:30: backends.a.endpoints[0].address: "http://${SECRET}/x" has more than scheme, ...`,
			`4:52: backends.a.endpoints[1].address: "é${SECRET}:1" is not ASCII: write the name in punycode`,
			`6:16: routes[0].backend: unknown backend "${SECRET}": the backends are a; ...`,
			`6:35: routes[0].host: "é${SECRET}" is not ASCII: write the name in punycode`,
			`6:59: routes[0].methods[0]: "${SECRET} " is not a method`,
			`6:97: routes[0].websocket.origins[0]: "${SECRET}" has no scheme`,
			`7:48: routes[1].request.set_headers.A: "${SECRET}\n" is not a value for a header: ...`,
			`7:88: routes[1].request.set_headers_file.B: "${SECRET}" cannot be read: file does not exist`,
			`8:19: shutdown_timeout: "${SECRET}" is not a duration: ...`,
		}},

		// Listeners and TLS.
		{"addresses", ok + "listeners: [80, 'a', '*:80', 'unix:a', ':99999']", []string{
			`2:13: listeners[0].address: "80" is only a port: ...`,
			`2:17: listeners[1].address: "a" has no port: ...`,
			`2:22: listeners[2].address: "*:80" has a host that is no address: write ':port' for all addresses`,
			`2:30: listeners[3].address: "unix:a" has no absolute path ...`,
			`2:40: listeners[4].address: ":99999" has a port that is not a number from 0 to 65535`,
		}},
		{"same address twice", ok + "listeners:\n- :80\n- '[::]:80'\n- unix:/a\n- unix:/b/../a", []string{
			`4:3: listeners[1].address: "[::]:80" is already the address of the listener at line 3`,
			`6:3: listeners[3].address: "unix:/b/../a" is already the address of the listener at line 5`,
		}},
		{"tls without a section", ok + "listeners: [{ address: ':1', tls: true }]", []string{"2:35: listeners[0].tls: this needs a section 'tls' with certificates"}},
		{"redirect without tls", ok + "listeners: [{ address: ':1', redirect_https: true }]", []string{"2:46: listeners[0].redirect_https: there is no listener with 'tls: true' and a port to redirect to"}},
		{"redirect to a socket", ok + "tls: { self_signed: [a] }\nlisteners: [{ address: ':1', redirect_https: true }, { address: 'unix:/a', tls: true }]", []string{
			"3:46: listeners[0].redirect_https: there is no listener ...",
		}},
		{"redirect and tls", ok + "tls: { self_signed: [a] }\nlisteners: [{ address: ':1', tls: true, redirect_https: true }]", []string{
			"3:57: listeners[0].redirect_https: a listener with 'tls: true' is https itself: remove one of the two",
		}},
		{"http2 without tls", ok + "listeners: [{ address: ':1', http2: true }]", []string{"2:37: listeners[0].http2: HTTP/2 is offered on listeners with 'tls: true' only: remove the key"}},
		{"NUL in a file name", ok + "tls: { certificates: [{ cert: \"a\\0\", key: k }] }", []string{`2:31: tls.certificates[0].cert: "a\x00" has a NUL byte`}},
		{"NUL in a socket", ok + "listeners: [\"unix:/a\\0\"]", []string{`2:13: listeners[0].address: "unix:/a\x00" has a NUL byte`}},
		{"no certificate", ok + "tls: {}", []string{"2:1: tls: no certificate: add 'acme', 'certificates' or 'self_signed'"}},
		{"acme", ok + "tls: { acme: { email: ops, directory: 'http://a', root_ca: '', cache: '', hosts: ['*.a.b', 1.2.3.4, a, b.c, B.c] } }", []string{
			`2:23: tls.acme.email: "ops" is not an address such as ops@example.com`,
			`2:39: tls.acme.directory: "http://a" is not a URL with https`,
			`2:60: tls.acme.root_ca: "" is empty: give it a value or remove the key`,
			`2:71: tls.acme.cache: "" is empty: give it a value or remove the key`,
			`2:83: tls.acme.hosts[0]: "*.a.b" is a wildcard, which takes a challenge over DNS: list the names below it`,
			`2:92: tls.acme.hosts[1]: "1.2.3.4" is an IP address, for which no certificate is ordered`,
			`2:101: tls.acme.hosts[2]: "a" has no dot: no public CA has certificates for it`,
			`2:109: tls.acme.hosts[4]: "B.c" is listed twice, first at line 2`,
		}},
		{"acme account binding", ok + "tls: { acme: { eab: { key_id: k } } }", []string{`2:16: tls.acme.eab: no hmac_key: give it, or 'hmac_key_file'`}},
		{"acme key twice", ok + "tls: { acme: { eab: { key_id: k, hmac_key: abcd, hmac_key_file: token } } }", []string{
			`2:65: tls.acme.eab.hmac_key_file: the key is given as 'hmac_key' too, at line 2`}},
		{"modes of sockets", ok + "listeners: [{ address: 'unix:/a', mode: 0660 }, { address: 'unix:/b', mode: '0o660' }, { address: 'unix:/c', mode: '1777' }, { address: 'unix:/d', mode: '0444' }, { address: ':1', mode: '0660' }, { address: 'unix:/e', mode: 432 }]", []string{
			`2:41: listeners[0].mode: "0660" is not a mode: write it in octal and in quotes, as in "0660"`,
			`2:77: listeners[1].mode: "0o660" is not a mode: write it in octal and in quotes, as in "0660"`,
			`2:116: listeners[2].mode: "1777" has more than the permissions of user, group and others: the most is "0777"`,
			`2:154: listeners[3].mode: "0444" lets no client connect: that takes the right to write, as in "0660"`,
			`2:187: listeners[4].mode: only the socket of an address 'unix:/path' has a mode: remove the key`,
			`2:225: listeners[5].mode: "432" is not a mode: write it in octal and in quotes, as in "0660"`}},
		{"addresses that are the same", ok + "listeners: ['unix:/a/../b', 'unix:/b', '[::]:1', ':1', 'LOCALHOST:1', 'localhost:1']", []string{
			`2:29: listeners[1].address: "unix:/b" is already the address of the listener at line 2`,
			`2:50: listeners[3].address: ":1" is already the address of the listener at line 2`,
			`2:71: listeners[5].address: "localhost:1" is already the address of the listener at line 2`}},
		{"acme key file that is empty", ok + "tls: { acme: { eab: { key_id: k, hmac_key_file: empty } } }", []string{
			`2:49: tls.acme.eab.hmac_key_file: "empty" is a file with nothing in it: write the value into it`}},
		{"acme key file with two keys", ok + "tls: { acme: { eab: { key_id: k, hmac_key_file: keys } } }", []string{
			`2:49: tls.acme.eab.hmac_key_file: the key is not base64url, as CAs give it out`}},
		{"files of headers", "routes: [{ backend: 'a:1', request: { set_headers_file: { A: empty, B: utf16 } } }]", []string{
			`1:62: routes[0].request.set_headers_file.A: "empty" is a file with nothing in it: write the value into it`,
			`1:72: routes[0].request.set_headers_file.B: "utf16" is a file in UTF-16, or no text: save it as UTF-8`}},
		{"acme key file", ok + "tls: { acme: { eab: { key_id: '', hmac_key_file: nope } } }", []string{
			`2:31: tls.acme.eab.key_id: "" is empty: give it a value or remove the key`,
			`2:50: tls.acme.eab.hmac_key_file: "nope" cannot be read: file does not exist`}},
		{"acme key is a secret", ok + "tls: { acme: { eab: { key_id: k, hmac_key: '${SECRET}=!' } } }", []string{
			`2:44: tls.acme.eab.hmac_key: the key is not base64url, as CAs give it out`}},
		{"policy", ok + "tls: { self_signed: [a], min_version: 1.3, curves: [P256], cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256] }", []string{
			`2:53: tls.curves[0]: "P256" is not one of X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024, X25519, P-256, P-384, P-521, did you mean "P-256"?`,
			`2:60: tls.cipher_suites: these are for TLS 1.2 only, which 'min_version' excludes: remove the key`}},
		{"client certificates", ok + "tls: { self_signed: [a], client_auth: { mode: verify, crl: '' } }", []string{
			`2:26: tls.client_auth.ca: no ca: the key is required`,
			`2:47: tls.client_auth.mode: "verify" is not one of request, require`,
			`2:60: tls.client_auth.crl: "" is empty: give it a value or remove the key`}},
		{"self-signed names", ok + "tls: { self_signed: [a, A, 'a*', '*.1.2.3.4'] }", []string{
			`2:25: tls.self_signed[1]: "A" is listed twice, first at line 2`,
			`2:28: tls.self_signed[2]: "a*" has a '*' that is not the whole first label, as in *.example.com`,
			`2:34: tls.self_signed[3]: "*.1.2.3.4" has a '*' before an IP address`,
		}},

		// Backends.
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
		{"own listener in a route", "listeners: ['[::]:80']\nroutes: [{ backend: 'http://[::1]' }]", []string{`2:21: routes[0].backend: "http://[::1]" is the gateway's own listener at line 1: requests would go round for ever`}},
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
			`2:158: backends.b.keepalive.max: unknown key "max": the keys here are idle, timeout, requests`,
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
		{"split", "backends: { a: { endpoints: ['a:80'] } }\nroutes: [{ path: /a, split: [{ backend: a, weight: 0 }, { backend: a, weight: 0 }] }, { path: /b, split: [{ backend: b, weight: 1 }] }, { path: /c, backend: a, split_cookie: x }]", []string{
			"2:22: routes[0].split: all weights are 0: no request would be served",
			`2:68: routes[0].split[1].backend: "a" is there twice, first at line 2`,
			`2:118: routes[1].split[0].backend: unknown backend "b", did you mean "a"?`,
			"2:175: routes[2].split_cookie: is for 'split': remove the key",
		}},
		{"mirror", "backends: { a: { endpoints: ['a:80'] } }\nroutes: [{ path: /a, backend: a, mirror: a }, { path: /b, respond: 204, mirror: a }, { path: /c, backend: a, protocol: websocket, mirror: 'b:80' }]", []string{
			"2:42: routes[0].mirror: names a backend of the route itself: it would get each request twice",
			"2:81: routes[1].mirror: copies what goes to a backend: the route has none; remove the section",
			"2:139: routes[2].mirror: copies plain requests only: the route has 'protocol: websocket'; remove one of the two",
		}},
		{"unknown variable in what a variable stands for", "routes: [{ backend: 'a:1', request: { set_headers: { A: '${BRACES}' } } }]", []string{
			`1:57: routes[0].request.set_headers.A: "${BRACES}" stands for a value with an unknown variable in braces; {{name}} is the text {name} itself`,
		}},
		{"variables of headers", "routes: [{ backend: 'a:1', request: { set_headers: { A: '{clientaddress}', B: '{{nothing}} {\"a\": 1} {}', C: '{x}' } } }]", []string{
			`1:57: routes[0].request.set_headers.A: unknown variable {clientaddress}, did you mean "client_address"?`,
			"1:109: routes[0].request.set_headers.C: unknown variable {x}: there are client_address, ...",
		}},
		{"unknown backend with a suggestion", "backends: { chat: { endpoints: ['a:80'] } }\nroutes: [{ backend: chta }]", []string{`2:21: routes[0].backend: unknown backend "chta", did you mean "chat"?`}},
		{"unknown backend", "routes: [{ backend: chat }]", []string{`1:21: routes[0].backend: unknown backend "chat": it is not a key of 'backends', and an address has a port, as in host:8080`}},
		{"bad address in a route", "routes: [{ backend: 'http://a/b' }]", []string{`1:21: routes[0].backend: "http://a/b" has more than scheme, host and port: ...`}},
		{"broken backend is known", "backends: { a: { endpoints: [b] } }\nroutes: [{ backend: a }]", []string{`1:30: backends.a.endpoints[0].address: "b" has no port: write host:port`}},

		// Matchers.
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
			`1:45: routes[1].path: "/a*" has a '*' that is not a final '/*'`,
			`1:74: routes[2].path: "/*/a" has a '*' that is not a final '/*'`,
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
		{"duplicate route", "routes:\n- { host: a, methods: [GET, PUT], headers: { x-a: b }, respond: 200 }\n- { name: n, path: /*, host: A., methods: [PUT, HEAD, GET], headers: { X-A: b }, files: a }", []string{
			"3:3: routes[1]: matches the same requests as the route at line 2",
		}},

		// Actions.
		{"no action", "routes: [{ path: /a }]", []string{"1:10: routes[0]: the route does nothing: add one of backend, split, redirect, respond, files"}},
		{"two actions", "routes: [{ files: a, respond: 200 }]", []string{"1:19: routes[0].files: the route has respond and files: keep one of backend, split, redirect, respond, files"}},
		{"redirects", "routes: [{ path: /a, redirect: a }, { path: /b, redirect: //a }, { path: /c, redirect: 'ftp://a' }, { path: /d, redirect: /* }, { path: /e/*, redirect: '/*/a' }, { path: /f/*, redirect: '/?a=*' }, { path: /g, redirect: '/ a' }, { path: /h, redirect: 'https:a' }, { path: /i, redirect: '' }]", []string{
			`1:32: routes[0].redirect.to: "a" is neither an absolute path nor a URL with a host, ...`,
			`1:59: routes[1].redirect.to: "//a" begins with '//': write the scheme of the URL too`,
			`1:88: routes[2].redirect.to: "ftp://a" has a scheme that is not one of http, https, ws, wss`,
			`1:123: routes[3].redirect.to: "/*" ends in '*', but 'path' does not end in '/*'`,
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
			`1:112: routes[1].rewrite: "/*" ends in '*', but 'path' does not end in '/*'`,
			`1:152: routes[2].rewrite: there is no path to change without 'backend' or 'files': remove the key`,
			`1:189: routes[3].rewrite: "a" does not begin with '/'`,
		}},

		// Headers and WebSocket.
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
		{"headers without a backend", "routes: [{ respond: 200, request: { remove_headers: [a] } }]", []string{"1:26: routes[0].request: no backend sees these headers: the route has none; remove the section"}},
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

		// Proxies in front, and limits.
		{"trusted proxies", ok + "trusted_proxies: [a, 10.0.0.1/8, '::ffff:10.0.0.0/104', '::ffff:1.2.3.4', 'fe80::1%eth0', 10.0.0.0/33, '::1', '::1/128', {}, 'unix:/run/a']", []string{
			`2:19: trusted_proxies[0]: "a" is not an IP address or network, as in 10.0.0.0/8`,
			`2:22: trusted_proxies[1]: "10.0.0.1/8" has bits set behind its first 8`,
			`2:34: trusted_proxies[2]: "::ffff:10.0.0.0/104" is IPv4 in the form of IPv6: write it as IPv4`,
			`2:57: trusted_proxies[3]: "::ffff:1.2.3.4" is IPv4 in the form of IPv6: write it as IPv4`,
			`2:75: trusted_proxies[4]: "fe80::1%eth0" is not an IP address or network, as in 10.0.0.0/8`,
			`2:91: trusted_proxies[5]: "10.0.0.0/33" is not an IP address or network, as in 10.0.0.0/8`,
			`2:111: trusted_proxies[7]: "::1/128" is listed twice, first at line 2`,
			`2:122: trusted_proxies[8]: expected an address or network, found a mapping`,
			`2:126: trusted_proxies[9]: "unix:/run/a" is not the word unix, which stands for the proxies on all Unix sockets`,
		}},
		{"headers that are sluice's own, in another spelling", "routes: [{ backend: 'a:1', request: { set_headers: { Sec_WebSocket_Key: a, X_A: b }, set_headers_file: { x-a: c }, remove_headers: [Content_Length] }, security: true, response: { set_headers: { X_Frame_Options: a } } }]", []string{
			`1:73: routes[0].request.set_headers.Sec_WebSocket_Key: "Sec_WebSocket_Key" belongs to the WebSocket handshake: sluice sets it itself`,
			`1:111: routes[0].request.set_headers_file.x-a: "x-a" is set to a value too, at line 1`,
			`1:133: routes[0].request.remove_headers[0]: "Content_Length" belongs to the connection: sluice sets it itself`,
			`1:212: routes[0].response.set_headers.X_Frame_Options: "X_Frame_Options" is what 'security' of this route sets: keep one of the two`,
		}},
		{"PROXY headers of a Unix socket alone", ok + "trusted_proxies: [unix]\nlisteners: [{ address: ':1', proxy_protocol: true }, { address: 'unix:/run/a', proxy_protocol: true }]", []string{
			"3:46: listeners[0].proxy_protocol: every connection would be refused: list those who send PROXY headers in 'trusted_proxies'",
		}},
		{"PROXY headers without trusted proxies", ok + "listeners: [{ address: ':1', proxy_protocol: true }]", []string{
			"2:46: listeners[0].proxy_protocol: every connection would be refused: list those who send PROXY headers in 'trusted_proxies'",
		}},
		{"limits of listeners", ok + "tls: { self_signed: [a] }\nlisteners:\n- { address: ':1', timeouts: { header: 0s, idle: 2 }, max_header_bytes: 0, max_connections: -1, connections_per_ip: 1.5, request_rate: 50, request_burst: 0 }\n" +
			"- { address: ':2', max_header_bytes: 1GiB, max_streams: 9, request_rate: 1000001/s }\n- { address: ':3', max_header_bytes: 64, request_burst: 5 }\n- { address: ':4', tls: true, http2: false, max_streams: 9 }\n- { address: ':5', tls: true, max_streams: 0 }", []string{
			`4:40: listeners[0].timeouts.header: "0s" is too short: the least is 1ms`,
			`4:50: listeners[0].timeouts.idle: "2" has no unit: add a unit, as in 30s`,
			`4:73: listeners[0].max_header_bytes: "0" is too small: the least is 4KiB`,
			`4:93: listeners[0].max_connections: "-1" is not within 0 to 10000000`,
			`4:117: listeners[0].connections_per_ip: "1.5" is not a whole number`,
			`4:136: listeners[0].request_rate: "50" has no period: add one, as in 50/s`,
			`4:155: listeners[0].request_burst: "0" is not within 1 to 1000000`,
			`5:38: listeners[1].max_header_bytes: "1GiB" is too large: the most is 16MiB`,
			`5:57: listeners[1].max_streams: there are streams in HTTP/2 only, which this listener does not offer: remove the key`,
			`5:74: listeners[1].request_rate: "1000001/s" is too fast: the most is 1000000/s`,
			`6:38: listeners[2].max_header_bytes: "64" has no unit: add a unit, as in 64KiB`,
			`6:57: listeners[2].request_burst: there is no 'request_rate' that this is a burst of: add one or remove the key`,
			`7:58: listeners[3].max_streams: there are streams in HTTP/2 only, which this listener does not offer: remove the key`,
			`8:44: listeners[4].max_streams: "0" is not within 1 to 10000`,
		}},
		{"limits of routes", "routes: [{ backend: 'a:1', timeouts: { response: off }, min_body_rate: 500B, max_body_size: 1MB/s }]", []string{
			`1:50: routes[0].timeouts.response: "off" is not a duration: ...`,
			`1:72: routes[0].min_body_rate: "500B" has no period: add one, as in 500B/s`,
			`1:93: routes[0].max_body_size: "1MB/s" is not a size: ...`,
		}},
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
		{"limits of sessions", "routes: [{ backend: 'a:1', websocket: { limits: { sessions: off, sessions_per_ip: -1, handshake_rate: 5, handshake_burst: 2, frame_size: 64, message_rate: 9s, message_burst: 3, byte_rate: 2TiB/s, on_excess: drop, " +
			"backend: { sessions: 5, message_size: 1MiB/s, byte_rate: 1B/s, byte_burst: 0 } } } }]", []string{
			`1:61: routes[0].websocket.limits.sessions: "off" is not a whole number`,
			`1:83: routes[0].websocket.limits.sessions_per_ip: "-1" is not within 0 to 1000000`,
			`1:103: routes[0].websocket.limits.handshake_rate: "5" has no period: add one, as in 50/s`,
			`1:138: routes[0].websocket.limits.frame_size: "64" has no unit: add a unit, as in 64KiB`,
			`1:156: routes[0].websocket.limits.message_rate: "9s" has no period: ...`,
			`1:189: routes[0].websocket.limits.byte_rate: "2TiB/s" is too fast: the most is 1TiB/s`,
			`1:208: routes[0].websocket.limits.on_excess: "drop" is not one of delay, close`,
			`1:225: routes[0].websocket.limits.backend.sessions: unknown key "sessions": the keys here are frame_size, message_size, message_rate, message_burst, byte_rate, byte_burst, on_excess`,
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

		// Responses.
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
			`1:60: routes[0].security.nosniff: "on" is not true or false`,
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
		{"tracing", ok + `tracing: { endpoint: 'grpc://a:4317', sample: 101%, headers: { Content-Type: a, a: "x\ny", A: b, 'c d': e, Connection: f, user-agent: g }, service: '', ca: c.pem, propagate: true }`, []string{
			`2:22: tracing.endpoint: "grpc://a:4317" has a scheme that is not http or https: spans are sent as OTLP over HTTP, on port 4318 of most collectors; 4317 is gRPC`,
			`2:47: tracing.sample: "101%" is not a share of 0% to 100%: write it as in 20% or 0.5%`,
			`2:78: tracing.headers.Content-Type: "Content-Type" says what the gateway sends: it sets it itself`,
			`2:84: tracing.headers.a: "x\ny" is not a value for a header: it has a line break, ...`,
			`2:95: tracing.headers.A: "A" is given twice, first at line 2: names of headers ignore case`,
			`2:105: tracing.headers."c d": "c d" is not a name of a header`,
			`2:120: tracing.headers.Connection: "Connection" belongs to the connection: sluice sets it itself`,
			`2:135: tracing.headers.user-agent: "user-agent" says what the gateway sends: it sets it itself`,
			`2:149: tracing.service: "" is empty: give it a value or remove the key`,
			`2:164: tracing.propagate: unknown key "propagate": the keys here are endpoint, sample, headers, service, ca`,
		}},
		{"tracing without a URL", ok + "tracing: 127.0.0.1:4318", []string{`2:10: tracing.endpoint: "127.0.0.1:4318" has no scheme: write http:// or https:// in front of it`}},
		{"tracing with a user", ok + "tracing: http://a:b@c", []string{`2:10: tracing.endpoint: "http://a:b@c" has a user name in it: set an Authorization header with 'headers' instead`}},
		{"tracing with a query", ok + "tracing: http://c?key=d", []string{`2:10: tracing.endpoint: "http://c?key=d" has more than scheme, host, port and path: what is secret belongs into 'headers'`}},
		{"tracing without a host", ok + "tracing: 'http://:4318'", []string{`2:10: tracing.endpoint: "http://:4318" is not a URL such as http://127.0.0.1:4318`}},
		{"tracing with authorities for nothing", ok + "tracing: { endpoint: 'http://c', ca: c.pem }", []string{`2:38: tracing.ca: it has no meaning for an endpoint without TLS: remove it, or write https`}},
		{"tracing nowhere", ok + "tracing: { sample: 1% }", []string{`2:1: tracing.endpoint: no endpoint: the key is required`}},
		{"redact", ok + "log: { redact: ['', a=b, a, a] }", []string{
			`2:17: log.redact[0]: "" is not the name of a query parameter`,
			`2:21: log.redact[1]: "a=b" is not the name of a query parameter`,
			`2:29: log.redact[3]: "a" is listed twice, first at line 2`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expectProblems(t, tt.text, tt.want)
		})
	}
}

// expectProblems parses a file that has all these problems, and no others.
func expectProblems(t *testing.T, text string, all []string) {
	t.Helper()
	_, err := parse(text)
	if err == nil {
		t.Fatalf("parse(%q) found no problem; want %q", text, all)
	}
	lines := err.(Problems)
	for i := range max(len(lines), len(all)) {
		var got, want string
		if i < len(lines) {
			got = strings.TrimPrefix(lines[i].Error(), "f:")
		}
		if i < len(all) {
			want = all[i]
		}
		if beginning, cut := strings.CutSuffix(want, "..."); got != want && !(cut && strings.HasPrefix(got, beginning)) {
			t.Errorf("problem %d:\n got %s\nwant %s", i, got, want)
		}
	}
	if strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("a secret is in the message: %v", err)
	}
}
