//go:build !portable

package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// supervised returns an error if something starts the program again when this process ends, or ends with it all that it has started,
// and cannot be told that another process goes on: there would be a second gateway, or none. With told a service manager is told.
func supervised(told bool) error {
	parent := programOf(os.Getppid())
	shells := []string{"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh"}
	switch {
	case os.Getpid() == 1 || os.Getppid() == 0:
		return errors.New("this is the first process of a container, which ends with it: replace the container (docs/recipes/kubernetes.md)")
	case os.Getppid() == 1 && slices.Contains(shells, parent):
		return fmt.Errorf("%s is the first process of a container, and ends with this one: start sluice with 'exec', and replace the container (docs/recipes/kubernetes.md)", parent)
	case !told && (os.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid()) || os.Getppid() == 1 && isService()):
		return errors.New("systemd does not follow to another process of this service: set Type=notify and NotifyAccess=all in its unit, or use 'systemctl restart', which ends all sessions")
	case slices.Contains([]string{"runsv", "s6-supervise", "supervise", "supervise-daemo", "supervisord", "circusd", "tini", "dumb-init", "docker-init", "catatonit", "containerd-shim", "conmon"}, parent):
		return fmt.Errorf("%s watches this process, and would start the program again when it ends: restart the service there, which ends all sessions", parent)
	}
	return nil
}

// programOf returns the name of the program of a process, of 15 bytes at most; "" if it cannot be told.
func programOf(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(name))
}

// isService reports whether the control group of this process is that of a service of systemd, which may be older than version 248
// and not say more.
func isService() bool {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(groups)) {
		line = strings.TrimSpace(line)
		if strings.HasSuffix(line, ".service") && !strings.Contains(line[strings.LastIndex(line, "/")+1:], "user@") {
			return true
		}
	}
	return false
}
