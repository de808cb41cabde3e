package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The same commit gives the same bytes, wherever and whenever it is built.
func TestArchiveIsTheSameTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the gateway twice")
	}
	var sums []string
	for i := range 2 {
		if i == 1 { // what is the builder's own changes nothing
			for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
				value, err := exec.Command("go", "env", name).Output()
				if err != nil {
					t.Fatal(err)
				}
				t.Setenv(name, strings.TrimSpace(string(value)))
			}
			t.Setenv("HOME", t.TempDir())
			t.Setenv("TZ", "Asia/Tokyo")
		}
		r := release{source: filepath.Join("..", ".."), version: "v1.2.0", time: commit, maintainer: "A <a@example.com>", platforms: []platform{{"linux", "amd64"}}, out: t.TempDir(), stage: t.TempDir()}
		p := r.platforms[0]
		var err error
		if r.pinned, err = r.toolchain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.stageShared(t.Context()), r.build(t.Context(), p), r.archive(p)); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(r.out, "sluice_1.2.0_linux_amd64.tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		names := namesIn(t, content)
		for _, want := range []string{"sluice", "LICENSE", "LICENSES.txt", "README.md", "config.example.yaml", "sluice.schema.json", "man1/sluice-run.1", "completions/sluice.bash", "packaging/systemd/sluice.service", "packaging/systemd/sluice.socket", "packaging/systemd/notify-reload.conf", "docs/configuration.md"} {
			if !slices.Contains(names, "sluice_1.2.0_linux_amd64/"+want) {
				t.Errorf("the archive has %q, want %s among them", names, want)
			}
		}
		sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(content)))
	}
	if sums[0] != sums[1] {
		t.Errorf("two archives of one commit have the SHA-256 sums %s and %s", sums[0], sums[1])
	}
}

// namesIn returns the names of the files of a compressed tar.
func namesIn(t *testing.T, content []byte) (names []string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(commit) || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s is of %v and user %d %q; want %v, 0 and no name", h.Name, h.ModTime, h.Uid, h.Uname, commit)
		}
		if want := strings.HasSuffix(h.Name, "/sluice"); want != (h.Mode&0o111 != 0) {
			t.Errorf("%s has the mode %o", h.Name, h.Mode)
		}
		names = append(names, h.Name)
	}
}

func TestZipKeepsTimesAndModes(t *testing.T) {
	content, err := zipped("a", []file{{name: "sluice.exe", content: []byte("MZ"), executable: true}, {name: "docs/b.md", content: []byte("b")}}, commit)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{"a/sluice.exe": 0o755, "a/docs/b.md": 0o644}
	for _, f := range r.File {
		if f.Mode() != want[f.Name] || !f.Modified.Equal(commit) {
			t.Errorf("%s has the mode %v and is of %v; want %v and %v", f.Name, f.Mode(), f.Modified, want[f.Name], commit)
		}
	}
	if len(r.File) != len(want) {
		t.Errorf("the archive has %d files, want %d", len(r.File), len(want))
	}
}

func TestLicensesAreThoseOfAllModules(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a/LICENSE": "MIT\n", "a/a.go": "package a", "b/COPYING.md": "BSD", "b/NOTICE": "by B", "c/README": "c"} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	dirs := map[string]string{"example.com/b v2": filepath.Join(dir, "b"), "example.com/a v1": filepath.Join(dir, "a")}
	got, err := joinLicenses(dirs)
	want := "\n\n==== example.com/a v1: LICENSE\n\nMIT\n\n\n==== example.com/b v2: COPYING.md\n\nBSD\n\n\n==== example.com/b v2: NOTICE\n\nby B\n"
	if err != nil || !strings.HasSuffix(string(got), want) {
		t.Errorf("joinLicenses(%v) = %q, %v; want %q at its end", dirs, got, err, want)
	}
	dirs["example.com/c v3"] = filepath.Join(dir, "c")
	if _, err := joinLicenses(dirs); err == nil || !strings.Contains(err.Error(), "example.com/c v3") {
		t.Errorf("joinLicenses(%v) = %v, want an error that names the module without a license", dirs, err)
	}
}

func TestPlatformsThatCannotBeRead(t *testing.T) {
	var r release
	if err := r.setPlatforms("linux_amd64,windows"); err == nil || !strings.Contains(err.Error(), `"windows"`) {
		t.Errorf(`setPlatforms("linux_amd64,windows") = %v, want an error that names "windows"`, err)
	}
}
