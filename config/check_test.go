package config

import "testing"

func TestProblemsOfLists(t *testing.T) {
	expectProblems(t, []problems{
		{"trusted proxies", ok + "trusted_proxies: [a, 10.0.0.1/8, '::ffff:10.0.0.0/104', '::ffff:1.2.3.4', 'fe80::1%eth0', 10.0.0.0/33, '::1', '::1/128', {}, 'unix:/run/a']", []string{
			`2:19: trusted_proxies[0]: "a" is not an IP address or network, as in 10.0.0.0/8`,
			`2:22: trusted_proxies[1]: "10.0.0.1/8" has bits set behind its first 8`,
			`2:34: trusted_proxies[2]: "::ffff:10.0.0.0/104" is IPv4 in the form of IPv6: write it as IPv4`,
			`2:57: trusted_proxies[3]: "::ffff:1.2.3.4" is IPv4 in the form of IPv6: write it as IPv4`,
			`2:75: trusted_proxies[4]: "fe80::1%eth0" is not an IP address or network, as in 10.0.0.0/8`,
			`2:91: trusted_proxies[5]: "10.0.0.0/33" is not an IP address or network, as in 10.0.0.0/8`,
			`2:111: trusted_proxies[7]: "::1/128" is listed twice, first at line 2`,
			`2:122: trusted_proxies[8]: expected an address or network, found a mapping: a text that begins with '{' needs quotes`,
			`2:126: trusted_proxies[9]: "unix:/run/a" is not the word unix, which stands for the proxies on all Unix sockets`,
		}},
		{"redact", ok + "log: { redact: ['', a=b, a, a] }", []string{
			`2:17: log.redact[0]: "" is not the name of a query parameter`,
			`2:21: log.redact[1]: "a=b" is not the name of a query parameter`,
			`2:29: log.redact[3]: "a" is listed twice, first at line 2`,
		}},
	})
}
