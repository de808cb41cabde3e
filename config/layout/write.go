package layout

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const step = 2 // of the indentation

// writer writes nodes in the normal form. Whatever it writes, it first writes the comments that are
// before that in the source.
type writer struct {
	*source
	out    strings.Builder
	line   strings.Builder // the last line, while something may come behind what is on it
	inside []level         // the block collections that are open
	left   []level         // those that were closed since the last value, the outermost last
	trail  trail
}

// trail is the last comment that was written behind something: one below it, in the same column, goes on
// with it.
type trail struct {
	at, column int // in the source
	written    int // its column as it is written
}

// continues reports whether a comment goes on with the one of t.
func (w *writer) continues(c comment) bool {
	return w.trail.written > 0 && c.column == w.trail.column && strings.Count(w.text[w.trail.at:c.at], "\n") == 1
}

// level is a block collection.
type level struct {
	column int // in the source; math.MaxInt for one that has brackets there
	indent int // as it is written
	list   bool
}

// write returns a document in the normal form.
func write(s *source, root *yaml.Node) string {
	own := *s // the lists of comments and empty lines are used up
	w := &writer{source: &own}
	if s.document >= 0 {
		w.first(s.document, "---", 0, false)
	}
	if root != nil {
		w.value(root, 0, false)
	}
	w.before(len(s.text), 0)
	w.endLine()
	return w.out.String()
}

// endLine ends the last line, if it has not ended.
func (w *writer) endLine() {
	if w.line.Len() > 0 {
		w.out.WriteString(w.line.String() + "\n")
		w.line.Reset()
	}
}

// newLine begins a line for what is at an offset of the source. Of the empty lines before it, one stays.
func (w *writer) newLine(at, indent int) {
	w.endLine()
	if w.passEmpty(at) && w.out.Len() > 0 {
		w.out.WriteByte('\n')
	}
	w.line.WriteString(strings.Repeat(" ", indent))
}

// passEmpty passes the empty lines before an offset of the source and reports whether there were any.
func (w *writer) passEmpty(at int) (any bool) {
	for ; len(w.after) > 0 && w.after[0] <= at; w.after = w.after[1:] {
		any = true
	}
	return any
}

// before writes the comments that are before an offset of the source, where something comes that has
// an indentation. One that stood behind something stays there, in its column if there is room.
func (w *writer) before(at, indent int) {
	for ; len(w.comments) > 0 && w.comments[0].at < at; w.comments = w.comments[1:] {
		c := w.comments[0]
		switch {
		case c.behind && w.line.Len() > 0:
			room := c.column - utf8.RuneCountInString(w.line.String())
			w.line.WriteString(strings.Repeat(" ", max(room, 1)))
			w.trail = trail{c.at, c.column, utf8.RuneCountInString(w.line.String())}
		case !c.behind && w.continues(c):
			w.newLine(c.at, w.trail.written)
			w.trail.at = c.at
		default:
			w.newLine(c.at, w.indentOf(c, indent))
			w.trail = trail{}
		}
		w.line.WriteString(c.text)
		w.endLine()
	}
}

// indentOf returns the indentation of a comment on a line of its own: that of what comes next, unless
// it stands at the end of a collection, as its column tells.
func (w *writer) indentOf(c comment, next int) int {
	of := level{indent: next, column: -1}
	if n := len(w.inside); n > 0 {
		of.column = w.inside[n-1].column
	}
	if c.behind { // the bracket that ended a collection
		c.column = math.MaxInt
	}
	for i := len(w.left) - 1; i >= 0; i-- {
		if l := w.left[i]; l.list && l.column == c.column && isElement(c.text) {
			return l.indent // the list stands at the column of its key
		} else if l.column <= c.column && l.column > of.column {
			of = l
		}
	}
	return of.indent
}

// isElement reports whether a comment is an element of a list that was made a comment.
func isElement(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, "# "), "- ")
}

// word writes one of the words of a line: behind what is on it, or where a comment has ended it, on
// one of its own.
func (w *writer) word(at int, text string, indent int) {
	w.before(at, indent)
	w.left = nil
	if w.line.Len() == 0 {
		w.newLine(at, indent)
	} else {
		w.passEmpty(at)
		w.line.WriteByte(' ')
	}
	w.line.WriteString(text)
}

// first writes the first word of an element of a block collection, on a line of its own or, if it may
// be, behind a dash.
func (w *writer) first(at int, text string, indent int, behind bool) {
	if w.before(at, indent); !behind || w.line.Len() == 0 {
		w.newLine(at, indent)
		w.line.WriteString(text)
		w.left = nil
		return
	}
	w.word(at, text, indent)
}

