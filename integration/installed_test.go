//go:build unix

package integration

import (
	"os/exec"
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
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("it needs systemd-analyze")
	}
	cmd := command(t, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", "../packaging/systemd/sluice.service")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
