package config

import "testing"

func TestProblemsOfAdmin(t *testing.T) {
	const token = "'s3cr3ts3cr3ts3cr3ts3cr3t'"
	expectProblems(t, []problems{
		{"keys besides off", ok + "admin: { address: off, token: " + token + ", metrics: ':1', read_only: true }", []string{
			"2:31: admin.token: has no meaning while the address is off: remove one of the two",
			"2:68: admin.metrics: has no meaning while the address is off: ...",
			"2:85: admin.read_only: has no meaning while the address is off: ...",
		}},
		{"a number", ok + "admin: 9901", []string{`2:8: admin.address: "9901" is only a port: ...`}},
		{"every address", ok + "admin: ':9901'", []string{`2:8: admin.address: ":9901" is not a loopback address: add 'tls', or 'insecure: true' if nobody can listen on that network`}},
		{"a network", ok + "admin: 10.0.0.1:9901", []string{`2:8: admin.address: "10.0.0.1:9901" is not a loopback address: ...`}},
		{"a socket", ok + "admin: unix:/run/x", []string{`2:8: admin.address: "unix:/run/x" is a Unix socket: there is one already, see 'mode' and 'group'; this is for host:port`}},
		{"a short token", ok + "admin: { address: '127.0.0.1:1', token: s3cr3t }", []string{
			"2:41: admin.token: it is shorter than 16 characters, so that it could be guessed: make one with 'openssl rand -hex 16'",
		}},
		{"a token with blanks", ok + "admin: { address: '127.0.0.1:1', token: 's3cr3t s3cr3t s3cr3t' }", []string{
			"2:41: admin.token: it has characters that a header cannot carry: use letters, digits and punctuation of ASCII",
		}},
		{"two tokens", ok + "admin: { address: '127.0.0.1:1', token: " + token + ", token_file: f }", []string{
			"2:81: admin.token_file: there is a 'token' too: remove one of the two",
		}},
		{"a token without TCP", ok + "admin: { token: " + token + ", insecure: true }", []string{
			"2:17: admin.token: is about TCP: give an 'address' or remove the key",
			"2:55: admin.insecure: is about TCP: ...",
		}},
		{"half of TLS", ok + "admin: { address: '127.0.0.1:1', tls: { cert: a } }", []string{"2:34: admin.tls.key: no key: the key is required"}},
		{"one address for all", ok + "admin: { address: localhost:1, health: localhost:1, metrics: localhost:1 }", []string{
			`2:40: admin.health: "localhost:1" is the same as 'address', which serves what it does too`,
			`2:62: admin.metrics: "localhost:1" is the same as 'address', which serves what it does too`,
		}},
		{"one address for two", ok + "admin: { health: ':1', metrics: ':1' }", []string{`2:33: admin.metrics: ":1" is the same as 'health': each has an address of its own`}},
		{"an address of a listener", ok + "listeners: [':8080']\nadmin: { address: 127.0.0.1:8080, health: 'localhost:8080', metrics: ':8080' }", []string{
			`3:19: admin.address: "127.0.0.1:8080" is the address of the listener at line 2`,
			`3:43: admin.health: "localhost:8080" is the address of the listener at line 2`,
			`3:70: admin.metrics: ":8080" is the address of the listener at line 2`,
		}},
		{"an endpoint of a backend", "admin: { address: 127.0.0.1:1, health: ':2', metrics: 127.0.0.1:3 }\nroutes: [{ backend: 'localhost:1' }, { path: /b, backend: 127.0.0.1:2 }, { path: /c, backend: '127.0.0.1:3' }]", []string{
			`2:21: routes[0].backend: "localhost:1" is the gateway's own 'admin' interface: its clients would be as near as this machine`,
			`2:59: routes[1].backend: "127.0.0.1:2" is the gateway's own 'admin' interface: ...`,
			`2:95: routes[2].backend: "127.0.0.1:3" is the gateway's own 'admin' interface: ...`,
		}},
		{"permissions", ok + "admin: { mode: '9', group: '' }", []string{
			`2:16: admin.mode: "9" is not a mode: write it in octal and in quotes, as in "0660"`,
			`2:28: admin.group: "" is empty: give it a value or remove the key`,
		}},
	})
	if _, err := parse(ok + "admin: { address: '127.0.0.1:0', health: '127.0.0.1:0', metrics: '127.0.0.1:0' }"); err != nil {
		t.Errorf("ports that the system chooses: %v", err)
	}
}
