package layout

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// scalar passes the scalar that is next.
func (s *scanner) scalar(n *yaml.Node, column int) {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		s.quoted('"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		s.quoted('\'')
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		s.block(n, column)
	default:
		s.plain(n.Value)
	}
}

// quoted passes a scalar in quotes.
func (s *scanner) quoted(quote byte) {
	if s.peek() != quote {
		s.fail("no quotes stand where the parser has found them")
		return
	}
	for s.at++; s.at < len(s.text); s.at++ {
		two := s.text[s.at:min(s.at+2, len(s.text))]
		switch {
		case two == "''" && quote == '\'', two[0] == '\\' && quote == '"':
			s.at++
		case two[0] == quote:
			s.at++
			return
		}
	}
	s.fail("a quote is not closed")
}

// plain passes a scalar without quotes: value, in which each break of lines has become a space, or
// one of two and more a line break less.
func (s *scanner) plain(value string) {
	for value != "" && s.wrong == nil {
		blank := s.text[s.at:]
		blank = blank[:len(blank)-len(strings.TrimLeft(blank, " \t\n"))]
		want := blank
		switch n := strings.Count(blank, "\n"); {
		case n == 1:
			want = " "
		case n > 1:
			want = strings.Repeat("\n", n-1)
		case n == 0 && blank == "":
			_, size := utf8.DecodeRuneInString(value)
			want = value[:size]
			blank = want
		}
		if !strings.HasPrefix(value, want) {
			s.fail("something else stands here than the parser has found")
			return
		}
		s.literally(blank)
		value = value[len(want):]
	}
}

// block passes a block scalar, as the parser does (YAML 1.2, section 8.1). Column is that of the
// block collection around it.
func (s *scanner) block(n *yaml.Node, column int) {
	s.at++ // | or >
	indent, keep := 0, false
	for ; strings.IndexByte("+-123456789", s.peek()) >= 0 && s.at < len(s.text); s.at++ {
		switch c := s.peek(); c {
		case '+':
			keep = true
		case '-':
		default:
			indent = max(column, 0) + int(c-'0')
		}
	}
	for c := s.peek(); c == ' ' || c == '\t'; c = s.peek() {
		s.at++
	}
	if s.peek() == '#' {
		s.comment()
	}
	if s.at == len(s.text) {
		return
	}
	if s.peek() != '\n' {
		s.fail("what stands here is not understood")
		return
	}
	begin, end := s.at+1, s.at // of the content
	if indent == 0 {
		indent = max(s.indentAt(begin), column+1, 1)
	}
	for at := begin; at < len(s.text); {
		line, _, broken := strings.Cut(s.text[at:], "\n")
		blanks := len(line) - len(strings.TrimLeft(line, " "))
		if blanks < indent && blanks < len(line) {
			break
		}
		if keep && broken || len(line) > indent {
			end = at + len(line)
		}
		if at += len(line); broken {
			at++
		}
	}
	if end >= begin {
		s.blocks[n] = block{begin: begin, indent: indent, text: s.text[begin:end]}
	}
	if s.at = end; keep && end >= begin && end < len(s.text) {
		s.at++ // the empty lines are in it
	}
}

// indentAt returns the indentation of the content at an offset: that of its first line with more than
// spaces, or of one before it that has more of them.
func (s *scanner) indentAt(at int) (indent int) {
	for line := range strings.Lines(s.text[at:]) {
		line = strings.TrimSuffix(line, "\n")
		blanks := len(line) - len(strings.TrimLeft(line, " "))
		if indent = max(indent, blanks); blanks < len(line) {
			break
		}
	}
	return indent
}

// written returns a scalar on one line in the normal form.
func written(n *yaml.Node) string {
	switch {
	case n.Style == 0 && !strings.Contains(n.Value, "\n") && !strings.HasSuffix(n.Value, ":") && n.Value != "-" && !isMarker(n.Value), n.Style != 0 && isPlain(n.Value):
		return n.Value
	case strings.ContainsAny(n.Value, `"\`) && strings.IndexFunc(n.Value, isHidden) < 0:
		return "'" + strings.ReplaceAll(n.Value, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range n.Value {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case !isHidden(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isHidden reports whether a reader does not see c.
func isHidden(c rune) bool {
	return c != ' ' && !unicode.IsGraphic(c) || c != ' ' && unicode.IsSpace(c)
}

// plain matches texts of which YAML takes no part for a sign, wherever they stand. Others keep their
// quotes, though some would not need them.
var plain = regexp.MustCompile(`^[\pL\pN/_.][\pL\pN/_.+@=()^;~%$*:-]*( [\pL\pN/_.+@=()^;~%$*:-]+)*$`)

// likeOther matches texts that some reader of YAML takes for something else than text: YAML 1.1 has
// more words for true and false than the parser, and numbers to the base of 60.
var likeOther = regexp.MustCompile(`^((?i)y|n|yes|no|on|off|true|false|null|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)$`)

// isMarker reports whether a text at the beginning of a line may separate documents.
func isMarker(text string) bool {
	return strings.HasPrefix(text, "---") || strings.HasPrefix(text, "...")
}

// isPlain reports whether a text needs no quotes.
func isPlain(text string) bool {
	return plain.MatchString(text) && !strings.Contains(text+" ", ": ") && !isMarker(text) &&
		!likeOther.MatchString(text) && (&yaml.Node{Kind: yaml.ScalarNode, Value: text}).ShortTag() == "!!str"
}
