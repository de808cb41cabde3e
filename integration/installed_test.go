//go:build unix

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The configurations that packages and the compose file bring are good ones.
func TestInstalledConfigurationsAreGood(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../packaging/sluice.yaml", "../packaging/compose/conf/sluice.yaml"} {
		if output, code := sluice(t, "check", "--config", name); code != 0 {
			t.Errorf("sluice check --config %s: exit code %d\n%s", name, code, output)
		}
	}
}

// systemd gives the unit less than 2 of 10 points of exposure.
func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	needCommands(t, "systemd-analyze")
	cmd := command(t, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", "../packaging/systemd/sluice.service")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// systemd has no complaint about the units, nor about the drop-in where it is new enough for that.
func TestUnitsAreGood(t *testing.T) {
	t.Parallel()
	needCommands(t, "systemd-analyze")
	var version int
	out, err := command(t, "systemd-analyze", "--version").Output()
	if _, scanErr := fmt.Sscanf(string(out), "systemd %d", &version); err != nil || scanErr != nil {
		t.Fatalf("systemd-analyze --version: %v, %v\n%s", err, scanErr, out)
	}
	dir := t.TempDir()
	installed := strings.NewReplacer("/usr/bin/sluice", executable, "=sluice ", "="+executable+" ").Replace
	files := []string{"sluice.service", "sluice.socket"}
	for _, name := range files {
		write(t, filepath.Join(dir, name), installed(read(t, "../packaging/systemd/"+name)))
	}
	if version >= 253 {
		if err := os.Mkdir(filepath.Join(dir, "sluice.service.d"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "sluice.service.d/notify-reload.conf"), installed(read(t, "../packaging/systemd/notify-reload.conf")))
	}
	cmd := command(t, "systemd-analyze", append([]string{"verify", "--man=no"}, files...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