// block writes a block collection, or one that becomes such. Behind says that it may begin behind a
// dash on the same line.
func (w *writer) block(n *yaml.Node, indent int, behind bool) {
	l := level{column: math.MaxInt, indent: indent, list: n.Kind == yaml.SequenceNode}
	flow := n.Style&yaml.FlowStyle != 0
	if !flow {
		l.column = w.columnOf(n)
	}
	w.inside = append(w.inside, l)
	for i, child := range n.Content {
		switch at, dash := w.dashes[child]; {
		case n.Kind == yaml.MappingNode && i%2 == 0:
			w.first(w.spans[child].anchor, w.key(child), indent, behind && i == 0)
			continue
		case n.Kind == yaml.MappingNode:
			w.value(child, indent+step, false)
		case dash:
			w.first(at, "-", indent, behind && i == 0)
			w.value(child, indent+step, true)
		default:
			w.first(w.spans[child].anchor, "-", indent, behind && i == 0)
			w.value(child, indent+step, true)
		}
	}
	if flow {
		w.before(w.spans[n].end, indent) // what stands before its bracket belongs to it
	}
	w.inside = w.inside[:len(w.inside)-1]
	w.left = append(w.left, l)
}

// columnOf returns the column at which a block collection stands in the source.
func (w *writer) columnOf(n *yaml.Node) int {
	if at, ok := w.dashes[n.Content[0]]; ok && n.Kind == yaml.SequenceNode {
		return w.column(at)
	}
	return n.Content[0].Column - 1
}

// value writes the value of a key or an element of a sequence. What does not fit on the line of the
// key or dash gets an indentation.
func (w *writer) value(n *yaml.Node, indent int, behind bool) {
	at := w.spans[n]
	if n.Anchor != "" {
		w.word(at.anchor, "&"+n.Anchor, indent)
		behind = false
	}
	switch {
	case isNothing(n):
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		w.lines(n, indent)
	case n.Kind == yaml.AliasNode, n.Kind == yaml.ScalarNode, w.isShort(n):
		if len(w.comments) > 0 && len(n.Content) == 0 && w.comments[0].at > at.begin && !w.comments[0].behind {
			w.before(at.end, indent) // those between brackets with nothing else in them
		}
		w.word(at.begin, w.inline(n), indent)
	default:
		w.block(n, indent, behind)
	}
}

// isShort reports whether a collection stays within one line: it has brackets, which are on one line,
// or nothing in them.
func (w *writer) isShort(n *yaml.Node) bool {
	at := w.spans[n]
	return n.Style&yaml.FlowStyle != 0 && (len(n.Content) == 0 || !strings.Contains(w.text[at.begin:at.end], "\n"))
}

// lines writes a block scalar.
func (w *writer) lines(n *yaml.Node, indent int) {
	header := "|"
	if n.Style&yaml.FoldedStyle != 0 {
		header = ">"
	}
	content, ok := w.blocks[n]
	var lines []string
	if ok {
		lines = strings.Split(content.text, "\n")
	}
	for i, line := range lines {
		lines[i] = line[min(content.indent, len(line)):]
	}
	if text := strings.TrimLeft(strings.Join(lines, "\n"), "\n"); strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t") {
		header += strconv.Itoa(step) // else these blanks would count as indentation
	}
	indicators, _, _ := strings.Cut(w.text[w.spans[n].begin:], "\n")
	if end := strings.IndexFunc(indicators, func(c rune) bool { return !strings.ContainsRune("|>+-0123456789", c) }); end >= 0 {
		indicators = indicators[:end]
	}
	switch {
	case strings.Contains(indicators, "-"), n.Value != "" && !strings.HasSuffix(n.Value, "\n"): // the latter at the end of a file
		header += "-"
	case strings.Contains(indicators, "+"):
		header += "+"
	}
	w.word(w.spans[n].begin, header, indent)
	if !ok {
		return
	}
	w.before(content.begin, indent)
	w.endLine()
	for _, line := range lines {
		if line != "" {
			w.out.WriteString(strings.Repeat(" ", indent) + line)
		}
		w.out.WriteByte('\n')
	}
}

// key writes a key with its colon.
func (w *writer) key(n *yaml.Node) string {
	if n.Kind == yaml.AliasNode {
		return w.inline(n) + " :" // the colon could be part of the name
	}
	if n.Anchor != "" {
		return "&" + n.Anchor + " " + w.inline(n) + ":"
	}
	return w.inline(n) + ":"
}

// inline writes a node on one line, without its anchor.
func (w *writer) inline(n *yaml.Node) string {
	switch n.Kind {
	case yaml.AliasNode:
		return "*" + n.Value
	case yaml.ScalarNode:
		return written(n)
	}
	var parts []string
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			parts = append(parts, w.key(child))
			continue
		}
		text := w.inline(child)
		if child.Anchor != "" {
			text = strings.TrimSuffix("&"+child.Anchor+" "+text, " ")
		}
		switch last := len(parts) - 1; {
		case n.Kind == yaml.SequenceNode:
			parts = append(parts, text)
		case text == "": // a comma behind the colon would be part of the key
			parts[last] = strings.TrimRight(strings.TrimSuffix(parts[last], ":"), " ")
		default:
			parts[last] += " " + text
		}
	}
	switch text := strings.Join(parts, ", "); {
	case n.Kind == yaml.SequenceNode:
		return "[" + text + "]"
	case text == "":
		return "{}"
	default:
		return "{ " + text + " }"
	}
}
