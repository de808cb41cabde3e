// Package layout writes YAML in one normal form, as 'sluice fmt' does: indented by two, with quotes
// only where they are needed, and with every comment where it was. The order of keys is the author's,
// and so are comments: nothing moves past anything else.
//
// The form is printed from the nodes of the parser, and comments and empty lines are put between them
// by their positions in the text (those that the parser attaches to nodes are not used: some get lost
// in flow collections, others change sides). What was printed is read again and compared before it is
// returned, so that text which this package does not understand is refused and never changed.
package layout

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"sluice/config/decode"
	"sluice/config/report"
)

// Format returns text, one YAML document with a mapping, in the normal form. It reads as the same
// document, has the same comments in the same order, and is what Format returns for it. The name of
// the file is for messages. The error is nil or [report.Problems].
func Format(file string, text []byte) ([]byte, error) {
	r := report.OfFile(file)
	text = bytes.ReplaceAll(bytes.TrimPrefix(text, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
	root, ok := decode.Document(r, "", text)
	if ok {
		refuse(r, root)
		refuseCharacters(r, text)
	}
	if problems := r.Problems(); len(problems) > 0 {
		return nil, problems
	}
	before, wrong := scan(string(text), root)
	if wrong == nil {
		out := write(before, root)
		if wrong = compare(before, root, out); wrong == nil {
			return []byte(out), nil
		}
	}
	r.FailAt(wrong.pos, "", "%s: this file cannot be laid out", wrong.why)
	return nil, r.Problems()
}

// mistake is where and why a text is not understood.
type mistake struct {
	pos report.Pos
	why string
}

// refuse reports what no configuration has and this package does not print.
func refuse(r *report.Report, root *yaml.Node) {
	switch {
	case root == nil:
		return
	case root.Kind != yaml.MappingNode:
		r.FailAt(position(root), "", "a configuration is a mapping of keys to values")
		return
	case root.Style&yaml.FlowStyle != 0:
		r.FailAt(position(root), "", "the file is written as JSON, in braces: it has another form, which tools for JSON know")
		return
	}
	refuseIn(r, root)
}

// maxKey is the longest key that is laid out, with its anchor, in bytes. As escapes it has at most the 1,024
// characters that YAML allows (YAML 1.2, section 7.4).
const maxKey = 250

func refuseIn(r *report.Report, n *yaml.Node) {
	if n.Style&yaml.TaggedStyle != 0 {
		r.FailAt(position(n), "", "the tag %s means nothing here: remove it", report.Shorten(n.Tag))
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if child.Kind != yaml.ScalarNode && child.Kind != yaml.AliasNode || isNothing(child) {
				r.FailAt(position(child), "", "a key must be a single value")
				continue
			}
			if len(child.Value)+len(child.Anchor) > maxKey {
				r.FailAt(position(child), "", "a key is longer than %d bytes", maxKey)
				continue
			}
		}
		refuseIn(r, child)
	}
}

// refuseCharacters reports characters that end a line in YAML 1.1 and do not in YAML 1.2, and byte order marks that
// do not begin the file, which the parser passes over at the beginning of a line.
func refuseCharacters(r *report.Report, text []byte) {
	for i, line := range strings.Split(string(text), "\n") {
		at := strings.IndexAny(line, "\r\u0085\u2028\u2029\ufeff")
		if at < 0 {
			continue
		}
		pos := report.Pos{Line: i + 1, Column: utf8.RuneCountInString(line[:at]) + 1}
		switch c, _ := utf8.DecodeRuneInString(line[at:]); c {
		case '\ufeff':
			r.FailAt(pos, "", "a byte order mark stands here, which is seen nowhere: remove it, or write an escape in double quotes")
		default:
			r.FailAt(pos, "", "the character %U ends a line for some programs and not for others: write a line feed, or an escape in double quotes", c)
		}
		return
	}
}

func position(n *yaml.Node) report.Pos {
	return report.Pos{Line: max(n.Line, 1), Column: max(n.Column, 1)}
}

// compare returns where and why out does not say what was read before it.
func compare(before *source, root *yaml.Node, out string) *mistake {
	r := report.OfFile("")
	again, ok := decode.Document(r, "", []byte(out))
	if problems := r.Problems(); !ok || len(problems) > 0 {
		return &mistake{pos: report.Start(), why: "its normal form would be no YAML"}
	}
	if n := different(root, again); n != nil {
		return &mistake{pos: position(n), why: "its normal form would mean something else here"}
	}
	after, wrong := scan(out, again)
	if wrong != nil || !slices.EqualFunc(before.comments, after.comments, func(a, b comment) bool { return a.text == b.text }) {
		return &mistake{pos: report.Start(), why: "its normal form would lose a comment"}
	}
	return nil
}

// different returns a node of a that is not the same in b, or nil.
func different(a, b *yaml.Node) *yaml.Node {
	if a == nil || b == nil {
		if a != b {
			return &yaml.Node{}
		}
		return nil
	}
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Value != b.Value || a.Anchor != b.Anchor || len(a.Content) != len(b.Content) {
		return a
	}
	for i := range a.Content {
		if n := different(a.Content[i], b.Content[i]); n != nil {
			return n
		}
	}
	return nil
}
