package watch

import (
	"os"
	"path/filepath"
	"strings"

	"sluice/internal/glob"
)

// places are the directories in which something can happen to files, and the patterns of the names in each that it
// happens to: those of the files, of the directories on the way to them, and of the symbolic links among these.
// Directories are named without links.
type places map[string]map[string]bool

// mostLinks is how many symbolic links are followed one after the other, as Linux does.
const mostLinks = 40

// placesOf returns the places of the files that patterns name.
func placesOf(sources []string) places {
	p := make(places)
	for _, pattern := range sources {
		if !filepath.IsAbs(pattern) {
			wd, err := os.Getwd()
			if err != nil {
				continue
			}
			pattern = filepath.Join(glob.Literally(wd), pattern)
		}
		p.addAbsolute(pattern, nil, mostLinks)
	}
	return p
}

// addAbsolute adds what a pattern and the parts below it lead through.
func (p places) addAbsolute(pattern string, below []string, links int) {
	root := filepath.VolumeName(pattern) + string(filepath.Separator)
	p.add(root, append(parts(pattern[len(root)-1:]), below...), links)
}

// parts splits a path.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator || r == '/' })
}

// add adds what parts of a pattern lead through from a directory on.
func (p places) add(dir string, way []string, links int) {
	for len(way) > 0 && (way[0] == "." || way[0] == "..") {
		if way[0] == ".." {
			dir = filepath.Dir(dir)
		}
		way = way[1:]
	}
	if len(way) == 0 {
		return
	}
	if p[dir] == nil {
		p[dir] = make(map[string]bool)
	}
	p[dir][way[0]] = true
	for _, name := range namesIn(dir, way[0]) {
		p.follow(filepath.Join(dir, name), way[1:], links)
	}
}

// follow adds what is behind a name: a link, or a directory with parts of a pattern in it.
func (p places) follow(name string, below []string, links int) {
	info, err := os.Lstat(name)
	switch {
	case err != nil:
	case info.Mode()&os.ModeSymlink != 0:
		target, err := os.Readlink(name)
		if err != nil || links == 0 {
			return
		}
		target = glob.Literally(target)
		if filepath.IsAbs(target) {
			p.addAbsolute(target, below, links-1)
		} else {
			p.add(filepath.Dir(name), append(parts(target), below...), links-1)
		}
	case info.IsDir():
		p.add(name, below, links)
	}
}

// namesIn returns the names in a directory that a part of a pattern stands for.
func namesIn(dir, pattern string) (names []string) {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{pattern}
	}
	all, _ := os.ReadDir(dir)
	for _, entry := range all {
		if ok, _ := filepath.Match(pattern, entry.Name()); ok {
			names = append(names, entry.Name())
		}
	}
	return names
}

// has reports whether it matters what happens to a file.
func (p places) has(name string) bool {
	for pattern := range p[filepath.Dir(name)] {
		if ok, _ := filepath.Match(pattern, filepath.Base(name)); ok {
			return true
		}
	}
	return false
}
