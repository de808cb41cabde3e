// Package atomicfile writes files through to the disk, so that a crash leaves
// the old content or the new one and nothing between.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Replace writes data to file, which may exist already. A reader sees the old
// content or the new one, whole. The directory must exist.
func Replace(file string, data []byte, mode os.FileMode) error {
	return replace(file, data, mode, nil)
}

// Rewrite is Replace for a file that exists and keeps its owner, its group and those of its
// permissions that are among most.
// A symbolic link stays one: what it leads to is written. What is no regular file,
// or has more than one name, is refused.
func Rewrite(file string, data []byte, most os.FileMode) error {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", file)
	case names(info) > 1:
		return fmt.Errorf("%s has more than one name (hard links), and the others would keep what it has now", file)
	}
	return replace(file, data, 0o600, func(draft *os.File) error {
		if err := keepOwner(draft, info); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return draft.Chmod(info.Mode().Perm() & most) // last: a change of owners takes rights away
	})
}

// replace writes a draft beside file, lets finish change it, and puts it in the place of file.
func replace(file string, data []byte, mode os.FileMode, finish func(draft *os.File) error) error {
	draft, err := os.MkdirTemp(filepath.Dir(file), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft)
	inside := filepath.Join(draft, filepath.Base(file))
	if err := create(inside, data, mode, finish); err != nil {
		return err
	}
	err = os.Rename(inside, file)
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%s is mounted by itself, so that no file can take its place: mount its directory", file)
	}
	return err
}

// Create writes data to file, which must not exist yet. After an error it does not exist.
func Create(file string, data []byte, mode os.FileMode) error {
	return create(file, data, mode, nil)
}

// create is Create with a finish for the file before it is written through, nil for none.
func create(file string, data []byte, mode os.FileMode, finish func(*os.File) error) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && finish != nil {
		err = finish(f)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(file)
	}
	return err
}
