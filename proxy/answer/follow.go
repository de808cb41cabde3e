package answer

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxLinks is the most links that are followed for one name, as in Linux.
const maxLinks = 40

var (
	errTooManyLinks = errors.New("too many links")
	errOutside      = errors.New("a link that leads out of the directory")
)

// follow resolves the links in name, a clean slash-separated path below root. It returns the name of
// the same file without links, and what is there.
//
// [os.Root] follows links itself and none that leads out, but it would also follow one to a hidden
// name. Here a link may lead to a name that starts with two dots, as in the volumes of Kubernetes,
// where "index.html" is a link to "..data/index.html". It may lead to no other name that a request
// may not have.
func follow(root *os.Root, name string) (string, fs.FileInfo, error) {
	done, rest := ".", name
	var info fs.FileInfo // of done; nil after a ".."
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
