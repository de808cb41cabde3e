package answer

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxLinks bounds the links followed for one name, as Linux does.
const maxLinks = 40

var (
	errTooManyLinks = errors.New("too many links")
	errOutside      = errors.New("a link that leads out of the directory")
)

// follow resolves the links in name, a clean slash-separated path below root,
// and returns a name without links for the same file and what is there.
//
// [os.Root] follows links itself and lets none out, but it would also follow a
// harmless name to a hidden one. Here a link may lead to a name that starts
// with two dots, as the volumes of Kubernetes do ("index.html" is a link to
// "..data/index.html" there), and to no other name that starts with a dot and
// may not be asked for either.
func follow(root *os.Root, name string) (string, fs.FileInfo, error) {
	done, rest := ".", name
	var info fs.FileInfo // of done; nil when done was reached by ".."
	for links := 0; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		switch {
		case segment == "" || segment == ".":
			continue
		case segment == "..":
			if done == "." {
				return "", nil, errOutside
			}
			done, info = path.Dir(done), nil
			continue
		case segment[0] == '.' && !strings.HasPrefix(segment, "..") && (done != "." || segment != wellKnown):
			return "", nil, errHidden
		}
		next := path.Join(done, segment)
		found, err := root.Lstat(filepath.FromSlash(next))
		if err != nil {
			return "", nil, err
		}
		if found.Mode()&fs.ModeSymlink == 0 {
			done, info = next, found
			continue
		}
		if links++; links > maxLinks {
			return "", nil, errTooManyLinks
		}
		target, err := root.Readlink(filepath.FromSlash(next))
		if err != nil {
			return "", nil, err
		}
		if filepath.IsAbs(target) {
			return "", nil, errOutside
		}
		rest = filepath.ToSlash(target) + "/" + rest
	}
	if info == nil {
		var err error
		if info, err = root.Lstat(filepath.FromSlash(done)); err != nil {
			return "", nil, err
		}
	}
	return done, info, nil
}
