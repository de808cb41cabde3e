//go:build unix

package config

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Root reads no file that somebody else can change; other users read what they may.
func TestRootIncludesNoFileOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who alone can give files away")
	}
	tests := []struct {
		name     string
		mode     os.FileMode
		uid, gid int
		want     string // what is wrong
	}{
		{name: "of root", mode: 0o644},
		{name: "of root's group", mode: 0o664},
		{name: "of another group that reads it", mode: 0o640, gid: 12345},
		{name: "of another group that writes it", mode: 0o660, gid: 12345, want: "can be written by others, and sluice runs as root: chmod go-w"},
		{name: "of everybody", mode: 0o666, want: "can be written by others, and sluice runs as root: chmod go-w"},
		{name: "of another user", mode: 0o600, uid: 12345, want: "belongs to another user, and sluice runs as root: chown root"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file, part := filepath.Join(dir, "sluice.yaml"), filepath.Join(dir, "a.yaml")
			if err := os.WriteFile(file, []byte("include: a.yaml\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(part, []byte("routes: [{ respond: 200 }]\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(part, tt.uid, tt.gid); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(part, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := Load(file)
			if tt.want == "" {
				if err != nil {
					t.Errorf("Load = %v; want no problem", err)
				}
				return
			}
			expectLines(t, err, []string{file + ":1:1: routes: no routes: the key is required", file + ":1:10: include: " + part + " " + tt.want})
		})
	}
}

// What is in a directory that cannot be read would be missing, and other routes take its requests.
func TestADirectoryThatCannotBeReadIsNotLeftOut(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("conf.d", filepath.Join(dir, "conf.d")); err != nil { // which root cannot read either
		t.Fatal(err)
	}
	for _, tt := range []struct{ pattern, wrong string }{
		{"conf.d/*.yaml", "names files in a directory that cannot be read: too many levels of symbolic links"},
		{"conf*/*.yaml", "names files in a directory that cannot be read: too many levels of symbolic links"},
		{"[/*.yaml", "is not a pattern of file names, as in conf.d/*.yaml: a '[' needs a ']'"},
	} {
		file := filepath.Join(dir, "sluice.yaml")
		if err := os.WriteFile(file, []byte("include: '"+tt.pattern+"'\n"+ok), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(file)
		expectLines(t, err, []string{file + ":1:10: include: \"" + tt.pattern + "\" " + tt.wrong})
	}
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, []byte("include: ['none/*.yaml', 'sluice.*/*.yaml']\n"+ok), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(file); err != nil || len(c.Notes) != 2 {
		t.Errorf("Load with a directory that is not there, and one that is none = %+v, %v; want two notes", c, err)
	}
}

// A pipe would wait for its writer.
func TestAPipeIsNotIncluded(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "sluice.yaml"), filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(file, []byte("include: a.yaml\n"+ok), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(file)
	expectLines(t, err, []string{file + ":1:10: include: " + pipe + " is no file: a pattern names files, as in conf.d/*.yaml"})
}
