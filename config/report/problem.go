package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is the position of an element in its file. Line and Column start at 1; the zero value is an
// element that is in no file. File is "" for the file that includes the others.
type Pos struct {
	Line, Column int
	File         string
}

// String names the line of p in messages.
func (p Pos) String() string {
	if p.File != "" {
		return fmt.Sprintf("line %d of %s", p.Line, p.File)
	}
	return fmt.Sprintf("line %d", p.Line)
}

// Start is where a problem of a whole file is reported.
func Start() Pos { return Pos{Line: 1, Column: 1} }

// Compare orders positions as a file has them.
func (p Pos) Compare(q Pos) int {
	return cmp.Or(strings.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Problem is one mistake in a configuration.
type Problem struct {
	File    string // "" for one that is in no file
	Pos     Pos    // zero for one that is in no file
	Path    string // as routes[2].websocket.origins[0]; "" for the configuration as a whole
	Message string // never holds a value that came from the environment or another file
}

// Error is "file:line:column: path: message", the form that editors jump to. Without a position it
// is "file: path: message", and without a file "path: message".
func (p Problem) Error() string {
	at := ""
	switch {
	case p.Pos != (Pos{}):
		at = fmt.Sprintf("%s:%d:%d: ", p.File, p.Pos.Line, p.Pos.Column)
	case p.File != "":
		at = p.File + ": "
	}
	if p.Path != "" {
		at += p.Path + ": "
	}
	return at + p.Message
}

// Problems are the mistakes of a configuration.
type Problems []Problem

// Error has one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Sorted returns the problems in order of position, and those of one position in order of path. It
// does not change p.
func (p Problems) Sorted() Problems {
	return slices.SortedStableFunc(slices.Values(p), func(a, b Problem) int {
		return cmp.Or(
			strings.Compare(a.File, b.File),
			a.Pos.Compare(b.Pos),
			strings.Compare(a.Path, b.Path),
			strings.Compare(a.Message, b.Message),
		)
	})
}
