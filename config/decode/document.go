package decode

import (
	"bytes"
	"errors"
	"io"
	"strconv"
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

// Document returns the root of the only document of text, nil if it is empty. It is not ok if there is
// nothing to decode; the reason is reported, as is everything that keeps text from being one document
// within the limits of size, depth and aliases. File is the name of an included file, "" for the one that
// includes.
func Document(r *report.Report, file string, text []byte) (root *yaml.Node, ok bool) {
	in := func(p report.Pos) report.Pos {
		p.File = file
		return p
	}
	if len(text) > MaxSize {
		r.FailAt(in(report.Start()), "", "the file is larger than %d bytes, the most that is read", MaxSize)
		return nil, false
	}
	if at := unreadable(text); at >= 0 {
		r.FailAt(in(position(text, at)), "", "the file is not plain UTF-8 text: found byte 0x%02x; save it as UTF-8", text[at])
		return nil, false
	}
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	switch err := documents.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, true
	case err != nil:
		syntax(r, file, text, err)
		return nil, false
	}
	root = first.Content[0]
	if where, why := (&bounds{open: map[*yaml.Node]bool{}}).check(root, 0, false); why != "" {
		r.FailAt(in(nodePos(where)), "", "%s", why)
		return nil, false
	}
	switch err := documents.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		syntax(r, file, text, err)
	default:
		r.FailAt(in(nodePos(&second)), "", "a second document starts here: put everything into one")
	}
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, true
	}
	return root, true
}

// unreadable returns the offset of the first byte that is not UTF-8 or begins a character that YAML forbids
// (YAML 1.2, section 5.1), or -1.
func unreadable(text []byte) int {
	for at := 0; at < len(text); {
		c, size := utf8.DecodeRune(text[at:])
		control := c < ' ' && c != '\t' && c != '\n' && c != '\r' || c >= 0x7f && c < 0xa0 && c != 0x85
		if control || c == utf8.RuneError && size == 1 || c == 0xfffe || c == 0xffff {
			return at
		}
		at += size
	}
	return -1
}

// position returns the position of text[offset]. Columns count characters.
func position(text []byte, offset int) report.Pos {
	before := text[:offset]
	return report.Pos{
		Line:   bytes.Count(before, []byte("\n")) + 1,
		Column: utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1,
	}
}

// nodePos returns the position of n in its file. A node that stands for nothing may have none.
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
