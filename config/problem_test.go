package config

import (
	"errors"
	"strings"
	"testing"
)

// problems are a text and what is wrong with it: whole lines without the file, or their beginnings when
// they end in "...".
type problems struct {
	name, text string
	want       []string
}

// expectProblems parses files that have all these problems, and no others.
func expectProblems(t *testing.T, all []problems) {
	t.Helper()
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.text)
			lines := make([]string, len(tt.want))
			for i, line := range tt.want {
				lines[i] = "f:" + line
			}
			expectLines(t, err, lines)
		})
	}
}

// expectLines fails the test unless err has these lines, each whole or its beginning when it ends in
// "...".
func expectLines(t *testing.T, err error, all []string) {
	t.Helper()
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("there is no problem, but %v; want %q", err, all)
	}
	for i := range max(len(problems), len(all)) {
		var got, want string
		if i < len(problems) {
			got = problems[i].Error()
		}
		if i < len(all) {
			want = all[i]
		}
		if beginning, cut := strings.CutSuffix(want, "..."); got != want && !(cut && strings.HasPrefix(got, beginning)) {
			t.Errorf("problem %d:\n got %s\nwant %s", i, got, want)
		}
	}
	if strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("a secret is in the message: %v", err)
	}
}
