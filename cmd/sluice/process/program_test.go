package process

import (
	"os"
	"path/filepath"
	"testing"
)

// A link keeps its name: a new version is installed where it leads to then.
func TestProgram(t *testing.T) {
	running, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	link := filepath.Join(dir, "sluice")
	if err := os.Symlink(running, link); err != nil {
		t.Skip(err)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for name, want := range map[string]string{
		link:         link,
		"./sluice":   link,
		"sluice":     link,
		running:      running,
		other:        running, // whoever started it has said something else
		"not there":  running,
		"":           running,
		"../sluice/": running,
	} {
		if got := program(name); got != want {
			t.Errorf("program(%q) = %q, want %q", name, got, want)
		}
	}
}
