package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParts(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "[]"},
		{"plain", "[plain]"},
		{"{route}", "[<route>]"},
		{"a {route}b{host}", "[a  <route> b <host>]"},
		{"{{route}}", "[{route}]"},
		{"{{{route}}}", "[{{route}}]"},
		{`{"a": {"b": 1}}`, `[{"a": {"b": 1}}]`},
		{"{", "[{]"},
		{"{}", "[{}]"},
		{"{Route}", "[{Route}]"},
		{"{route", "[{route]"},
		{"{{route}", "[{ <route>]"},
		{"{a{route}", "[{a <route>]"},
	}
	for _, tt := range tests {
		var got []string
		for _, p := range Parts(tt.in) {
			if p.Variable {
				p.Text = "<" + p.Text + ">"
			}
			got = append(got, p.Text)
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("Parts(%q) = %v, want %s", tt.in, got, tt.want)
		}
	}
}

// FuzzParts: the parts of a value without double braces, put together again, are that value.
func FuzzParts(f *testing.F) {
	for _, s := range []string{"", "{route}", "{{a}}", "x{y}z{", `{"a":{}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var again strings.Builder
		for i, p := range Parts(s) {
			switch {
			case p.Variable && strings.Trim(p.Text, "abcdefghijklmnopqrstuvwxyz_") != "" || p.Text == "":
				t.Fatalf("Parts(%q) has the part %+v", s, p)
			case p.Variable:
				again.WriteString("{" + p.Text + "}")
			case i > 0 && !Parts(s)[i-1].Variable:
				t.Fatalf("Parts(%q) has two texts in a row", s)
			default:
				again.WriteString(p.Text)
			}
		}
		if !strings.Contains(s, "{{") && again.String() != s {
			t.Fatalf("Parts(%q) is put together as %q", s, &again)
		}
	})
}

func TestVariablesAreWords(t *testing.T) {
	for _, name := range Variables() {
		if want := []Part{{Text: name, Variable: true}}; !slices.Equal(Parts("{"+name+"}"), want) {
			t.Errorf("Parts({%s}) is not the variable", name)
		}
	}
}
