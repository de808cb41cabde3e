package layout

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"sluice/config/report"
)

// source is a text and where everything in it stands. Offsets are of bytes.
type source struct {
	text     string
	comments []comment
	spans    map[*yaml.Node]span
	dashes   map[*yaml.Node]int // before the elements of block sequences, by element
	blocks   map[*yaml.Node]block
	after    []int // what comes after an empty line, in order
	document int   // where --- is, -1 if it is not there
}

// comment is one comment, which ends with its line.
type comment struct {
	at     int
	column int    // of characters, from 0
	text   string // from its # on, without blanks at its end
	behind bool   // something else is on its line
}

// span is where a node stands: its anchor, if it has one, and from begin on the rest, with brackets
// and quotes.
type span struct{ anchor, begin, end int }

// block is the content of a block scalar.
type block struct {
	begin  int    // of its lines
	indent int    // of each
	text   string // they, with the line break of each but the last
}

// scanner goes through a text with the nodes that the parser has made of it. Between them it takes
// nothing but what may stand there.
type scanner struct {
	source
	at    int // offset of what comes next
	lines []int
	wrong *mistake
	known place // the last place that was looked up
	empty bool  // an empty line has just passed
}

// place is an offset in two forms. Line and column count from 0, columns characters.
type place struct{ line, column, offset int }

