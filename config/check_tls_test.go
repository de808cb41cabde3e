package config

import "testing"

func TestProblemsOfTLS(t *testing.T) {
	expectProblems(t, []problems{
		{"NUL in a file name", ok + "tls: { certificates: [{ cert: \"a\\0\", key: k }] }", []string{`2:31: tls.certificates[0].cert: "a\x00" has a NUL byte`}},
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
		{"acme key file that is empty", ok + "tls: { acme: { eab: { key_id: k, hmac_key_file: empty } } }", []string{
			`2:49: tls.acme.eab.hmac_key_file: "empty" is a file with nothing in it: write the value into it`}},
		{"acme key file with two keys", ok + "tls: { acme: { eab: { key_id: k, hmac_key_file: keys } } }", []string{
			`2:49: tls.acme.eab.hmac_key_file: the key is not base64url, as CAs give it out`}},
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
	})
}
