//go:build unix

package config

import (
	"io/fs"
	"os"
	"syscall"
)

// writableByOthers says why root does not include a file: another user can change it. It is "" where
// the process is not root's.
func writableByOthers(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case os.Geteuid() != 0 || !ok:
	case s.Uid != 0:
		return "belongs to another user, and sluice runs as root: chown root"
	case info.Mode().Perm()&0o002 != 0, info.Mode().Perm()&0o020 != 0 && s.Gid != 0:
		return "can be written by others, and sluice runs as root: chmod go-w"
	}
	return ""
}
