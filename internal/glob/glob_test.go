package glob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x[1]*")
	for _, name := range []string{"a/1.conf", "a/2.conf", "a/2.txt", "b/1.conf", "1.conf"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string][]string{
		"*.conf":     {"1.conf"},
		"*/*.conf":   {"a/1.conf", "a/2.conf", "b/1.conf"},
		"a/[12].*":   {"a/1.conf", "a/2.conf", "a/2.txt"},
		"a/1.conf":   {"a/1.conf"},
		"*/1.conf":   {"a/1.conf", "b/1.conf"},
		"c/*.conf":   nil,
		"1.conf/*":   nil,
		"a/3.conf":   nil,
		"missing/3?": nil,
	} {
		names, err := Names(filepath.Join(Literally(dir), filepath.FromSlash(pattern)))
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		for i, name := range names {
			rel, err := filepath.Rel(dir, name)
			if err != nil {
				t.Fatal(err)
			}
			names[i] = filepath.ToSlash(rel)
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s names %q; want %q", pattern, names, want)
		}
	}
	if _, err := Names("[a"); !errors.Is(err, filepath.ErrBadPattern) {
		t.Errorf("a pattern that is none: %v", err)
	}
}

// Where a directory cannot be read, nobody knows what is in it; a name in it is known all the same.
func TestNamesThatCannotBeKnown(t *testing.T) {
	if os.Getuid() <= 0 {
		t.Skip("root may read everything, and Windows has no such mode")
	}
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	if err := errors.Join(os.Mkdir(closed, 0o755), os.WriteFile(filepath.Join(closed, "a"), nil, 0o644), os.Chmod(closed, 0o311)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(closed, 0o755) }) // to be removed
	for _, pattern := range []string{"closed/*", "*/*", "closed/a*"} {
		if names, err := Names(filepath.Join(dir, pattern)); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s names %q, %v; want that it is not permitted", pattern, names, err)
		}
	}
	if names, err := Names(filepath.Join(closed, "a")); len(names) != 1 || err != nil {
		t.Errorf("the name of a file: %q, %v", names, err)
	}
}
