package demo

import (
	"strings"
	"testing"
)

func TestConfigQuotesWhatItIsGiven(t *testing.T) {
	got := string(Config("127.0.0.1:8080", "[::1]:8443", "127.0.0.1:9", `/tmp/a "${HOME}": #b`))
	for _, want := range []string{
		"  - address: \"127.0.0.1:8080\"\n",
		"  - address: \"[::1]:8443\"\n    tls: true\n",
		"    endpoints: [\"127.0.0.1:9\"]\n",
		"state_dir: \"/tmp/a \\\"$${HOME}\\\": #b\"\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("Config lacks %q:\n%s", want, got)
		}
	}
}
