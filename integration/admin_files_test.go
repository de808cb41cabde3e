//go:build unix

package integration

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const reloadSignal = syscall.SIGHUP

func removeFile(name string) error { return os.Remove(name) }

// operatedByLink runs a gateway whose file is in a directory that a link leads to.
func operatedByLink(t *testing.T, config string) *gateway {
	t.Helper()
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	dir := t.TempDir()
	g := &gateway{config: filepath.Join(dir, "current", "sluice.yaml")}
	g.relink(t, config)
	running := launch(t, "run", "--config", g.config)
	running.config = g.config
	running.started()
	return running
}

// relink makes a new directory with a configuration, and the link lead to it.
func (g *gateway) relink(t *testing.T, config string) {
	t.Helper()
	link := filepath.Dir(g.config)
	dir, err := os.MkdirTemp(filepath.Dir(link), "version-")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sluice.yaml"), withEngine(config))
	if err := os.Symlink(dir, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
}
