package upgrade

import (
	"slices"
	"testing"
)

func TestOrigins(t *testing.T) {
	tests := []struct {
		name, pattern, origin, host string
		port                        string // as a proxy in front reports it
		secure, want                bool
	}{
		{name: "same", pattern: "same-origin", origin: "https://a.test", host: "a.test", secure: true, want: true},
		{name: "same, in any case", pattern: "same-origin", origin: "HTTPS://A.Test", host: "a.TEST", secure: true, want: true},
		{name: "same, default port written", pattern: "same-origin", origin: "https://a.test:443", host: "a.test", secure: true, want: true},
		{name: "same, default port in Host", pattern: "same-origin", origin: "https://a.test", host: "a.test:443", secure: true, want: true},
		{name: "same, empty port", pattern: "same-origin", origin: "https://a.test", host: "a.test:", secure: true, want: true},
		{name: "same, other port", pattern: "same-origin", origin: "https://a.test:8443", host: "a.test:8443", secure: true, want: true},
		{name: "same, trailing dot", pattern: "same-origin", origin: "https://a.test", host: "a.test.", secure: true, want: true},
		{name: "same, IPv4", pattern: "same-origin", origin: "http://127.0.0.1:8080", host: "127.0.0.1:8080", want: true},
		{name: "same, IPv6", pattern: "same-origin", origin: "https://[::1]:8443", host: "[::1]:8443", secure: true, want: true},
		{name: "same, IPv6 without port", pattern: "same-origin", origin: "https://[2001:DB8::1]", host: "[2001:db8::1]", secure: true, want: true},
		{name: "same, plain page over plain", pattern: "same-origin", origin: "http://a.test", host: "a.test", want: true},
		{name: "same, TLS ends at a proxy in front", pattern: "same-origin", origin: "https://a.test", host: "a.test", want: true},
		{name: "plain page over TLS", pattern: "same-origin", origin: "http://a.test", host: "a.test", secure: true},
		{name: "plain page over TLS on the same port", pattern: "same-origin", origin: "http://a.test:443", host: "a.test:443", secure: true},
		{name: "another port", pattern: "same-origin", origin: "https://a.test:444", host: "a.test", secure: true},
		{name: "http's port is not https's", pattern: "same-origin", origin: "https://a.test", host: "a.test:80", secure: true},
		{name: "another host", pattern: "same-origin", origin: "https://b.test", host: "a.test", secure: true},
		{name: "a name below", pattern: "same-origin", origin: "https://x.a.test", host: "a.test", secure: true},
		{name: "a name above", pattern: "same-origin", origin: "https://test", host: "a.test", secure: true},
		{name: "another scheme", pattern: "same-origin", origin: "ftp://a.test", host: "a.test"},
		{name: "extension page", pattern: "same-origin", origin: "chrome-extension://a.test", host: "a.test"},
		{name: "null is no host", pattern: "same-origin", origin: "null", host: "null", secure: true},
		{name: "no host", pattern: "same-origin", origin: "https://", host: ""},
		{name: "empty names", pattern: "same-origin", origin: "https://.", host: "."},
		{name: "user in Host", pattern: "same-origin", origin: "https://a.test", host: "x@a.test", secure: true},
		{name: "path in Host", pattern: "same-origin", origin: "https://a.test", host: "a.test/x", secure: true},

		{name: "same, on a port that only a proxy knows", pattern: "same-origin", origin: "https://a.test:8443", host: "a.test", port: "8443", secure: true, want: true},
		{name: "same, IPv6 on such a port", pattern: "same-origin", origin: "https://[::1]:8443", host: "[::1]", port: "8443", secure: true, want: true},
		{name: "same, on the default port beside the proxy's port", pattern: "same-origin", origin: "https://a.test", host: "a.test", port: "8443", secure: true, want: true},
		{name: "the proxy's port is not that of Host", pattern: "same-origin", origin: "https://a.test:8443", host: "a.test:9443", port: "8443", secure: true},
		{name: "neither port", pattern: "same-origin", origin: "https://a.test:9443", host: "a.test", port: "8443", secure: true},
		{name: "file is no host", pattern: "same-origin", origin: "file://", host: "", secure: true},

		{name: "exact", pattern: "https://a.test", origin: "https://a.test", want: true},
		{name: "exact, in any case", pattern: "HTTPS://A.test", origin: "https://a.TEST", want: true},
		{name: "exact, default port", pattern: "https://a.test:443", origin: "https://a.test", want: true},
		{name: "exact, trailing dot", pattern: "https://a.test", origin: "https://a.test.", want: true},
		{name: "exact, port", pattern: "http://a.test:8080", origin: "http://a.test:8080", want: true},
		{name: "exact, IPv6", pattern: "http://[::1]:8080", origin: "http://[::1]:8080", want: true},
		{name: "exact, extension page", pattern: "chrome-extension://abcdef", origin: "chrome-extension://abcdef", want: true},
		{name: "other scheme", pattern: "https://a.test", origin: "http://a.test"},
		{name: "other scheme on that port", pattern: "https://a.test", origin: "http://a.test:443"},
		{name: "other port", pattern: "https://a.test", origin: "https://a.test:8443"},
		{name: "the Host header does not count", pattern: "https://a.test", origin: "https://b.test", host: "b.test"},
		{name: "suffix", pattern: "https://a.test", origin: "https://a.test.evil.example"},
		{name: "prefix", pattern: "https://a.test", origin: "https://evila.test"},
		{name: "host as user", pattern: "https://a.test", origin: "https://a.test@evil.example"},
		{name: "user before the host", pattern: "https://a.test", origin: "https://evil@a.test"},
		{name: "host as password", pattern: "https://a.test", origin: "https://x:a.test@evil.example"},
		{name: "with a path", pattern: "https://a.test", origin: "https://a.test/"},
		{name: "with a query", pattern: "https://a.test", origin: "https://a.test?"},
		{name: "with a fragment", pattern: "https://a.test", origin: "https://a.test#"},
		{name: "host after a fragment", pattern: "https://a.test", origin: "https://evil.example#https://a.test"},
		{name: "backslash", pattern: "https://a.test", origin: `https://evil.example\a.test`},
		{name: "escape in the host", pattern: "https://a.test", origin: "https://a%2etest"},
		{name: "two dots at the end", pattern: "https://a.test", origin: "https://a.test.."},
		{name: "space", pattern: "https://a.test", origin: "https://a.test https://b.test"},
		{name: "no scheme", pattern: "https://a.test", origin: "a.test"},
		{name: "no scheme but slashes", pattern: "https://a.test", origin: "//a.test"},
		{name: "null for a host", pattern: "https://a.test", origin: "null"},

		{name: "below", pattern: "https://*.example.com", origin: "https://a.example.com", want: true},
		{name: "far below", pattern: "https://*.example.com", origin: "https://a.b.Example.com", want: true},
		{name: "below, port", pattern: "https://*.example.com:8443", origin: "https://a.example.com:8443", want: true},
		{name: "not the name itself", pattern: "https://*.example.com", origin: "https://example.com"},
		{name: "not within a label", pattern: "https://*.example.com", origin: "https://evilexample.com"},
		{name: "not an empty label", pattern: "https://*.example.com", origin: "https://.example.com"},
		{name: "not in the middle", pattern: "https://*.example.com", origin: "https://a.example.com.evil.example"},
		{name: "not with a user", pattern: "https://*.example.com", origin: "https://evil.example@a.example.com"},
		{name: "not another scheme", pattern: "https://*.example.com", origin: "http://a.example.com"},
		{name: "not another port", pattern: "https://*.example.com", origin: "https://a.example.com:444"},

		{name: "file", pattern: "file://", origin: "file://", want: true},
		{name: "file allows only file", pattern: "file://", origin: "null"},
		{name: "file has no path", pattern: "file://", origin: "file:///a.html"},
		{name: "file has no host", pattern: "file://", origin: "file://a.test"},
		{name: "null does not allow file", pattern: "null", origin: "file://"},
		{name: "null", pattern: "null", origin: "null", want: true},
		{name: "null allows only null", pattern: "null", origin: "https://a.test", host: "a.test"},
		{name: "null in upper case", pattern: "null", origin: "NULL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := ParseOrigin(tt.pattern)
			if err != nil {
				t.Fatal(err)
			}
			p := &Policy{Origins: []Origin{o}}
			refusal := p.Apply(&Request{Origin: tt.origin}, Site{Host: tt.host, Port: tt.port, Secure: tt.secure})
			if (refusal == nil) != tt.want || refusal != nil && refusal.Status != 403 {
				t.Errorf("%q allows %q to connect to %q (TLS %v): %v; want %v", tt.pattern, tt.origin, tt.host, tt.secure, refusal, tt.want)
			}
		})
	}
}

