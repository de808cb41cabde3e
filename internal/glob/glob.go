// Package glob finds the files that a pattern names, or says why they cannot be known.
package glob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Names is [filepath.Glob], but fails if a directory in which a pattern has to be looked for cannot be
// read: names of it would be missing.
func Names(pattern string) (names []string, err error) {
	if names, err = filepath.Glob(pattern); err != nil {
		return nil, err
	}
	dirs := []string{filepath.Dir(pattern)}
	if isPattern(dirs[0]) {
		if dirs, err = Names(dirs[0]); err != nil {
			return nil, err
		}
	}
	if !isPattern(filepath.Base(pattern)) {
		return names, nil // a directory need not be listed for a name of it
	}
	for _, dir := range dirs {
		if err := isReadable(dir); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// IsLeft reports whether a file is hidden, or a copy that an editor or a package manager has left.
func IsLeft(name string) bool {
	name = filepath.Base(name)
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") {
		return true
	}
	for _, end := range []string{"~", ".bak", ".orig", ".old", ".swp", ".tmp", ".rpmnew", ".rpmsave", ".rpmorig"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return strings.Contains(name, ".dpkg-") || strings.Contains(name, ".ucf-")
}

// isPattern reports whether a name stands for others than itself.
func isPattern(name string) bool {
	return strings.ContainsAny(name, "*?[") || filepath.Separator != '\\' && strings.Contains(name, `\`)
}

// isReadable returns why the names in a directory cannot be read. It is nil for what is no directory.
func isReadable(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !info.IsDir():
		return nil
	case err != nil:
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return f.Close()
}

// Literally returns a pattern that only this name matches.
func Literally(name string) string {
	if filepath.Separator == '\\' {
		return name // patterns have no escape there
	}
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}
