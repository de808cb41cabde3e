//go:build unix

package admin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketNames(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"a.yaml", "b.yaml"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a.yaml", "link.yaml"); err != nil {
		t.Fatal(err)
	}
	whole, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	same := []string{"a.yaml", "./a.yaml", "../" + filepath.Base(whole) + "/a.yaml", filepath.Join(whole, "a.yaml"), filepath.Join(whole, "x", "..", "a.yaml")}
	for _, config := range same {
		if got, want := SocketName(config), SocketName(same[0]); got != want {
			t.Errorf("SocketName(%q) = %s, want %s", config, got, want)
		}
	}
	for _, config := range []string{"b.yaml", "a.yml", "x/a.yaml", ""} {
		if got := SocketName(config); got == SocketName("a.yaml") {
			t.Errorf("SocketName(%q) = %s, which is that of another file", config, got)
		}
	}
	for _, config := range []string{"a/../../../x.yaml", "é ü/\n.yaml", strings.Repeat("x", 300) + ".yaml", ".yaml", "..", "/"} {
		if got := SocketName(config); strings.ContainsAny(got, "/ \n") || len(got) > 40 || !strings.HasSuffix(got, ".sock") {
			t.Errorf("SocketName(%q) = %q", config, got)
		}
	}
}

// A file that is reached through a link keeps its name when the link leads elsewhere: Kubernetes and
// deployment tools replace files so.
func TestSocketNamesOutliveLinks(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1", "2"} {
		mkdir(t, filepath.Join(dir, version), 0o755)
		if err := os.WriteFile(filepath.Join(dir, version, "sluice.yaml"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "current")
	if err := os.Symlink("1", link); err != nil {
		t.Fatal(err)
	}
	before := SocketName(filepath.Join(link, "sluice.yaml"))
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("2", link); err != nil {
		t.Fatal(err)
	}
	if after := SocketName(filepath.Join(link, "sluice.yaml")); after != before {
		t.Errorf("the name was %s and is %s: commands do not find the gateway any more", before, after)
	}
}

func TestRuntimeDirs(t *testing.T) {
	t.Setenv("TMPDIR", "/tmpdir")
	root := os.Geteuid() == 0
	tests := []struct {
		env        map[string]string
		root, user string
	}{
		{map[string]string{"RUNTIME_DIRECTORY": "/a"}, "/a", "/a"},
		{map[string]string{"RUNTIME_DIRECTORY": "/a:/b"}, "/a", "/a"},
		{map[string]string{"RUNTIME_DIRECTORY": "/a", "XDG_RUNTIME_DIR": "/x"}, "/a", "/a"},
		{map[string]string{"XDG_RUNTIME_DIR": "/x"}, "/run/sluice", "/x/sluice"},
		{nil, "/run/sluice", "/tmpdir/sluice-"},
	}
	for _, tt := range tests {
		want := tt.user
		if root {
			want = tt.root
		}
		if got := RuntimeDir(func(name string) string { return tt.env[name] }); !strings.HasPrefix(got, want) || !strings.HasSuffix(want, "-") && got != want {
			t.Errorf("RuntimeDir(%v) = %s, want %s", tt.env, got, want)
		}
	}
}