// scan finds where the nodes of a text and its comments stand.
func scan(text string, root *yaml.Node) (*source, *mistake) {
	s := &scanner{source: source{text: text, spans: map[*yaml.Node]span{}, dashes: map[*yaml.Node]int{}, blocks: map[*yaml.Node]block{}, document: -1}, lines: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	s.space()
	if s.marker("---") {
		s.document = s.at
		s.at += len("---")
		s.space()
	}
	if root != nil {
		s.node(root, -1)
	}
	for s.space(); s.marker("..."); s.space() {
		s.at += len("...")
	}
	if s.at < len(text) {
		s.fail("what stands here is not understood")
	}
	return &s.source, s.wrong
}

// fail ends the scan at where it is.
func (s *scanner) fail(why string) {
	if s.wrong != nil {
		return
	}
	line := strings.Count(s.text[:s.at], "\n")
	s.wrong = &mistake{pos: report.Pos{Line: line + 1, Column: s.column(s.at) + 1}, why: why}
	s.at = len(s.text)
}

// marker reports whether a marker of documents stands at the beginning of this line.
func (s *scanner) marker(m string) bool {
	rest, found := strings.CutPrefix(s.text[s.at:], m)
	return found && (s.at == 0 || s.text[s.at-1] == '\n') && (rest == "" || strings.ContainsRune(" \t\n", rune(rest[0])))
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// space passes blanks, line breaks and comments.
func (s *scanner) space() {
	for begin := s.at; ; s.at++ {
		switch c := s.peek(); {
		case c == ' ' || c == '\t':
		case c == '\n':
			s.empty = s.empty || s.alone(s.at) && s.at > 0
		case c == '#' && (s.at == begin || strings.IndexByte(" \t\n", s.text[s.at-1]) >= 0):
			s.comment()
			begin = s.at
			s.at-- // the line break is next
		default:
			if s.empty && c != 0 {
				s.after = append(s.after, s.at)
				s.empty = false
			}
			return
		}
	}
}

// alone reports whether nothing but blanks is before an offset on its line.
func (s *scanner) alone(at int) bool {
	before := s.text[:at]
	return strings.Trim(before[strings.LastIndexByte(before, '\n')+1:], " \t") == ""
}

// column returns the column of an offset, from 0.
func (s *source) column(at int) int {
	before := s.text[:at]
	return utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// comment takes the comment that is next.
func (s *scanner) comment() {
	text, _, _ := strings.Cut(s.text[s.at:], "\n")
	s.comments = append(s.comments, comment{at: s.at, column: s.column(s.at), text: strings.TrimRight(text, " \t"), behind: !s.alone(s.at)})
	if s.empty {
		s.after = append(s.after, s.at)
		s.empty = false
	}
	s.at += len(text)
}

// offset returns where a line and a column of a node are, both counted from 1 as the parser does.
func (s *scanner) offset(n *yaml.Node) int {
	line, column := n.Line-1, n.Column-1
	if line < 0 || line >= len(s.lines) {
		return len(s.text)
	}
	if s.known.line != line || s.known.column > column || s.known.offset < s.lines[line] {
		s.known = place{line: line, offset: s.lines[line]}
	}
	for s.known.column < column && s.known.offset < len(s.text) {
		_, size := utf8.DecodeRuneInString(s.text[s.known.offset:])
		s.known.offset += size
		s.known.column++
	}
	return s.known.offset
}

// advance passes spaces and the signs between nodes, up to an offset.
func (s *scanner) advance(to int) {
	for s.space(); s.at < to; s.space() {
		if strings.IndexByte("?:,", s.peek()) < 0 {
			s.fail("what stands here is not understood")
			return
		}
		s.at++
	}
	if s.at > to {
		s.fail("what stands before here is not understood")
	}
}

// past passes the same and a sign.
func (s *scanner) past(sign byte) (at int) {
	for s.space(); s.peek() != sign; s.space() {
		if strings.IndexByte("?:,", s.peek()) < 0 || s.peek() == 0 {
			s.fail("what stands here is not understood")
			return s.at
		}
		s.at++
	}
	s.at++
	return s.at - 1
}

// node finds where a node stands. Column is that of the block collection around it, -1 for none.
func (s *scanner) node(n *yaml.Node, column int) {
	if isNothing(n) && n.Anchor == "" {
		s.spans[n] = span{s.at, s.at, s.at}
		return
	}
	if n.Kind != yaml.SequenceNode || n.Style&yaml.FlowStyle != 0 || n.Anchor != "" { // else a dash is first
		s.advance(s.offset(n))
	}
	anchor := s.at
	if n.Anchor != "" {
		s.literally("&" + n.Anchor)
		if isNothing(n) {
			s.spans[n] = span{anchor, s.at, s.at}
			return
		}
		s.space()
	}
	begin := s.at
	switch {
	case s.wrong != nil:
		return
	case n.Kind == yaml.AliasNode:
		s.literally("*" + n.Value)
	case n.Kind == yaml.ScalarNode:
		s.scalar(n, column)
	case n.Style&yaml.FlowStyle != 0:
		s.flow(n)
	case n.Kind == yaml.SequenceNode:
		s.sequence(n, column)
	default:
		for i, child := range n.Content {
			if i == 0 {
				column = s.column(begin) // of the '?', if there is one
			}
			if s.node(child, column); i%2 == 1 && isNothing(child) {
				s.colon()
			}
		}
	}
	s.spans[n] = span{anchor, begin, s.at}
}

// isNothing reports whether n stands for a value that is not written at all.
func isNothing(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Style == 0 && n.Value == "" }

// colon passes the colon behind which nothing is written, unless that is left off too and the colon is the beginning
// of the next key.
func (s *scanner) colon() {
	s.space()
	if rest, found := strings.CutPrefix(s.text[s.at:], ":"); found && (rest == "" || strings.IndexByte(" \t\n", rest[0]) >= 0) {
		s.at++
	}
}

// literally passes a text that has to be next.
func (s *scanner) literally(text string) {
	if !strings.HasPrefix(s.text[s.at:], text) {
		s.fail("something else stands here than the parser has found")
		return
	}
	s.at += len(text)
}

// sequence finds where the elements of a block sequence stand.
func (s *scanner) sequence(n *yaml.Node, column int) {
	for i, child := range n.Content {
		at := s.past('-')
		if s.wrong != nil {
			return
		}
		if i == 0 {
			column = s.column(at)
		}
		s.dashes[child] = at
		s.node(child, column)
	}
}

// flow finds where the elements of a flow collection stand, and its end. The mapping in [a: b] has no
// braces.
func (s *scanner) flow(n *yaml.Node) {
	closing := map[byte]byte{'[': ']', '{': '}'}[s.peek()]
	if n.Kind == yaml.MappingNode && closing != '}' {
		closing = 0
	}
	if closing != 0 {
		s.at++
	}
	for _, child := range n.Content {
		s.node(child, -1)
	}
	if closing != 0 {
		s.past(closing)
	}
}
