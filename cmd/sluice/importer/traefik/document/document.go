// Package document reads YAML and TOML as one kind of tree, in which each part knows where it stands.
package document

import (
	"slices"
	"strconv"
	"strings"

	"sluice/cmd/sluice/importer"
)

// A Node is a value of a document: a text, a list or a mapping.
type Node struct {
	Kind    Kind
	Pos     importer.Pos // of its key, if it has one
	Value   string       // of a text
	List    []*Node
	Entries []Entry // of a mapping, in their order

	lines []string // of the file
	end   int      // its last line
}

// A Kind of node.
type Kind int

const (
	Scalar Kind = iota
	List
	Map
)

// An Entry is a key of a mapping and its value.
type Entry struct {
	Key   string
	Value *Node
}

// Bounds of a document.
const (
	maxDepth = 50
	maxNodes = 200_000
)

// Get returns the value at a path of keys, whose case does not matter, or nil. It may be asked of nil.
func (n *Node) Get(path ...string) *Node {
	for _, key := range path {
		if n = n.entry(key); n == nil {
			return nil
		}
	}
	return n
}

func (n *Node) entry(key string) *Node {
	if n == nil {
		return nil
	}
	for _, e := range n.Entries {
		if strings.EqualFold(e.Key, key) {
			return e.Value
		}
	}
	return nil
}

// Each calls f for each entry of a mapping.
func (n *Node) Each(f func(key string, value *Node)) {
	if n == nil {
		return
	}
	for _, e := range n.Entries {
		f(e.Key, e.Value)
	}
}

// Items returns the elements of a list, or a text as the only one.
func (n *Node) Items() []*Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == Scalar && n.Value != "":
		return []*Node{n}
	}
	return n.List
}

// String returns the text at a path, or "".
func (n *Node) String(path ...string) string {
	if at := n.Get(path...); at != nil && at.Kind == Scalar {
		return at.Value
	}
	return ""
}

// Strings returns the texts of the list at a path, or one text, in which commas part several.
func (n *Node) Strings(path ...string) (all []string) {
	for _, item := range n.Get(path...).Items() {
		for text := range strings.SplitSeq(item.Value, ",") {
			if text = strings.TrimSpace(text); text != "" {
				all = append(all, text)
			}
		}
	}
	return all
}

// Bool returns the truth value at a path.
func (n *Node) Bool(path ...string) bool {
	value, _ := strconv.ParseBool(strings.ToLower(n.String(path...)))
	return value
}

// Int returns the number at a path; ok is false if there is none.
func (n *Node) Int(path ...string) (value int, ok bool) {
	value, err := strconv.Atoi(n.String(path...))
	return value, err == nil
}

// Merge adds the entries of another mapping, and those of mappings that both have. Lists under one of some
// keys become one list.
func (n *Node) Merge(other *Node, lists ...string) error {
	for _, e := range other.Entries {
		have := n.entry(e.Key)
		switch {
		case have == nil:
			n.Entries = append(n.Entries, e)
		case have.Kind == List && e.Value.Kind == List && slices.Contains(lists, e.Key):
			have.List = append(have.List, e.Value.List...)
		case have.Kind == Map && e.Value.Kind == Map:
			if err := have.Merge(e.Value, lists...); err != nil {
				return err
			}
		default:
			return e.Value.Pos.Errorf("%s is there already, at %s", e.Key, have.Pos)
		}
	}
	return nil
}

// Text returns the beginning of what stands in the file, from the key on.
func (n *Node) Text() string {
	const most, long = 25, 300
	var all []string
	for i := n.Pos.Line; i <= min(n.end, len(n.lines), n.Pos.Line+most); i++ {
		line := n.lines[i-1]
		all = append(all, strings.ToValidUTF8(line[:min(len(line), long)], ""))
	}
	return strings.TrimSpace(strings.Join(all, "\n"))
}
