package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"gopkg.in/yaml.v3"
)

// Each link of a page that is installed leads to a file that is installed too.
func TestLinksOfInstalledDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files func(t *testing.T) fs.FS
	}{
		{"archives", archived},
		{"the package for Debian", func(t *testing.T) fs.FS { return packaged(t, "deb") }},
		{"the package with RPM", func(t *testing.T) fs.FS { return packaged(t, "rpm") }},
		{"make install", installed},
	}
	link := regexp.MustCompile(`\]\(([^)#\s]+)`)
	code := regexp.MustCompile("(?s)```.*?```")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			files, links := test.files(t), 0
			err := fs.WalkDir(files, ".", func(page string, _ fs.DirEntry, err error) error {
				if err != nil || path.Ext(page) != ".md" {
					return err
				}
				text, err := fs.ReadFile(files, page)
				for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
					if strings.Contains(m[1], "://") {
						continue
					}
					links++
					if _, err := fs.Stat(files, path.Join(path.Dir(page), m[1])); err != nil {
						t.Errorf("%s links to %s: %v", page, m[1], err)
					}
				}
				return err
			})
			if err != nil || links == 0 {
				t.Errorf("%d links in the pages, and %v; want links", links, err)
			}
		})
	}
}

// archived returns the documents of an archive.
func archived(t *testing.T) fs.FS {
	r, dir := release{source: filepath.Join("..", "..")}, t.TempDir()
	if err := r.stageDocuments(dir); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(dir)
}

// packaged returns the documents that nfpm.yaml puts into a package.
func packaged(t *testing.T, packager string) fs.FS {
	text, err := os.ReadFile("../nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Contents []struct{ Src, Dst, Packager string }
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	files := make(fstest.MapFS)
	for _, c := range config.Contents {
		name, ok := strings.CutPrefix(c.Dst, "/usr/share/doc/sluice/")
		if !ok || c.Src == "" || c.Packager != "" && c.Packager != packager {
			continue
		}
		sources, err := filepath.Glob(filepath.Join("..", "..", c.Src)) // none of what is staged
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range sources {
			content, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			to := name
			if strings.HasSuffix(name, "/") {
				to += filepath.Base(source)
			}
			files[to] = &fstest.MapFile{Data: content}
		}
	}
	return files
}

// installed returns the documents that make install puts below PREFIX.
func installed(t *testing.T) fs.FS {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("it needs make")
	}
	dir := t.TempDir()
	cmd := exec.Command("make", "-C", filepath.Join("..", ".."), "install-documents", "DESTDIR="+dir, "PREFIX=/usr")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return os.DirFS(filepath.Join(dir, "usr", "share", "doc", "sluice"))
}
