package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a configuration file.
type Problem struct {
	File    string
	Pos     Pos
	Path    string // as routes[2].websocket.origins[0]; "" for the file as a whole
	Message string // never holds a value that came from the environment or another file
}

// Error is "file:line:column: path: message", the form that editors jump to.
func (p Problem) Error() string {
	at := fmt.Sprintf("%s:%d:%d: ", p.File, p.Pos.Line, p.Pos.Column)
	if p.Path != "" {
		at += p.Path + ": "
	}
	return at + p.Message
}

// Problems are the mistakes of a file.
type Problems []Problem

// Error has one line a problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Sorted returns the problems in order of position, without changing p.
func (p Problems) Sorted() Problems {
	return slices.SortedStableFunc(slices.Values(p), func(a, b Problem) int {
		return cmp.Or(
			strings.Compare(a.File, b.File),
			a.Pos.compare(b.Pos),
			strings.Compare(a.Path, b.Path),
			strings.Compare(a.Message, b.Message),
		)
	})
}

func (p Pos) compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Problem returns a mistake in c that its caller found, such as a route that
// can never match. The path of a route is routes[Route.Index].
func (c *Config) Problem(pos Pos, path, format string, args ...any) Problem {
	return Problem{File: c.File, Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)}
}

// Place returns where the value at a path stands, as backends.api.tls.ca, or
// what is around it when the file does not have it.
func (c *Config) Place(at string) Pos {
	for at := path(at); at != ""; at = at.parent() {
		if pos, ok := c.places[at]; ok {
			return pos
		}
	}
	return start
}
