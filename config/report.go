package config

import (
	"fmt"
	"strconv"
	"strings"
)

// start is where a problem of the whole file is reported.
var start = Pos{Line: 1, Column: 1}

// path names a value of the file, as routes[2].websocket.origins[0].
type path string

func (p path) key(name string) path {
	name = shorten(name) // a path is kept for each value below it
	if strings.IndexFunc(name, notWord) >= 0 || name == "" {
		name = strconv.Quote(name)
	}
	if p == "" {
		return path(name)
	}
	return p + path("."+name)
}

func (p path) index(i int) path { return p + path("["+strconv.Itoa(i)+"]") }

// parent cuts the last step. For a quoted key it may stop inside the quotes
// first, at a path that names nothing.
func (p path) parent() path { return p[:max(strings.LastIndexAny(string(p), ".["), 0)] }

func notWord(r rune) bool {
	return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// source is what the file says about a value.
type source struct {
	pos     Pos
	written string // of a scalar: before ${NAME} is expanded
	literal bool   // expanding changed nothing
}

// report collects what is known about the values of a file: where each stands,
// how it was written, and what is wrong with it.
type report struct {
	file     string
	problems Problems
	sources  map[path]source
	failed   map[path]bool // paths with a problem
	tainted  map[path]bool // and everything around them
}

func newReport(file string) *report {
	return &report{file: file, sources: map[path]source{}, failed: map[path]bool{}, tainted: map[path]bool{}}
}

// fail reports a problem where at stands, or what is around it when the file
// does not have it.
func (r *report) fail(at path, format string, args ...any) {
	r.failAt(r.pos(at), at, format, args...)
}

func (r *report) failAt(pos Pos, at path, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: r.file, Pos: pos, Path: string(at), Message: fmt.Sprintf(format, args...)})
	r.failed[at] = true
	for ; at != ""; at = at.parent() {
		r.tainted[at] = true
	}
}

// reject reports what is wrong with the scalar at, a predicate such as
// "is not a duration", behind its written form.
func (r *report) reject(at path, predicate string, args ...any) {
	r.fail(at, "%s "+predicate, append([]any{r.quote(at)}, args...)...)
}

// rejectName is reject for a value that holds a host name; it shows how to write
// the name.
func (r *report) rejectName(at path, wrong string) {
	if s := r.sources[at]; s.literal {
		wrong += spelling(s.written, wrong)
	}
	r.reject(at, "%s", wrong)
}

func (r *report) pos(at path) Pos {
	for ; at != ""; at = at.parent() {
		if s, ok := r.sources[at]; ok {
			return s.pos
		}
	}
	return start
}

// has tells whether the file gives at, rightly or wrongly.
func (r *report) has(at path) bool { _, ok := r.sources[at]; return ok }

// good tells whether the file gives at and nothing was wrong with it so far.
func (r *report) good(at path) bool { return r.has(at) && !r.failed[at] }

// broken tells whether something is wrong with at or anything in it.
func (r *report) broken(at path) bool { return r.tainted[at] }

// quote is the scalar at as the file has it: what a variable stands for is
// not for messages.
func (r *report) quote(at path) string { return quote(r.sources[at].written) }

func quote(s string) string { return strconv.Quote(shorten(s)) }

func shorten(s string) string {
	const limit = 80
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
