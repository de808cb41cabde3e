package process

import (
	"os"
	"os/exec"
	"path/filepath"
)

// program returns the file that a restart starts: the one that this process was started from, by the name that it was started
// by. Links in that name are not resolved: the next version may be where they lead to then. It is asked for when the process
// begins, since the file may be replaced later; "" if it cannot be told.
func program(name string) string {
	running, err := os.Executable()
	if err != nil {
		return ""
	}
	if found, err := exec.LookPath(name); err == nil {
		if found, err = filepath.Abs(found); err == nil && sameFile(found, running) {
			return found
		}
	}
	return running
}

// sameFile reports whether two names lead to one file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
