package route

import (
	"errors"
	"fmt"
	"strings"
)

// Rewrite changes the path of a matched request. The zero value changes
// nothing.
type Rewrite struct {
	strip string // prefix to remove, "/ws" for 'strip_prefix: /ws'
	to    string // new path, "/new/" for 'rewrite: /new/*'
	rest  bool   // what the '*' of the route stands for comes behind to
}

// NewRewrite returns the rewrite for a route with this pattern. It either removes the path prefix
// strip or replaces the path by to, in which a '*' at the end stands for what the '*' of the pattern
// stands for. It is an error if neither strip nor to is empty. If both are, the rewrite changes
// nothing and the pattern is not checked.
func NewRewrite(pattern Pattern, strip, to string) (Rewrite, error) {
	if strip != "" && to != "" {
		return Rewrite{}, errors.New("strip_prefix and rewrite exclude each other")
	}
	if strip == "" && to == "" {
		return Rewrite{}, nil
	}
	path, prefix, err := parsePath(pattern.Path)
	switch {
	case err != nil:
		return Rewrite{}, err
	case strip != "":
		return stripping(path, prefix, strip)
	default:
		return replacing(prefix, to)
	}
}

func stripping(path string, prefix bool, strip string) (Rewrite, error) {
	clean, err := Clean(strip)
	if err != nil {
		return Rewrite{}, fmt.Errorf("strip_prefix: %w", err)
	}
	clean = strings.TrimSuffix(clean, "/")
	if !prefix {
		path += "/" // all of an exact path may be removed
	}
	if !strings.HasPrefix(path, clean+"/") {
		return Rewrite{}, fmt.Errorf("strip_prefix %s is not a beginning of the route's path that ends at a '/'", strip)
	}
	return Rewrite{strip: clean}, nil
}

func replacing(prefix bool, to string) (Rewrite, error) {
	literal, rest := strings.CutSuffix(to, "*")
	switch {
	case strings.Contains(literal, "*"):
		return Rewrite{}, fmt.Errorf("rewrite %s holds a '*' that is not its end: only %%2A, an escaped one, may stand elsewhere", to)
	case rest && !prefix:
		return Rewrite{}, fmt.Errorf("rewrite %s ends in '*', but the path has none that it could stand for", to)
	}
	path, err := Clean(literal)
	switch {
	case err != nil:
		return Rewrite{}, fmt.Errorf("rewrite: %w", err)
	case strings.HasPrefix(path, "//"):
		return Rewrite{}, fmt.Errorf("rewrite %s starts with '//', which reads as a host", to)
	case rest && strings.HasSuffix(path, "/") && !strings.HasSuffix(literal, "/"):
		return Rewrite{}, fmt.Errorf("rewrite %s has a dot segment before its '*'", to)
	}
	return Rewrite{to: path, rest: rest}, nil
}

// Path returns what becomes of a clean path; rest is that of the [Match]. The result is clean. A
// path that was changed never starts with '//', which a backend or a browser would take for a host:
// such slashes become one.
func (w Rewrite) Path(clean, rest string) string {
	var path string
	switch {
	case w == Rewrite{}:
		return clean
	case w.rest:
		path = w.to + rest
	case w.to != "":
		path = w.to
	default:
		path = strings.TrimPrefix(clean, w.strip)
	}
	for strings.HasPrefix(path, "//") {
		path = path[1:]
	}
	if path == "" {
		return "/"
	}
	return path
}
