// Package report collects what is known about the values of a configuration: where each stands, how
// it was written, and what is wrong with it. It reads no file and knows no key.
package report

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Source is what a configuration says about one value.
type Source struct {
	Pos     Pos    // zero when the configuration is no file
	Written string // of a scalar: before ${NAME} is expanded
	Literal bool   // Written is all there is to the value: messages may build advice from it
	Only    bool   // it stands in place of the list that it is the only element of
}

// Report is about one configuration. Its methods take values by their paths.
type Report struct {
	file     string
	lines    bool // the values stand in a file
	several  bool // in more than one
	problems Problems
	sources  map[Path]Source
	failed   map[Path]bool // paths with a problem
	tainted  map[Path]bool // the same and everything around them
}

// OfFile returns an empty report about a file.
func OfFile(file string) *Report {
	r := OfValues(file)
	r.lines = true
	return r
}

// OfValues returns an empty report about values that are in no file. Its messages tell values by
// their paths where those about a file tell them by their lines. The name, which may be "", stands
// in front of each message.
func OfValues(name string) *Report {
	return &Report{file: name, sources: map[Path]Source{}, failed: map[Path]bool{}, tainted: map[Path]bool{}}
}

// Give records that the configuration gives a value at a path.
func (r *Report) Give(at Path, s Source) { r.sources[at] = s }

// SeveralFiles notes that values stand in other files too.
func (r *Report) SeveralFiles() { r.several = true }

// Source returns what is recorded for a path.
func (r *Report) Source(at Path) Source { return r.sources[at] }

// Fail reports a problem at the position of a value, or of what is around it when the configuration
// does not give it.
func (r *Report) Fail(at Path, format string, args ...any) {
	r.FailAt(r.Pos(at), at, format, args...)
}

// FailAt reports a problem of a value at a position.
func (r *Report) FailAt(pos Pos, at Path, format string, args ...any) {
	path := string(at)
	for p := at; p != ""; p = p.Parent() {
		if r.sources[p].Only {
			path = string(p.Parent()) + path[len(p):]
		}
	}
	r.problems = append(r.problems, Problem{File: cmp.Or(pos.File, r.file), Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)})
	r.failed[at] = true
	for ; at != ""; at = at.Parent() {
		r.tainted[at] = true
	}
}

// Reject reports what is wrong with a scalar, a predicate such as "is not a duration", after its
// written form.
func (r *Report) Reject(at Path, predicate string, args ...any) {
	r.Fail(at, "%s "+predicate, append([]any{r.Quoted(at)}, args...)...)
}

// Pos returns the position of a value, or of what is around it.
func (r *Report) Pos(at Path) Pos {
	for ; at != ""; at = at.Parent() {
		if s, ok := r.sources[at]; ok {
			return s.Pos
		}
	}
	if !r.lines {
		return Pos{}
	}
	return Start()
}

// Where names the place of another value in a message: its line in a file, else its path.
func (r *Report) Where(at Path) string {
	if !r.lines {
		return string(at)
	}
	return r.Line(r.Pos(at))
}

// Line names the line of a position in a message, and its file if the values stand in several.
func (r *Report) Line(p Pos) string {
	if r.several && p.File == "" {
		p.File = r.file
	}
	return p.String()
}

// Has reports whether the configuration gives a value, rightly or wrongly.
func (r *Report) Has(at Path) bool { _, ok := r.sources[at]; return ok }

// Good reports whether the configuration gives a value and nothing was wrong with it so far.
func (r *Report) Good(at Path) bool { return r.Has(at) && !r.failed[at] }

// Broken reports whether something is wrong with a value or anything in it.
func (r *Report) Broken(at Path) bool { return r.tainted[at] }

// Quoted returns a scalar as the configuration has it: what a variable stands for does not belong
// into messages.
func (r *Report) Quoted(at Path) string { return Quote(r.sources[at].Written) }

// Problems returns what was reported, in order of position.
func (r *Report) Problems() Problems { return r.problems.Sorted() }

// Positions returns the positions of all values that the configuration gives.
func (r *Report) Positions() map[Path]Pos {
	positions := make(map[Path]Pos, len(r.sources))
	for at, s := range r.sources {
		positions[at] = s.Pos
	}
	return positions
}

// Variables returns the values that have variables, as they are written.
func (r *Report) Variables() map[Path]string {
	all := make(map[Path]string)
	for at, s := range r.sources {
		if !s.Literal && s.Written != "" {
			all[at] = s.Written
		}
	}
	return all
}

// Quote returns s in quotes, and of a long s only the beginning.
func Quote(s string) string { return strconv.Quote(Shorten(s)) }

// Shorten returns s, and of a long s only the beginning.
func Shorten(s string) string {
	const limit = 80
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
