package config

import "testing"

func TestProblemsOfListeners(t *testing.T) {
	expectProblems(t, []problems{
		{"addresses", ok + "listeners: [80, 'a', '*:80', 'unix:a', ':99999']", []string{
			`2:17: listeners[1].address: "a" has no port: ...`,
			`2:22: listeners[2].address: "*:80" has a host that is no address: write ':port' for all addresses`,
			`2:30: listeners[3].address: "unix:a" has no absolute path ...`,
			`2:40: listeners[4].address: ":99999" has a port that is not a number from 0 to 65535`,
		}},
		{"same address twice", ok + "listeners:\n- :80\n- '[::]:80'\n- unix:/a\n- unix:/b/../a", []string{
			`4:3: listeners[1].address: "[::]:80" is already the address of the listener at line 3`,
			`6:3: listeners[3].address: "unix:/b/../a" is already the address of the listener at line 5`,
		}},
		{"names of sockets", ok + "listeners: ['systemd:web', 'systemd:', 'systemd:a b', 'systemd:web', 'systemd:sluice.socket']", []string{
			`2:28: listeners[1].address: "systemd:" has no name behind 'systemd:': write that of the socket, as in systemd:web`,
			`2:40: listeners[2].address: "systemd:a b" has a name that no socket can have: up to 255 characters of ASCII, without spaces and ':'`,
			`2:55: listeners[3].address: "systemd:web" is already the address of the listener at line 2`,
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
		{"NUL in a socket", ok + "listeners: [\"unix:/a\\0\"]", []string{`2:13: listeners[0].address: "unix:/a\x00" has a NUL byte`}},
		{"modes of sockets", ok + "listeners: [{ address: 'unix:/a', mode: 0660 }, { address: 'unix:/b', mode: '0o660' }, { address: 'unix:/c', mode: '1777' }, { address: 'unix:/d', mode: '0444' }, { address: ':1', mode: '0660' }, { address: 'unix:/e', mode: 432 }]", []string{
			`2:41: listeners[0].mode: "0660" is not in quotes, so that some readers of YAML take it for another number: put it in quotes`,
			`2:77: listeners[1].mode: "0o660" is not a mode: write it in octal and in quotes, as in "0660"`,
			`2:116: listeners[2].mode: "1777" has more than the permissions of user, group and others: the most is "0777"`,
			`2:154: listeners[3].mode: "0444" lets no client connect: that takes the right to write, as in "0660"`,
			`2:187: listeners[4].mode: only the socket of an address 'unix:/path' has a mode: remove the key`,
			`2:225: listeners[5].mode: "432" is not a mode: write it in octal and in quotes, as in "0660"`}},
		{"addresses that are the same", ok + "listeners: ['unix:/a/../b', 'unix:/b', '[::]:1', ':1', 'LOCALHOST:1', 'localhost:1']", []string{
			`2:29: listeners[1].address: "unix:/b" is already the address of the listener at line 2`,
			`2:50: listeners[3].address: ":1" is already the address of the listener at line 2`,
			`2:71: listeners[5].address: "localhost:1" is already the address of the listener at line 2`}},
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
	})
}