func TestParseOriginRefuses(t *testing.T) {
	for _, text := range []string{
		"", "*", "a.test", "*.a.test", "//a.test", "https:", "https://", "https://*", "https://*.", "https://.", "https://a.*", "https://a.*.test",
		"https://*a.test", "https://*.*.test", "*://a.test", "https://a.test/", "https://a.test/x", "https://a.test?q", "https://a.test#",
		"https://u@a.test", "https://a.test:*", "https://a.test:x", "https://[::1", "https://a b", "Same-Origin", "https://a.test, https://b.test",
	} {
		t.Run(text, func(t *testing.T) {
			if o, err := ParseOrigin(text); err == nil {
				t.Errorf("ParseOrigin(%q) = %+v; want an error", text, o)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	same, _ := ParseOrigin("same-origin")
	list, _ := ParseOrigin("https://app.test")
	tests := []struct {
		name       string
		policy     Policy
		q          Request
		status     int // 0 if it is allowed
		protocols  []string
		extensions string
	}{
		{name: "zero value", q: Request{Origin: "https://evil.test", Protocols: []string{"a"}, Extensions: "permessage-deflate"}, protocols: []string{"a"}, extensions: "permessage-deflate"},
		{name: "no browser", policy: Policy{Origins: []Origin{same}}, q: Request{Host: "a.test"}},
		{name: "one of several origins", policy: Policy{Origins: []Origin{same, list}}, q: Request{Host: "a.test", Origin: "https://app.test"}},
		{name: "none of several origins", policy: Policy{Origins: []Origin{same, list}}, q: Request{Host: "a.test", Origin: "https://evil.test"}, status: 403},
		{name: "subprotocols in the client's order", policy: Policy{Subprotocols: []string{"v1", "v2"}}, q: Request{Protocols: []string{"x", "v2", "v1"}}, protocols: []string{"v2", "v1"}},
		{name: "no common subprotocol", policy: Policy{Subprotocols: []string{"v1"}}, q: Request{Protocols: []string{"V1", "x"}}, status: 400},
		{name: "no subprotocol", policy: Policy{Subprotocols: []string{"v1"}}, status: 400},
		{name: "compression without takeover", policy: Policy{NoTakeover: true}, q: Request{Extensions: "permessage-deflate; client_max_window_bits, permessage-deflate; server_no_context_takeover; server_max_window_bits=10"},
			extensions: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits, permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10"},
		{name: "no compression without takeover", policy: Policy{NoTakeover: true}},
		{name: "compression stripped", policy: Policy{StripCompression: true}, q: Request{Extensions: "permessage-deflate", Protocols: []string{"a"}}, protocols: []string{"a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := tt.q
			refusal := tt.policy.Apply(&q, Site{Host: "a.test", Secure: true})
			if tt.status != 0 || refusal != nil {
				if refusal == nil || refusal.Status != tt.status {
					t.Errorf("Apply = %v; want status %d", refusal, tt.status)
				}
				return
			}
			if !slices.Equal(q.Protocols, tt.protocols) || q.Extensions != tt.extensions {
				t.Errorf("Apply left the subprotocols and extensions %q, %q; want %q, %q", q.Protocols, q.Extensions, tt.protocols, tt.extensions)
			}
		})
	}
}
