package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// writeLicenses writes the licenses to a file.
func (r *release) writeLicenses(ctx context.Context, file string) (err error) {
	if r.pinned, err = r.toolchain(ctx); err != nil {
		return err
	}
	text, err := r.licenses(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// licenses returns the licenses of Go and of all modules that are in a binary: their texts have to go
// with it.
func (r *release) licenses(ctx context.Context) ([]byte, error) {
	root, err := r.goCommand(ctx, []string{r.pinned}, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{"Go": root}
	for _, p := range r.platforms {
		list, err := r.goCommand(ctx, []string{r.pinned, "GOOS=" + p.system, "GOARCH=" + p.arch},
			"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/sluice")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(list) {
			if module, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
				dirs[module] = dir
			}
		}
	}
	return joinLicenses(dirs)
}

var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)`)

// joinLicenses returns the texts of the licenses in directories, in the order of the names of what
// they are for.
func joinLicenses(dirs map[string]string) ([]byte, error) {
	var all bytes.Buffer
	all.WriteString("sluice is under the license in the file LICENSE. Its binary contains the following works.\n")
	for _, name := range slices.Sorted(maps.Keys(dirs)) {
		entries, err := os.ReadDir(dirs[name])
		if err != nil {
			return nil, err
		}
		found := false
		for _, e := range entries {
			if e.IsDir() || !licenseFile.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dirs[name], e.Name()))
			if err != nil {
				return nil, err
			}
			found = true
			fmt.Fprintf(&all, "\n\n==== %s: %s\n\n%s\n", name, e.Name(), bytes.TrimSpace(text))
		}
		if !found {
			return nil, fmt.Errorf("%s has no license: no file in %s begins with LICENSE, COPYING or NOTICE", name, dirs[name])
		}
	}
	return all.Bytes(), nil
}
