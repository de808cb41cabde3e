package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rewrite changes the path of a matched request. The zero value changes
// nothing.
type Rewrite struct {
	strip string // prefix to remove, "/ws" for 'strip_prefix: /ws'
	to    []part // new path, "/new/" for 'rewrite: /new/*'
	rest  bool   // what the '*' of the route stands for comes behind to
}

// part is a piece of a new path: a clean text, or the name of a segment.
type part struct {
	text    string
	segment bool
}

// What stands around the name of a segment in a rewrite.
const (
	openSegment  = "{" + segmentPrefix
	closeSegment = "}"
)

const segmentPrefix = "path." // how the names of variables begin that are segments; package config checks them

// SegmentName returns the name of the segment that a variable stands for: id for path.id.
func SegmentName(variable string) (name string, ok bool) {
	return strings.CutPrefix(variable, segmentPrefix)
}

// NewRewrite returns the rewrite for a route with these paths. It either removes the path prefix
// strip or replaces the path by to, in which a '*' at the end stands for what the '*' of the pattern
// stands for, and {path.id} for the segment {id}. It is an error if neither strip nor to is empty. If
// both are, the rewrite changes nothing and the patterns are not checked.
func NewRewrite(paths []string, strip, to string) (w Rewrite, err error) {
	if strip != "" && to != "" {
		return Rewrite{}, errors.New("strip_prefix and rewrite exclude each other")
	}
	if strip == "" && to == "" {
		return Rewrite{}, nil
	}
	if len(paths) == 0 {
		paths = []string{everything}
	}
	for _, text := range paths {
		p, err := parsePath(text)
		if err != nil {
			return Rewrite{}, err
		}
		if strip != "" {
			w, err = stripping(&p, strip)
		} else {
			w, err = replacing(&p, to)
		}
		if err != nil {
			return Rewrite{}, err
		}
	}
	return w, nil
}

func stripping(p *path, strip string) (Rewrite, error) {
	clean, err := Clean(strip)
	if err != nil {
		return Rewrite{}, fmt.Errorf("strip_prefix: %w", err)
	}
	clean = strings.TrimSuffix(clean, "/")
	directory := p.directory()
	if p.end == exact {
		directory += "/" // all of an exact path may be removed
	}
	if !strings.HasPrefix(directory, clean+"/") {
		return Rewrite{}, fmt.Errorf("strip_prefix %s is not a beginning of the route's path that ends at a '/'", strip)
	}
	return Rewrite{strip: clean}, nil
}

func replacing(p *path, to string) (Rewrite, error) {
	literal, rest := strings.CutSuffix(to, "*")
	switch {
	case strings.Contains(literal, "*"):
		return Rewrite{}, fmt.Errorf("rewrite %s holds a '*' that is not its end: only %%2A, an escaped one, may stand elsewhere", to)
	case rest && p.end == exact:
		return Rewrite{}, fmt.Errorf("rewrite %s ends in '*', but the path has none that it could stand for", to)
	}
	parts, sample, err := p.replacement(literal)
	if err != nil {
		return Rewrite{}, fmt.Errorf("rewrite %s: %w", to, err)
	}
	path, err := Clean(sample)
	switch {
	case err != nil:
		return Rewrite{}, fmt.Errorf("rewrite: %w", err)
	case strings.HasPrefix(path, "//"):
		return Rewrite{}, fmt.Errorf("rewrite %s starts with '//', which reads as a host", to)
	case rest && strings.HasSuffix(path, "/") && !strings.HasSuffix(literal, "/"):
		return Rewrite{}, fmt.Errorf("rewrite %s has a dot segment before its '*'", to)
	case len(parts) == 0:
		return Rewrite{to: []part{{text: path}}, rest: rest}, nil
	case strings.Count(path, "/") != strings.Count(sample, "/"):
		return Rewrite{}, fmt.Errorf("rewrite %s has a dot segment beside a {path.name}: write the path without it", to)
	}
	return Rewrite{to: parts, rest: rest}, nil
}

// replacement splits a new path at its segments, none if it has none. The sample has the letter x for
// each: a segment of a clean path is neither empty nor a dot segment, and no '/' is in it, so what
// holds for the sample holds for each path that comes of it.
func (p *path) replacement(to string) (parts []part, sample string, err error) {
	for {
		before, after, found := strings.Cut(to, openSegment)
		sample += before
		if !found && parts == nil {
			return nil, sample, nil
		}
		clean, err := appendPieces(nil, before)
		if err != nil {
			return nil, "", err
		}
		parts = append(parts, part{text: string(clean)})
		if !found {
			return parts, sample, nil
		}
		name, after, closed := strings.Cut(after, closeSegment)
		if !closed || !slices.ContainsFunc(p.segments, func(s segment) bool { return s.variable == name && name != "" }) {
			return nil, "", fmt.Errorf("the path %s has no segment {%s}", p, name)
		}
		parts = append(parts, part{name, true})
		sample += "x"
		to = after
	}
}

// appendPieces appends text, whose '/' stay, in its clean form.
func appendPieces(dst []byte, text string) ([]byte, error) {
	for i, segment := range strings.Split(text, "/") {
		if i > 0 {
			dst = append(dst, '/')
		}
		var err error
		if dst, err = appendSegment(dst, segment); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// Stripped returns the prefix that the rewrite removes, clean and without a '/' at its end, or "".
func (w Rewrite) Stripped() string { return w.strip }

// Path returns what becomes of a clean path; rest and v are those of the [Match]. The result is clean.
// A path that was changed never starts with '//', which a backend or a browser would take for a host:
// such slashes become one.
func (w Rewrite) Path(clean, rest string, v Variables) string {
	var path string
	switch {
	case w.strip != "":
		path = strings.TrimPrefix(clean, w.strip)
	case w.to == nil:
		return clean
	default:
		path = w.replaced(rest, v)
	}
	for strings.HasPrefix(path, "//") {
		path = path[1:]
	}
	if path == "" {
		return "/"
	}
	return path
}

func (w Rewrite) replaced(rest string, v Variables) string {
	if !w.rest {
		rest = ""
	}
	if len(w.to) == 1 {
		return w.to[0].text + rest
	}
	var b strings.Builder
	for _, p := range w.to {
		if p.segment {
			b.WriteString(v.Value(p.text))
		} else {
			b.WriteString(p.text)
		}
	}
	b.WriteString(rest)
	return b.String()
}
