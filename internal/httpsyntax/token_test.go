package httpsyntax_test

import (
	"net/http"
	"testing"

	"sluice/internal/httpsyntax"
)

func TestIsToken(t *testing.T) {
	tests := []struct {
		name, in string
		want     bool
	}{
		{name: "letters and digits", in: "Sec9", want: true},
		{name: "every other byte", in: "!#$%&'*+-.^_`|~", want: true},
		{name: "empty", in: ""},
		{name: "space", in: "a b"},
		{name: "separator", in: "a,b"},
		{name: "quote", in: `"a"`},
		{name: "control character", in: "a\n"},
		{name: "not ASCII", in: "é"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := httpsyntax.IsToken(tt.in); got != tt.want {
				t.Errorf("IsToken(%q) = %v; want %v", tt.in, got, tt.want)
			}
		})
	}
}

// FuzzIsToken: a token is what net/http takes for a method.
func FuzzIsToken(f *testing.F) {
	for _, seed := range []string{"", "GET", "a b", "X-é", "~`|"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, err := http.NewRequest(s, "/", nil)
		if got, want := httpsyntax.IsToken(s), err == nil && s != ""; got != want { // net/http takes "" for GET
			t.Errorf("IsToken(%q) = %v; NewRequest says %v", s, got, err)
		}
	})
}

func BenchmarkIsToken(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		httpsyntax.IsToken("Sec-WebSocket-Extensions")
	}
}
