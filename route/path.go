package route

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// path is the path of a pattern, split into what matching compares.
type path struct {
	segments []segment // all, or those before the '*'
	end      ending
	suffix   string // what follows the '*'
}

// segment is one segment of a pattern: a literal, or a variable that stands for any segment but an
// empty one.
type segment struct{ literal, variable string }

// ending is how the path of a pattern ends, in the order of precedence.
type ending int

const (
	exact  ending = iota // with its last segment
	suffix               // in '*' and a text: everything below that ends so
	prefix               // in '*': everything below
)

// cleanPatternPath returns the path of a pattern in its one spelling.
func cleanPatternPath(pattern string) (string, error) {
	p, err := parsePath(pattern)
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// parsePath returns the clean path that the path of a pattern stands for.
func parsePath(pattern string) (path, error) {
	if strings.Contains(pattern, "{") {
		return parseVariables(pattern)
	}
	text, after, star := strings.Cut(pattern, "*")
	var p path
	switch {
	case !star:
	case !strings.HasSuffix(text, "/") || strings.ContainsAny(after, "*/"):
		return p, errors.New("path holds a '*' that does not begin its last segment: /ws/* takes what is below /ws/, and /*.php what ends in .php; %2A is an escaped '*'")
	default:
		end, err := appendSegment(nil, after)
		if err != nil {
			return p, err
		}
		p.suffix, p.end = string(end), prefix
		if p.suffix != "" {
			p.end = suffix
		}
	}
	clean, err := Clean(text)
	if err != nil {
		return p, err
	}
	p.segments = literals(clean, p.end)
	return p, nil
}

// literals splits a clean path. The last segment of one before a '*' is empty and none of it.
func literals(clean string, end ending) []segment {
	var all []segment
	for text := range strings.SplitSeq(clean[1:], "/") {
		all = append(all, segment{literal: text})
	}
	if end != exact {
		all = all[:len(all)-1]
	}
	return all
}

// parseVariables is parsePath for a path with variables.
func parseVariables(pattern string) (path, error) {
	var p path
	if !strings.HasPrefix(pattern, "/") {
		return p, errors.New("path does not start with '/'")
	}
	names := make(map[string]bool)
	texts := strings.Split(pattern[1:], "/")
	if last := len(texts) - 1; texts[last] == "*" {
		texts, p.end = texts[:last], prefix
	}
	for _, text := range texts {
		inner, begun := strings.CutPrefix(text, "{")
		name, variable := strings.CutSuffix(inner, "}")
		variable = variable && begun
		switch {
		case variable && !isVariable(name):
			return p, fmt.Errorf("path holds {%s}: the name of a segment has small letters, '_' and digits", name)
		case variable && names[name]:
			return p, fmt.Errorf("path holds {%s} twice", name)
		case variable:
			names[name] = true
			p.segments = append(p.segments, segment{variable: name})
			continue
		case strings.ContainsAny(text, "{}"):
			return p, fmt.Errorf("path holds %q: {name} stands for a whole segment; %%7B and %%7D are escaped braces", text)
		case strings.Contains(text, "*"):
			return p, errors.New("path holds a '*' that is not its last segment: with a {name} only /* may end it")
		}
		clean, err := appendSegment(nil, text)
		if err != nil {
			return p, err
		}
		if text := string(clean); text == "." || text == ".." {
			return p, fmt.Errorf("path holds the segment %q beside a {name}: write the path without it", text)
		}
		p.segments = append(p.segments, segment{literal: string(clean)})
	}
	return p, nil
}

// isVariable reports whether a segment may have this name.
func isVariable(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// String returns the text of p in a pattern.
func (p *path) String() string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		if s.variable != "" {
			b.WriteString("{" + s.variable + "}")
		} else {
			b.WriteString(s.literal)
		}
	}
	if p.end != exact {
		b.WriteString("/*" + p.suffix)
	}
	return b.String()
}

// directory returns the text of p before its '*'; of an exact path it is all.
func (p *path) directory() string { return strings.TrimSuffix(p.String(), "*"+p.suffix) }

// matches reports whether a clean path is one of those that p stands for.
func (p *path) matches(clean string) bool {
	for i, s := range p.segments {
		if !strings.HasPrefix(clean, "/") {
			return false
		}
		var text string
		var more bool
		text, clean, more = strings.Cut(clean[1:], "/")
		if more {
			clean = "/" + clean
		}
		if s.variable == "" && text != s.literal || s.variable != "" && text == "" {
			return false
		}
		if i == len(p.segments)-1 && p.end == exact {
			return !more
		}
	}
	return strings.HasPrefix(clean, "/") && (p.end == prefix || p.end == suffix && hasSuffix(clean[1:], p.suffix))
}

// objection says in a predicate what a clean path is not that p does not match.
func (p *path) objection(clean string) string {
	text := p.String()
	if p.end == exact && strings.HasSuffix(text, "/") && strings.HasPrefix(clean, text) {
		return "is below " + text + ", which matches only itself: write " + text + "* for everything below"
	}
	switch p.end {
	case prefix:
		return "does not start with " + p.directory()
	case suffix:
		return "is not below " + p.directory() + " with " + p.suffix + " at its end"
	}
	return "is not " + text
}

