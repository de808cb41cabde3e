package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
)

// reaperOf is the variable that makes this program the reaper of the tests.
const reaperOf = "SLUICE_TEST_REAPER"

// startReaper starts the reaper of process groups: it kills those that are left when the tests end, however that happens. The
// process that takes over from a gateway is no child of the tests, so nothing else would. Groups are told over the pipe that is
// returned, by numbers; they are forgotten by the same ones below 0.
func startReaper() (io.WriteCloser, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), reaperOf+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what the terminal sends is for the tests
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return pipe, cmd.Start()
}

// reaperMain is the reaper.
func reaperMain() int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	groups := make(map[int]bool)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch n, err := strconv.Atoi(lines.Text()); {
		case err != nil || n == 0 || n == 1 || n == -1:
			fmt.Fprintf(os.Stderr, "%q is no process group\n", lines.Text())
			return 1
		case n > 0:
			groups[n] = true
		default:
			delete(groups, -n)
		}
	}
	for n := range groups {
		killGroup(n)
	}
	return 0
}

// inOwnGroup makes a program run in a process group, with those that it starts.
func inOwnGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr.Setpgid = !cmd.SysProcAttr.Setsid
}

// killGroup kills a process group, whose first process may have ended.
func killGroup(n int) { _ = syscall.Kill(-n, syscall.SIGKILL) }
