package main

import (
	"regexp"
	"testing"
	"time"
)

var commit = time.Date(2026, 11, 27, 8, 13, 15, 0, time.UTC)

func TestPackageVersion(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"a tag", "v1.2.0", "1.2.0"},
		{"a tag for a candidate", "v1.2.0-rc.1", "1.2.0~rc.1"},
		{"after a tag", "v1.2.0-3-g4ba9979", "1.2.0+3.g4ba9979"},
		{"after a candidate", "v1.2.0-rc.1-3-g4ba9979", "1.2.0~rc.1+3.g4ba9979"},
		{"a tag, and changed files", "v1.2.0-dirty", "1.2.0+dirty"},
		{"after a tag, and changed files", "v1.2.0-3-g4ba9979-dirty", "1.2.0+3.g4ba9979+dirty"},
		{"no tag", "4ba9979", "0.0.0~20261127081315.4ba9979"},
		{"no tag, and changed files", "4ba9979-dirty", "0.0.0~20261127081315.4ba9979+dirty"},
		{"no git", "dev", "0.0.0~20261127081315.dev"},
		{"nothing", "", ""},
		{"another word in front", "release-1.2.0", ""},
		{"two numbers", "v1.2", ""},
		{"a letter that packages do not allow", "v1.2.0-rc_1", ""},
		{"a line break", "v1.2.0\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := packageVersion(tt.in, commit); got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("packageVersion(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

// What is a version is one that dpkg and rpm take.
func FuzzPackageVersion(f *testing.F) {
	for _, seed := range []string{"v1.2.0-rc.1-3-g4ba9979-dirty", "4ba9979-dirty", "v1.2", "v1.2.0-3"} {
		f.Add(seed)
	}
	valid := regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.+~]*$`)
	f.Fuzz(func(t *testing.T, described string) {
		if got, err := packageVersion(described, commit); err == nil && !valid.MatchString(got) {
			t.Fatalf("packageVersion(%q) = %q", described, got)
		}
	})
}
