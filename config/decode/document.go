package decode

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"sluice/config/report"
)

// Limits that keep a hostile or mistaken file from taking the process down.
const (
	MaxSize    = 4 << 20 // bytes of text
	maxDepth   = 50      // mappings and lists in one another
	maxAliased = 100_000 // values repeated by aliases
)

// parse returns the root of the only document of text, nil if it is empty. It is not ok if there is
// nothing to decode; the reason is reported.
func (d *decoder) parse(text []byte) (root *yaml.Node, ok bool) {
	if len(text) > MaxSize {
		d.FailAt(report.Start(), "", "the file is larger than %d bytes, the most that is read", MaxSize)
		return nil, false
	}
	if at := strings.IndexFunc(string(text), unreadable); at >= 0 {
		d.FailAt(position(text, at), "", "the file is not plain UTF-8 text: found byte 0x%02x", text[at])
		return nil, false
	}
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	switch err := documents.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, true
	case err != nil:
		d.syntax(text, err)
		return nil, false
	}
	root = first.Content[0]
	if where, why := (&bounds{open: map[*yaml.Node]bool{}}).check(root, 0, false); why != "" {
		d.FailAt(nodePos(where), "", "%s", why)
		return nil, false
	}
	switch err := documents.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(text, err)
	default:
		d.FailAt(nodePos(&second), "", "a second document starts here: put everything into one")
	}
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, true
	}
	return root, true
}

// unreadable reports whether YAML forbids c (YAML 1.2, section 5.1).
func unreadable(c rune) bool {
	control := c < ' ' && c != '\t' && c != '\n' && c != '\r' || c >= 0x7f && c < 0xa0 && c != 0x85
	return control || c == utf8.RuneError || c == 0xfffe || c == 0xffff
}

var (
	syntaxError   = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
	// Errors of yaml.v3's grammar, unlike those of its tokens, count lines from 0.
	grammarError = regexp.MustCompile(`^did not find expected (<|node content|'-'|key|',')`)
)

// syntax reports an error of the YAML parser, which has its line, if any, in its text.
func (d *decoder) syntax(text []byte, err error) {
	pos, message := report.Start(), err.Error()
	if m := syntaxError.FindStringSubmatch(message); m != nil {
		message = m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			pos.Line = line
			if grammarError.MatchString(message) {
				pos.Line++
			}
		}
	}
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		pos = position(text, max(bytes.Index(text, []byte("*"+m[1])), 0))
	}
	if strings.Contains(message, "found character that cannot start any token") {
		message += " (a tab? indent with spaces; or quote the value)"
	}
	d.FailAt(pos, "", "not valid YAML: %s", message)
}

// position returns the position of text[offset]. Columns count characters.
func position(text []byte, offset int) report.Pos {
	before := text[:offset]
	return report.Pos{
		Line:   bytes.Count(before, []byte("\n")) + 1,
		Column: utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1,
	}
}

// nodePos returns the position of n. A node that stands for nothing may have none.
func nodePos(n *yaml.Node) report.Pos {
	return report.Pos{Line: max(n.Line, 1), Column: max(n.Column, 1)}
}

// bounds walks a document as decoding does: through its aliases.
type bounds struct {
	open    map[*yaml.Node]bool // anchors that the walk is inside of
	aliased int                 // values repeated so far
}

// check returns the node that breaks a limit and why, or "".
func (b *bounds) check(n *yaml.Node, depth int, aliased bool) (*yaml.Node, string) {
	if aliased {
		b.aliased++
	}
	switch {
	case b.aliased > maxAliased:
		return n, "the aliases of the file repeat more than " + strconv.Itoa(maxAliased) + " values"
	case depth > maxDepth:
		return n, "more than " + strconv.Itoa(maxDepth) + " mappings and lists in one another"
	case n.Kind == yaml.AliasNode && b.open[n.Alias]:
		return n, "alias *" + n.Value + " stands inside what it repeats"
	case n.Kind == yaml.AliasNode:
		b.open[n.Alias] = true
		defer delete(b.open, n.Alias)
		return b.check(n.Alias, depth, true)
	}
	if n.Anchor != "" && !b.open[n] {
		b.open[n] = true
		defer delete(b.open, n)
	}
	for _, child := range n.Content {
		if where, why := b.check(child, depth+1, aliased); why != "" {
			return where, why
		}
	}
	return nil, ""
}
