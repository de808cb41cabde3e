package top

import (
	"strings"
	"testing"
)

func TestParseFilter(t *testing.T) {
	tests := []struct{ in, want, err string }{
		{in: "route=chat", want: "route=chat"},
		{in: "  route=chat   client=192.0.2.0/24 ", want: "client=192.0.2.0%2F24&route=chat"},
		{in: `route="a b" min_age=1h`, want: "min_age=1h&route=a+b"},
		{in: `"route=a b"`, want: "route=a+b"},
		{in: `route=""`, want: "route="},
		{in: "route==x", want: "route=%3Dx"},
		{in: "route=a route=b", want: "route=a&route=b"}, // the interface says what it thinks of that
		{in: "", want: ""},
		{in: "   ", want: ""},
		{in: "chat", err: `"chat" is no key=value`},
		{in: "=chat", err: `"=chat" is no key=value`},
		{in: `route="chat`, err: "not closed"},
		{in: "limit=5", err: "limit is no filter: the keys are route, backend"},
		{in: "sort=client", err: "sort is no filter"},
	}
	for _, tt := range tests {
		f, err := parseFilter(tt.in)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("parseFilter(%q): %v, want an error with %q", tt.in, err, tt.err)
			}
		case err != nil || f.parameters().Encode() != tt.want:
			t.Errorf("parseFilter(%q) = %q, %v; want %q", tt.in, f.parameters().Encode(), err, tt.want)
		}
	}
}

// What is read once is read again from what is shown of it.
func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{"", "route=chat client=192.0.2.0/24", `route="a b"`, `"`, "=", "a=b=c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := parseFilter(text)
		if err != nil {
			return
		}
		if again, err := parseFilter(first.String()); err != nil || again.parameters().Encode() != first.parameters().Encode() {
			t.Errorf("%q is %v, and as it is shown %v, %v", text, first.parameters(), again.parameters(), err)
		}
	})
}
