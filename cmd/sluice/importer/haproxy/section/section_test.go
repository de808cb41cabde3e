package section

import (
	"slices"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer"
)

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string
	}{
		{`  bind *:80	ssl # all`, []string{"bind", "*:80", "ssl"}},
		{`a "b c" 'd "e'"f"`, []string{"a", "b c", `d "ef`}},
		{`a\ b \# \\ x\.y`, []string{"a b", "#", `\`, `x\.y`}},
		{`"a\"b" 'a\b'`, []string{`a"b`, `a\b`}},
		{`x\x41\t ""`, []string{"xA\t", ""}},
		{`# nothing`, nil},
	} {
		l := Line{}
		if err := l.split(tt.line); err != nil || !slices.Equal(l.Words, tt.want) {
			t.Errorf("%s: words %q, %v; want %q", tt.line, l.Words, err, tt.want)
		}
	}
}

func TestDefaultsHoldForWhatFollows(t *testing.T) {
	text := `
defaults base
	mode http
frontend a
	bind :80
defaults from base
	retries 2
backend b
	server s x:1
backend c from base
global
	maxconn 9
`
	sections, err := Read(importer.Source{Files: []importer.File{{Name: "haproxy.cfg", Text: text}}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sections {
		var lines []string
		for _, l := range s.Lines {
			lines = append(lines, l.Text)
		}
		got = append(got, s.Kind+" "+s.Name+": "+strings.Join(lines, ", "))
	}
	want := []string{"frontend a: mode http, bind :80", "backend b: mode http, retries 2, server s x:1", "backend c: mode http", "global : maxconn 9"}
	if !slices.Equal(got, want) {
		t.Errorf("sections %q, want %q", got, want)
	}
}
