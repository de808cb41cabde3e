//go:build !linux

package integration

import (
	"io"
	"os"
	"os/exec"
)

// reaperOf is not used: only on Linux a gateway starts others.
const reaperOf = "SLUICE_TEST_REAPER"

func startReaper() (io.WriteCloser, error) { return os.OpenFile(os.DevNull, os.O_WRONLY, 0) }

func reaperMain() int { return 0 }

func inOwnGroup(*exec.Cmd) {}

func killGroup(n int) {
	if p, err := os.FindProcess(n); err == nil {
		_ = p.Kill()
	}
}
