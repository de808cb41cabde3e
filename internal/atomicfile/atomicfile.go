// Package atomicfile writes files through to the disk, so that a crash leaves
// the old content or the new one and nothing between.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace writes data to file, which may exist already. A reader sees the old
// content or the new one, whole. The directory must exist.
func Replace(file string, data []byte, mode os.FileMode) error {
	draft, err := os.MkdirTemp(filepath.Dir(file), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft)
	inside := filepath.Join(draft, filepath.Base(file))
	if err := Create(inside, data, mode); err != nil {
		return err
	}
	return os.Rename(inside, file)
}

// Create writes data to file, which must not exist yet.
func Create(file string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
