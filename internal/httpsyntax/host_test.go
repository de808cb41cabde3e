package httpsyntax

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestCheckLabel(t *testing.T) {
	tests := []struct {
		name, in string
		want     error
	}{
		{name: "name", in: "Example-1"},
		{name: "only a digit", in: "1"},
		{name: "service", in: "_ws"},
		{name: "longest", in: strings.Repeat("a", 63)},
		{name: "empty", in: "", want: errEmptyLabel},
		{name: "too long", in: strings.Repeat("a", 64), want: errLongLabel},
		{name: "hyphen first", in: "-a", want: errHyphen},
		{name: "hyphen last", in: "a-", want: errHyphen},
		{name: "not ASCII", in: "café", want: ErrNotASCII},
		{name: "not UTF-8", in: "a\xff", want: ErrNotASCII},
		{name: "not ASCII, though its lower case is", in: "\u212aelvin", want: ErrNotASCII},
		{name: "dot", in: "a.b", want: errNotName},
		{name: "space", in: "a b", want: errNotName},
		{name: "star", in: "*", want: errNotName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := CheckLabel(tt.in); !errors.Is(err, tt.want) {
				t.Errorf("CheckLabel(%q) = %v; want %v", tt.in, err, tt.want)
			}
		})
	}
}

func TestBracket(t *testing.T) {
	for in, want := range map[string]string{"a.test": "a.test", "10.0.0.1": "10.0.0.1", "::1": "[::1]", "": ""} {
		if got := Bracket(in); got != want {
			t.Errorf("Bracket(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestDefaultPort(t *testing.T) {
	for in, want := range map[string]string{"http": "80", "https": "443", "ftp": "", "": ""} {
		if got := DefaultPort(in); got != want {
			t.Errorf("DefaultPort(%q) = %q; want %q", in, got, want)
		}
	}
}

// FuzzCheckLabel: a good label is the host of a URL as it stands.
func FuzzCheckLabel(f *testing.F) {
	for _, seed := range []string{"", "a-b", "-a", "é", "_a", "A", strings.Repeat("a", 64)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, label string) {
		if CheckLabel(label) != nil {
			return
		}
		if u, err := url.Parse("http://" + label + ".test:1/"); err != nil || u.Host != label+".test:1" {
			t.Errorf("CheckLabel(%q) finds nothing, but it is no part of a host: %v, %v", label, u, err)
		}
	})
}
