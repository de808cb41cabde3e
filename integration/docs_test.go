package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that a page of the documentation names is there.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, "_test.go") {
			sources.WriteString(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	named := 0
	for _, page := range pages {
		for _, name := range regexp.MustCompile("`Test[A-Za-z0-9]+`").FindAllString(read(t, page), -1) {
			named++
			if name = strings.Trim(name, "`"); !strings.Contains(sources.String(), "\nfunc "+name+"(") {
				t.Errorf("%s names %s, which is not there", page, name)
			}
		}
	}
	if named == 0 {
		t.Error("no page names a test")
	}
}
