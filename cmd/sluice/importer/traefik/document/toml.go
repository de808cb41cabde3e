package document

import (
	"errors"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"sluice/cmd/sluice/importer"
)

// ReadTOML reads a file of TOML.
func ReadTOML(f importer.File) (*Node, error) {
	t := &tomlReader{file: f, lines: strings.Split(f.Text, "\n"), text: []byte(f.Text)}
	t.parser.Reset(t.text)
	root := &Node{Kind: Map, Pos: t.at(1)}
	table := root
	for t.parser.NextExpression() {
		expression := t.parser.Expression()
		var err error
		switch expression.Kind {
		case unstable.Table:
			table, err = t.table(root, expression, false)
		case unstable.ArrayTable:
			table, err = t.table(root, expression, true)
		case unstable.KeyValue:
			err = t.entry(table, expression, 0)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := t.parser.Error(); err != nil {
		return nil, t.mistake(err)
	}
	t.ends(root, len(t.lines))
	return root, nil
}

type tomlReader struct {
	file   importer.File
	text   []byte
	lines  []string
	parser unstable.Parser
	nodes  int

	offset, line int // a place in the text, and its line
}

func (t *tomlReader) at(line int) importer.Pos { return importer.Pos{File: t.file.Name, Line: line} }

// mistake returns an error of the parser with its place.
func (t *tomlReader) mistake(err error) error {
	var where *unstable.ParserError
	line := 1
	if errors.As(err, &where) && len(where.Highlight) > 0 {
		line = t.lineOf(int(t.parser.Range(where.Highlight).Offset))
	}
	return t.at(line).Errorf("%w", err)
}

// lineOf returns the line of a place in the text.
func (t *tomlReader) lineOf(offset int) int {
	if offset < t.offset || t.line == 0 {
		t.offset, t.line = 0, 1
	}
	t.line += strings.Count(t.file.Text[t.offset:offset], "\n")
	t.offset = offset
	return t.line
}

// key returns the parts of a key and the line of the first.
func (t *tomlReader) key(expression *unstable.Node) (parts []string, line int) {
	for it := expression.Key(); it.Next(); {
		if part := it.Node(); line == 0 {
			line = t.lineOf(int(part.Raw.Offset))
		}
		parts = append(parts, string(it.Node().Data))
	}
	return parts, line
}

// step returns the mapping below a key; of a list it is the last element.
func (t *tomlReader) step(n *Node, key string, line int) (*Node, error) {
	next := n.entry(key)
	if next == nil {
		next = &Node{Kind: Map, Pos: t.at(line)}
		n.Entries = append(n.Entries, Entry{key, next})
	}
	if next.Kind == List && len(next.List) > 0 {
		next = next.List[len(next.List)-1]
	}
	if next.Kind != Map {
		return nil, t.at(line).Errorf("%s is no table", key)
	}
	return next, nil
}

// table returns the table that a header begins.
func (t *tomlReader) table(root *Node, expression *unstable.Node, inList bool) (n *Node, err error) {
	parts, line := t.key(expression)
	if t.nodes += len(parts); t.nodes > maxNodes || len(parts) > maxDepth {
		return nil, t.at(line).Errorf("more than %d values, or more than %d in each other", maxNodes, maxDepth)
	}
	n = root
	for _, part := range parts[:len(parts)-1] {
		if n, err = t.step(n, part, line); err != nil {
			return nil, err
		}
	}
	last := parts[len(parts)-1]
	if !inList {
		return t.step(n, last, line)
	}
	list := n.entry(last)
	if list == nil {
		list = &Node{Kind: List, Pos: t.at(line)}
		n.Entries = append(n.Entries, Entry{last, list})
	}
	if list.Kind != List {
		return nil, t.at(line).Errorf("%s is no list of tables", last)
	}
	element := &Node{Kind: Map, Pos: t.at(line)}
	list.List = append(list.List, element)
	return element, nil
}

// entry reads a key and its value into a table.
func (t *tomlReader) entry(n *Node, expression *unstable.Node, depth int) (err error) {
	parts, line := t.key(expression)
	for _, part := range parts[:len(parts)-1] {
		if n, err = t.step(n, part, line); err != nil {
			return err
		}
	}
	last := parts[len(parts)-1]
	if n.entry(last) != nil {
		return t.at(line).Errorf("%s is there twice", last)
	}
	value, err := t.value(expression.Value(), line, depth+len(parts))
	if err == nil {
		n.Entries = append(n.Entries, Entry{last, value})
	}
	return err
}

func (t *tomlReader) value(from *unstable.Node, line, depth int) (*Node, error) {
	n := &Node{Pos: t.at(line)}
	if t.nodes++; t.nodes > maxNodes || depth > maxDepth {
		return nil, n.Pos.Errorf("more than %d values, or more than %d in each other", maxNodes, maxDepth)
	}
	switch from.Kind {
	case unstable.Array:
		n.Kind = List
		for it := from.Children(); it.Next(); {
			if !it.Node().Valid() || it.Node().Kind == unstable.Comment {
				continue
			}
			item, err := t.value(it.Node(), line, depth+1)
			if err != nil {
				return nil, err
			}
			n.List = append(n.List, item)
		}
	case unstable.InlineTable:
		n.Kind = Map
		for it := from.Children(); it.Next(); {
			if err := t.entry(n, it.Node(), depth+1); err != nil {
				return nil, err
			}
		}
	default:
		n.Value = string(from.Data)
	}
	return n, nil
}

// ends sets where the values in n end: where the next one begins, or with what is around them.
func (t *tomlReader) ends(n *Node, end int) {
	n.lines, n.end = t.lines, end
	below := slices.Clone(n.List)
	for _, e := range n.Entries {
		below = append(below, e.Value)
	}
	next := end + 1
	for i := len(below) - 1; i >= 0; i-- {
		child := below[i]
		if i+1 < len(below) && below[i+1].Pos.Line > child.Pos.Line {
			next = below[i+1].Pos.Line
		}
		until := max(next-1, child.Pos.Line)
		if child.Kind == Scalar {
			until = child.Pos.Line
		}
		t.ends(child, until)
	}
}
