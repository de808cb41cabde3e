//go:build !unix

package admin

import (
	"io/fs"
	"os"
)

// withShortPath calls f with path.
func withShortPath(path string, f func(short string) error) error { return f(path) }

// lockFile makes a file, which this system does not let others open while it is open.
func lockFile(path string) (*os.File, error) { return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) }

// ownerOf returns -1: this system does not tell.
func ownerOf(fs.FileInfo) int { return -1 }
