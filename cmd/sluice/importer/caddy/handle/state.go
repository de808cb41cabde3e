package handle

import (
	"strings"
	"unicode"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/match"
)

// A state is a set of requests on their way through the directives of a site. It is a value: what changes
// it returns another one.
type state struct {
	match.Requests
	root, fallback *caddyfile.Directive
	soft           []softHeader
	done           []group
	maxBody        int64 // the largest size of a body, if that is said
}

// A softHeader is one that is set where the backend has set none, or that is added to it.
type softHeader struct {
	importer.Pair
	d *caddyfile.Directive
}

// A group is directives of a block of which one at most is done.
type group struct {
	block *block
	name  string
}

// note returns the state with a note about all its requests.
func (s state) note(kind importer.Kind, d *caddyfile.Directive, why string) state {
	s.Requests = s.Note(kind, d.Pos, d.Text, why)
	return s
}

func (s state) refuse(d *caddyfile.Directive, why string) state {
	return s.note(importer.Refused, d, why)
}

// set returns the state with a key of the route.
func (s state) set(value any, keys ...string) state {
	s.Requests = s.Set(value, keys...)
	return s
}

func (s state) add(value string, keys ...string) state {
	s.Requests = s.Add(value, keys...)
	return s
}

// replace returns the state with a change to the beginning of the path, which is refused if it does not
// always begin so.
func (s state) replace(d *caddyfile.Directive, prefix, with string) state {
	changed, ok := s.Replace(prefix, with)
	if !ok {
		return s.refuse(d, "sluice cannot tell what this makes of the path")
	}
	s.Requests = changed
	return s
}

// Meet is that of [match.State]. Behind a try_files the path may be that of the last file, and sluice does
// not look for files before it chooses a route.
func (s state) Meet(m *match.Matcher) (part state, whole, some, sure bool) {
	const why = "Caddy looks for files before it asks which path this is"
	part = s
	if made := s.With + s.Fixed; m.FoldCase && made != "" && m.Paths != nil && strings.ContainsFunc(made+texts(m.Paths), unicode.IsUpper) {
		part.Requests = s.Doubt(m.Pos, m.Text, "Caddy ignores the case of the path that has been made here, sluice does not")
		return part, true, true, false
	}
	missing := s.missing()
	if missing != "" && match.Among(importer.Exactly(missing), m.Paths) {
		part.Requests = s.Doubt(s.fallback.Pos, s.fallback.Text, why)
		return part, true, true, false
	}
	part.Requests, whole, some, sure = s.Requests.Meet(m)
	if missing != "" && len(m.Paths) > 0 {
		part.Requests, whole, sure = part.Doubt(s.fallback.Pos, s.fallback.Text, why), false, false
	}
	return part, whole, some, sure
}

// texts returns what is written in paths.
func texts(paths []importer.Paths) string {
	var b strings.Builder
	for _, p := range paths {
		b.WriteString(p.Text + p.Suffix)
	}
	return b.String()
}

// missing returns the path that a try_files gives to requests for files that are missing, or "".
func (s state) missing() string {
	if s.fallback == nil {
		return ""
	}
	path, _, _ := strings.Cut(last(s.fallback.Args), "?")
	if !strings.HasPrefix(path, "/") {
		return ""
	}
	return path
}
