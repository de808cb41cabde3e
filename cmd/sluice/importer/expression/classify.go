package expression

import (
	"strings"

	"sluice/cmd/sluice/importer"
)

// classify returns the paths that a sequence matches. If it is not exact they have more.
func classify(sequence []token) (paths []importer.Paths, exact bool) {
	s := normal(sequence)
	switch s[0].kind {
	case literal:
		if !strings.HasPrefix(s[0].text, "/") {
			return nil, true // no path begins so
		}
	case segment, piece:
		return nil, true
	case anything, something: // the first '/' at least
		if len(s) == 1 {
			return one(importer.Beginning("/")), true
		}
		if tail := s[1]; len(s) == 2 && tail.kind == literal && !strings.Contains(tail.text, "/") {
			return one(importer.Ending("/", tail.text)), true
		}
		return one(importer.Ending("/", tail(s))), false
	default:
		return one(importer.Ending("/", tail(s))), false
	}
	var w walk
	for i, t := range s {
		if !w.take(t) {
			return w.rest(s[i:])
		}
	}
	return w.end(tail(s))
}

func one(p importer.Paths) []importer.Paths { return []importer.Paths{p} }

// normal returns a sequence for whole paths, with one token for neighbours that are alike.
func normal(sequence []token) (s []token) {
	if len(sequence) > 0 && sequence[0].kind == begin {
		sequence = sequence[1:]
	} else {
		s = append(s, token{kind: anything})
	}
	ended := len(sequence) > 0 && sequence[len(sequence)-1].kind == end
	if ended {
		sequence = sequence[:len(sequence)-1]
	}
	for _, t := range sequence {
		if t.kind == begin || t.kind == end {
			t.kind = other
		}
		s = join(s, t)
	}
	if !ended {
		s = join(s, token{kind: anything})
	}
	if len(s) == 0 {
		s = []token{{}} // no path is empty
	}
	return s
}

// join appends a token to a sequence.
func join(s []token, t token) []token {
	if len(s) > 0 {
		last := &s[len(s)-1]
		switch {
		case last.kind == literal && t.kind == literal:
			last.text += t.text
			return s
		case last.kind >= anything && t.kind >= anything:
			last.kind = max(last.kind, t.kind)
			return s
		}
	}
	return append(s, t)
}

// tail returns the text at the end of all that a sequence matches, as far as it has no '/'.
func tail(s []token) string {
	last := s[len(s)-1]
	if last.kind != literal {
		return ""
	}
	return last.text[strings.LastIndexByte(last.text, '/')+1:]
}

// A walk reads a sequence segment by segment.
type walk struct {
	directory string // segments that are complete, with a '/' at the end
	text      string // of the segment that is read, if it is nothing but text
	mixed     bool   // it is more
	whole     bool   // it is [^/]+, and nothing else
	filled    bool   // it is not empty
	inexact   bool
}

// take reads one token. It returns whether the walk knows where it is then.
func (w *walk) take(t token) bool {
	switch t.kind {
	case literal:
		for i, part := range strings.Split(t.text, "/") {
			if i > 0 && !w.close() {
				return false
			}
			if part != "" {
				w.whole, w.filled = false, true
				w.text += part
			}
		}
	case segment, piece, pieces:
		w.whole = t.kind == segment && w.text == "" && !w.mixed
		w.mixed, w.filled = true, w.filled || t.kind != pieces
	default:
		return false
	}
	return true
}

// close ends a segment.
func (w *walk) close() bool {
	switch {
	case !w.mixed:
		w.directory += w.text + "/"
	case !w.filled:
		return false
	default:
		w.inexact = w.inexact || !w.whole
		w.directory += importer.Any + "/"
	}
	w.text, w.mixed, w.whole, w.filled = "", false, false, false
	return true
}

func (w *walk) open() bool { return strings.Contains(w.directory, importer.Any) }

// end returns the paths of a sequence that was read to its end, which is a text.
func (w *walk) end(tail string) (paths []importer.Paths, exact bool) {
	switch {
	case !w.mixed:
		return one(importer.Exactly(w.directory + w.text)), !w.inexact
	case w.whole:
		return one(importer.Exactly(w.directory + importer.Any)), !w.inexact
	case tail != "" && !w.open():
		return one(importer.Ending(w.directory, tail)), false
	case w.filled:
		return one(importer.Exactly(w.directory + importer.Any)), false
	}
	return one(importer.Beginning(w.directory)), false
}

// rest returns the paths of a sequence of which the walk has not read the rest.
func (w *walk) rest(s []token) (paths []importer.Paths, exact bool) {
	begins := importer.Beginning(w.directory + w.text)
	if w.mixed {
		begins.Text = w.directory
	}
	switch ends := tail(s); {
	case len(s) == 1 && s[0].kind == anything && !w.mixed:
		return one(begins), !w.inexact
	case len(s) == 1 && s[0].kind == anything && w.filled:
		return []importer.Paths{importer.Exactly(w.directory + importer.Any), importer.Beginning(w.directory + importer.Any + "/")}, w.whole && !w.inexact
	case ends == "" || w.open():
		return one(begins), false
	case len(s) == 2 && s[1].text == ends && !w.mixed && !w.inexact && s[0].kind == something && w.text == "":
		return one(importer.Paths{Text: begins.Text, Suffix: ends, Longer: true}), true
	default:
		begins.Suffix = ends
		return one(begins), len(s) == 2 && s[1].text == ends && s[0].kind == anything && !w.mixed && !w.inexact && !overlap(w.text, ends)
	}
}

// overlap reports whether a text may end as another one begins.
func overlap(text, next string) bool {
	for i := range text {
		if strings.HasPrefix(next, text[i:]) {
			return true
		}
	}
	return false
}
