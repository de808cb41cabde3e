package config

import (
	"os"
	"testing"
)

func TestStateDirIsThatOfTheServiceUnlessTheFileHasOne(t *testing.T) {
	user := "/home/a/.local/state/sluice"
	if os.Geteuid() == 0 {
		user = "/var/lib/sluice"
	}
	tests := []struct {
		name, text string
		env        map[string]string
		want       string
	}{
		{"a user", ok, map[string]string{"HOME": "/home/a"}, user},
		{"a service", ok, map[string]string{"HOME": "/home/a", "STATE_DIRECTORY": "/var/lib/edge"}, "/var/lib/edge"},
		{"a service without a home", ok, map[string]string{"STATE_DIRECTORY": "/var/lib/edge"}, "/var/lib/edge"},
		{"a service with two directories", ok, map[string]string{"STATE_DIRECTORY": "/var/lib/edge:/var/lib/edge/acme"}, "/var/lib/edge"},
		{"an empty variable", ok, map[string]string{"HOME": "/home/a", "STATE_DIRECTORY": ""}, user},
		{"a relative path, which systemd never sets", ok, map[string]string{"HOME": "/home/a", "STATE_DIRECTORY": "edge"}, user},
		{"the file has one", "state_dir: /s\n" + ok, map[string]string{"STATE_DIRECTORY": "/var/lib/edge"}, "/s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions()
			o.Getenv = func(name string) (string, bool) {
				value, ok := tt.env[name]
				return value, ok
			}
			c, err := Parse("f", []byte(tt.text), o)
			if err != nil || c.StateDir != tt.want {
				t.Errorf("Parse(%q) with %v = state_dir %q, %v; want %q", tt.text, tt.env, c.StateDir, err, tt.want)
			}
		})
	}
}
