package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	for _, text := range []string{"first", "second, which is longer", ""} {
		if err := Replace(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != text {
			t.Errorf("read %q, %v; want %q", got, err, text)
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
			t.Errorf("the file is %v, %v; want mode 0600", info, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want the file alone", entries, err)
	}
	if err := Replace(filepath.Join(dir, "missing", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Replace in a directory that does not exist = %v", err)
	}
}

func TestRewriteKeepsModeAndLinks(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "f"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(file, 0o664), os.Symlink("f", link)); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	if err := Rewrite(link, []byte("second"), 0o777); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "second" {
		t.Errorf("read %q, %v", got, err)
	}
	if info, err := os.Lstat(file); err != nil || info.Mode() != 0o664 {
		t.Errorf("the file is %v, %v; want mode 0664", info, err)
	}
	if to, err := os.Readlink(link); err != nil || to != "f" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the directory holds %v, %v; want the file and the link", entries, err)
	}
	if err := Rewrite(filepath.Join(dir, "missing"), nil, 0o777); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Rewrite of a file that does not exist = %v", err)
	}
}

func TestCreateKeepsAFileThatExists(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := Create(file, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(file, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Create = %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "first" {
		t.Errorf("read %q, %v", got, err)
	}
}
