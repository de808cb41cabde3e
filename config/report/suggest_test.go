package report

import (
	"slices"
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	tests := []struct {
		name, word string
		candidates []string
		want       string
	}{
		{"letter missing", "bakend", []string{"files", "backend"}, `, did you mean "backend"?`},
		{"letters swapped", "chta", []string{"cart", "chat"}, `, did you mean "chat"?`},
		{"letter too many", "hostt", []string{"host"}, `, did you mean "host"?`},
		{"other letters", "rewrote", []string{"redirect", "rewrite"}, `, did you mean "rewrite"?`},
		{"nothing near", "colour", []string{"path", "host"}, ""},
		{"nothing at all", "a", nil, ""},
		{"empty", "", []string{"path"}, ""},
		{"as long as is compared", strings.Repeat("a", 64), []string{strings.Repeat("a", 63)}, `, did you mean "` + strings.Repeat("a", 63) + `"?`},
		{"too long", strings.Repeat("a", 65), []string{strings.Repeat("a", 65)}, ""},
		{"too long a candidate", strings.Repeat("a", 64), []string{strings.Repeat("a", 65)}, ""},
		{"behind too many", "chta", append(slices.Repeat([]string{"x"}, mostTried), "chat"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Suggest(tt.word, slices.Values(tt.candidates)); got != tt.want {
				t.Errorf("Suggest(%q, %.60q) = %q; want %q", tt.word, tt.candidates, got, tt.want)
			}
		})
	}
}
