package route_test

import (
	"strings"
	"testing"

	"sluice/route"
)

func TestCleanHost(t *testing.T) {
	long := strings.Repeat("a.", 126) + "a" // 253 bytes
	tests := []struct {
		name, in, want string
		err            string // a part of the error
	}{
		{name: "name", in: "example.com", want: "example.com"},
		{name: "upper case", in: "ExAmple.COM", want: "example.com"},
		{name: "port", in: "example.com:8443", want: "example.com"},
		{name: "empty port", in: "example.com:", want: "example.com"},
		{name: "trailing dot", in: "example.com.", want: "example.com"},
		{name: "trailing dot and port", in: "example.com.:80", want: "example.com"},
		{name: "underscore and digits", in: "_dmarc.1-2.example", want: "_dmarc.1-2.example"},
		{name: "IPv4", in: "127.0.0.1:80", want: "127.0.0.1"},
		{name: "IPv6", in: "[::1]", want: "::1"},
		{name: "IPv6 with port", in: "[::1]:443", want: "::1"},
		{name: "IPv6 in another spelling", in: "[0:0::0001]", want: "::1"},
		{name: "IPv6 without brackets", in: "2001:DB8::1", want: "2001:db8::1"},
		{name: "no header, as in HTTP/1.0", in: "", want: ""},
		{name: "longest name", in: long + ".:65535", want: long},

		{name: "longer", in: long + "a", err: "longer than 253"},
		{name: "much longer", in: strings.Repeat("a", 8000), err: "longer than 253"},
		{name: "only a port", in: ":80", err: "empty label"},
		{name: "only a dot", in: ".", err: "empty label"},
		{name: "leading dot", in: ".example.com", err: "empty label"},
		{name: "two dots", in: "a..b", err: "empty label"},
		{name: "two trailing dots", in: "a..", err: "empty label"},
		{name: "bad port", in: "a:b", err: "bad port"},
		{name: "signed port", in: "a:+80", err: "bad port"},
		{name: "port too large", in: "a:65536", err: "bad port"},
		{name: "text behind a bracket", in: "[::1]x", err: "bad port"},
		{name: "port without a colon", in: "[::1]80", err: "bad port"},
		{name: "open bracket", in: "[::1", err: "no ']'"},
		{name: "IPv4 in brackets", in: "[127.0.0.1]", err: "not an IPv6 address"},
		{name: "zone", in: "[fe80::1%25eth0]", err: "not an IPv6 address"},
		{name: "two colons", in: "a:1:2", err: "not an IPv6 address"},
		{name: "wildcard", in: "*.example.com", err: "holds '*'"},
		{name: "escape", in: "ex%61mple.com", err: "holds '%'"},
		{name: "user", in: "me@example.com", err: "holds '@'"},
		{name: "path", in: "example.com/a", err: "holds '/'"},
		{name: "not ASCII", in: "café.example", err: "holds 'é'"},
		{name: "not ASCII, but its lower case is", in: "\u212aelvin.example", err: "punycode"},
		{name: "not UTF-8", in: "a\xff", err: "punycode"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := route.CleanHost(tt.in)
			if got != tt.want || !says(err, tt.err) {
				t.Errorf("CleanHost(%q) = %q, %v; want %q, error %q", tt.in, got, err, tt.want, tt.err)
			}
		})
	}
}

func FuzzCleanHost(f *testing.F) {
	for _, seed := range []string{"", "Example.com.:80", "[::FFFF:1.2.3.4]:1", "::1", "a:1:2", "a..b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, err := route.CleanHost(in)
		if err != nil {
			return
		}
		if again, err := route.CleanHost(host); again != host || err != nil {
			t.Errorf("CleanHost(%q) = %q, and of that %q, %v", in, host, again, err)
		}
		if strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") || strings.ContainsAny(host, "*/ []") || host != strings.ToLower(host) {
			t.Errorf("CleanHost(%q) = %q, which is no clean host", in, host)
		}
	})
}