// hasSuffix reports whether the '*' before a suffix stands for something in what is below its
// directory.
func hasSuffix(below, suffix string) bool {
	return len(below) > len(suffix) && strings.HasSuffix(below, suffix)
}

// variables returns the variables of p and where they stand.
func (p *path) variables() (all []place) {
	for i, s := range p.segments {
		if s.variable != "" {
			all = append(all, place{s.variable, i})
		}
	}
	return all
}

// wild reports whether p can overlap with a path and neither be narrower.
func (p *path) wild() bool {
	return p.end == suffix || slices.ContainsFunc(p.segments, func(s segment) bool { return s.variable != "" })
}

// precedes orders paths as [Table] says, in an order that does not depend on others: literals
// before variables, both before the end in a '*', from the left.
func (p *path) precedes(q *path) int {
	for i := range min(len(p.segments), len(q.segments)) {
		a, b := p.segments[i], q.segments[i]
		if c := cmp.Or(falseFirst(a.variable != "", b.variable != ""), cmp.Compare(a.literal, b.literal)); c != 0 {
			return c
		}
	}
	return cmp.Or(
		cmp.Compare(len(q.segments), len(p.segments)),
		cmp.Compare(p.end, q.end),
		cmp.Compare(len(q.suffix), len(p.suffix)),
		cmp.Compare(p.suffix, q.suffix),
	)
}

// narrower reports whether every path that p stands for is one of q's.
func (p *path) narrower(q *path) bool {
	if len(q.segments) > len(p.segments) || q.end == exact && (p.end != exact || len(p.segments) != len(q.segments)) {
		return false
	}
	for i, s := range q.segments {
		if s.variable == "" && (p.segments[i].variable != "" || p.segments[i].literal != s.literal) ||
			s.variable != "" && p.segments[i].variable == "" && p.segments[i].literal == "" {
			return false
		}
	}
	switch {
	case q.end == exact:
		return true
	case p.end == exact && len(p.segments) == len(q.segments):
		return false // it lacks the '/' before the '*'
	case q.end == prefix:
		return true
	case p.end == suffix:
		return strings.HasSuffix(p.suffix, q.suffix)
	case p.end == exact:
		last := p.segments[len(p.segments)-1]
		below := path{segments: p.segments[len(q.segments):]}
		return last.variable == "" && hasSuffix(below.String()[1:], q.suffix)
	}
	return false
}

// overlaps reports whether a path can be one of p's and one of q's.
func (p *path) overlaps(q *path) bool {
	if len(p.segments) > len(q.segments) {
		p, q = q, p
	}
	for i, s := range p.segments {
		o := q.segments[i]
		switch {
		case s.variable == "" && o.variable == "" && s.literal != o.literal,
			s.variable == "" && s.literal == "" && o.variable != "",
			o.variable == "" && o.literal == "" && s.variable != "":
			return false
		}
	}
	rest := path{segments: q.segments[len(p.segments):], end: q.end, suffix: q.suffix}
	switch {
	case p.end == exact:
		return len(rest.segments) == 0 && q.end == exact
	case len(rest.segments) == 0 && q.end == exact:
		return false
	case p.end == prefix || q.end == prefix:
		return true
	case q.end == suffix:
		return strings.HasSuffix(p.suffix, q.suffix) || strings.HasSuffix(q.suffix, p.suffix)
	}
	return rest.segments[len(rest.segments)-1].variable != "" || hasSuffix(rest.String()[1:], p.suffix)
}

// ambiguous reports whether p and q overlap, neither is narrower, and precedence between them would
// be arbitrary. It is not where one ends in a suffix and the other goes on from its directory: the
// one that goes further is first.
func (p *path) ambiguous(q *path) bool {
	if !p.wild() && !q.wild() || !p.overlaps(q) || p.narrower(q) || q.narrower(p) {
		return false
	}
	return !p.continues(q) && !q.continues(p)
}

// continues reports whether q ends in a suffix, and p has the directory of q and another segment.
func (p *path) continues(q *path) bool {
	return q.end == suffix && p.end != suffix && len(p.segments) > len(q.segments) &&
		slices.Equal(p.segments[:len(q.segments)], q.segments)
}

// place is where the variable of a path stands.
type place struct {
	name string
	at   int // segments before it
}

// Variables are the segments of a request's path that the {names} of a route's path stand for. The
// zero value has none.
type Variables struct {
	places []place
	path   string
}

// Value returns the segment that stands for a name, as it is in the clean path: escaped, not empty,
// and neither "." nor "..". It is "" for a name that the path of the route does not have.
func (v Variables) Value(name string) string {
	for _, p := range v.places {
		if p.name != name {
			continue
		}
		rest := v.path[1:]
		for range p.at {
			_, rest, _ = strings.Cut(rest, "/")
		}
		value, _, _ := strings.Cut(rest, "/")
		return value
	}
	return ""
}
