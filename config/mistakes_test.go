package config

import (
	"strings"
	"testing"
)

// mistake is what people write who know other proxies better, or YAML less, and what they are told:
// whole lines without the name of the file. What only the whole gateway can find is in the table of
// package main.
type mistake struct {
	name, text string
	want       string // lines
}

// expectMistakes parses files that have these mistakes and no others.
func expectMistakes(t *testing.T, all []mistake) {
	t.Helper()
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.text)
			if err == nil {
				t.Fatalf("parse(%q) found no problem; want%s", tt.text, tt.want)
			}
			got := "\n" + strings.ReplaceAll("\n"+err.Error(), "\nf:", "\n")[1:]
			if got != tt.want {
				t.Errorf("%s\nhas these problems:%s\nwant:%s", tt.text, got, tt.want)
			}
		})
	}
}
