package listen

import (
	"path/filepath"
	"testing"
)

// A redirect to https needs a port, also where the first listener with TLS has none.
func TestHTTPSPort(t *testing.T) {
	plain := Options{Address: "127.0.0.1:0"}
	socket := Options{Address: "unix:" + filepath.Join(t.TempDir(), "s"), Settings: Settings{TLS: true}}
	secure := Options{Address: "127.0.0.1:0", Settings: Settings{TLS: true}}
	tests := []struct {
		name string
		all  []Options
		of   string // key of the listener whose port it is; "" for none
	}{
		{"plain only", []Options{plain}, ""},
		{"a unix socket only", []Options{plain, socket}, ""},
		{"a unix socket first", []Options{plain, socket, secure, secure}, "127.0.0.1:0 1"},
		{"a port first", []Options{secure, socket, plain}, "127.0.0.1:0 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := NewSet(Env{}).Open(tt.all)
			defer c.Cancel()
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			want := ""
			if tt.of != "" {
				want = c.next[tt.of].port()
			}
			if got := c.HTTPSPort(); got != want {
				t.Errorf("HTTPSPort = %q, want %q", got, want)
			}
		})
	}
}
