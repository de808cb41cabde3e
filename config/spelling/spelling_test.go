package spelling_test

import (
	"strings"
	"testing"

	"sluice/config/spelling"
)

func TestAdvice(t *testing.T) {
	tests := []struct {
		name, text string
		check      func(string) (string, string)
		want       string
	}{
		{name: "name that is not ASCII", text: "café.test", check: spelling.Name, want: `, as in "xn--caf-dma.test"`},
		{name: "wildcard that is not ASCII", text: "*.café.test", check: spelling.Pattern, want: `, as in "*.xn--caf-dma.test"`},
		{name: "origin that is not ASCII", text: "https://*.café.test", check: spelling.Origin, want: `, as in "https://*.xn--caf-dma.test"`},
		{name: "origin without a scheme", text: "app.test", check: spelling.Origin, want: `, did you mean "https://app.test"?`},
		{name: "no name in any spelling", text: "é b", check: spelling.Name, want: ""},
		{name: "another mistake", text: "a..b", check: spelling.Name, want: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, wrong := tt.check(tt.text)
			if got := spelling.Advice(tt.text, wrong); wrong == "" || got != tt.want {
				t.Errorf("Advice(%q, %q) = %q; want %q", tt.text, wrong, got, tt.want)
			}
		})
	}
}

func TestSameSocket(t *testing.T) {
	tests := []struct {
		name, network, listener, address string
		want                             bool
	}{
		{name: "the same", network: "tcp", listener: "10.0.0.1:80", address: "10.0.0.1:80", want: true},
		{name: "another port", network: "tcp", listener: "10.0.0.1:80", address: "10.0.0.1:81"},
		{name: "all addresses", network: "tcp", listener: ":80", address: "127.0.0.1:80", want: true},
		{name: "all addresses of IPv4", network: "tcp", listener: "0.0.0.0:80", address: "localhost:80", want: true},
		{name: "all addresses, another machine", network: "tcp", listener: ":80", address: "10.0.0.1:80"},
		{name: "localhost by its address", network: "tcp", listener: "localhost:80", address: "[::1]:80", want: true},
		{name: "another loopback address", network: "tcp", listener: "127.0.0.1:80", address: "127.0.0.2:80"},
		{name: "any free port", network: "tcp", listener: "127.0.0.1:0", address: "127.0.0.1:0"},
		{name: "path", network: "unix", listener: "/a", address: "/a", want: true},
		{name: "another path", network: "unix", listener: "/a", address: "/b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := spelling.SameSocket(tt.network, tt.listener, tt.address); got != tt.want {
				t.Errorf("SameSocket(%q, %q, %q) = %v; want %v", tt.network, tt.listener, tt.address, got, tt.want)
			}
		})
	}
}

// FuzzSpelling: a text in its one spelling stays in it.
func FuzzSpelling(f *testing.F) {
	for _, seed := range []string{"", "A.b.", "*.a", "[::1]", "::1", "a:80", "unix:/a/../b", "HTTPS://*.A.:443", "null", "10.0.0.0/8", "::ffff:1.2.3.4/100", "TEXT/*", "é"} {
		f.Add(seed)
	}
	checks := map[string]func(string) (string, string){
		"Name": spelling.Name, "Pattern": spelling.Pattern, "Host": spelling.Host, "Origin": spelling.Origin, "MediaTypes": spelling.MediaTypes,
		"Network": func(text string) (string, string) {
			network, wrong := spelling.Network(text)
			return network.String(), wrong
		},
		"Address": func(text string) (string, string) {
			network, address, wrong := spelling.Address(text)
			if network == "unix" {
				address = "unix:" + address
			}
			return address, wrong
		},
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, check := range checks {
			clean, wrong := check(text)
			if wrong != "" {
				continue
			}
			if again, wrong := check(clean); again != clean || wrong != "" {
				t.Errorf("%s(%q) = %q, of which it makes %q (%s)", name, text, clean, again, wrong)
			}
			if name != "Network" && strings.ToLower(clean) != clean && !strings.HasPrefix(clean, "unix:") && !strings.Contains(clean, "%") {
				t.Errorf("%s(%q) = %q, which is not in lower case", name, text, clean)
			}
		}
	})
}

func BenchmarkOrigin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		spelling.Origin("https://*.example.com:8443")
	}
}
