package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"sluice/config/decode"
	"sluice/internal/glob"
)

// including says how a file takes in others.
func (k *checker) including() decode.Including {
	return decode.Including{Key: "include", Sections: []string{"routes", "backends"}, Find: k.find}
}

// find returns the files that a pattern names, in order of their names, without those that editors and
// package managers leave behind, and without those that are read already. A name without any of
// "*?[" is that of one file.
func (k *checker) find(pattern string, at Pos) (all []decode.File, err error) {
	if pattern == "" {
		return nil, errors.New("is empty: name files, as in conf.d/*.yaml")
	}
	dir, name := k.dir, pattern
	if filepath.IsAbs(name) {
		dir = ""
	}
	names := []string{filepath.Join(dir, name)}
	if !strings.ContainsAny(pattern, "*?[") {
		k.source(names[0])
	} else {
		whole := filepath.Join(glob.Literally(dir), name)
		k.config.sources = append(k.config.sources, whole)
		switch names, err = k.glob(whole); {
		case errors.Is(err, filepath.ErrBadPattern):
			return nil, errors.New("is not a pattern of file names, as in conf.d/*.yaml: a '[' needs a ']'")
		case err != nil:
			return nil, fmt.Errorf("names files in a directory that cannot be read: %s", cause(err))
		}
		names = slices.DeleteFunc(names, glob.IsLeft)
		if len(names) == 0 {
			k.config.Notes = append(k.config.Notes, fmt.Sprintf("include (%v): no file has such a name", at))
		}
	}
	if k.included == nil {
		k.included = map[string]bool{wholePath(k.config.File): true}
	}
	for _, name := range names {
		if !k.included[wholePath(name)] {
			k.included[wholePath(name)] = true
			all = append(all, decode.File{Name: name, Read: func() ([]byte, error) { return k.readIncluded(name) }})
		}
	}
	return all, nil
}

// wholePath returns the whole path of a file.
func wholePath(name string) string {
	if path, err := filepath.Abs(name); err == nil {
		return path
	}
	return name
}

// readIncluded reads a file. The error is a predicate.
func (k *checker) readIncluded(name string) (text []byte, err error) {
	if k.ownFiles {
		text, err = k.readFile(name)
	} else {
		text, err = readSafely(name)
	}
	if wrong := errUnsafe(""); errors.As(err, &wrong) {
		return nil, wrong
	}
	if err != nil {
		return nil, errors.New("cannot be read: " + cause(err))
	}
	k.read = append(k.read, text)
	return text, nil
}

// errUnsafe is why a file is not read that could be read.
type errUnsafe string

func (e errUnsafe) Error() string { return string(e) }

// readSafely reads a regular file. Root reads none that another user can write.
func readSafely(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil {
		err = unsafe(info)
	}
	if err != nil {
		return nil, err
	}
	// By now a pipe may be there, and opening it would wait for its writer.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err == nil {
		err = unsafe(info)
	}
	if err != nil {
		return nil, err
	}
	return readBounded(f)
}

// unsafe returns why a file is not read, or nil.
func unsafe(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errUnsafe("is no file: a pattern names files, as in conf.d/*.yaml")
	}
	if wrong := writableByOthers(info); wrong != "" {
		return errUnsafe(wrong)
	}
	return nil
}

// Line names the line of a position in a message, and its file if c includes others.
func (c *Config) Line(pos Pos) string {
	if len(c.Include) > 0 && pos.File == "" {
		pos.File = c.File
	}
	return pos.String()
}
