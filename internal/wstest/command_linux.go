package wstest

import (
	"os/exec"
	"syscall"
)

// DieWithParent makes the system kill the program when this process dies, however that
// happens: cleanups do not run when a test binary is killed or out of time.
func DieWithParent(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// FollowParent makes the system kill this process when its parent dies: a go test that is
// killed leaves its test binaries running.
func FollowParent() error {
	_, _, errno := syscall.Syscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
