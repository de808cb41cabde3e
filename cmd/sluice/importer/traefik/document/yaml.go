package document

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"sluice/cmd/sluice/importer"
)

// ReadYAML reads a file with one document of YAML.
func ReadYAML(f importer.File) (*Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(f.Text), &doc); err != nil {
		return nil, yamlError(f, err)
	}
	y := &yamlReader{file: f, lines: strings.Split(f.Text, "\n")}
	if len(doc.Content) == 0 {
		return &Node{Kind: Map, Pos: importer.Pos{File: f.Name, Line: 1}}, nil
	}
	n, err := y.node(doc.Content[0], doc.Content[0].Line, 0)
	if err == nil && n.Kind != Map {
		return nil, n.Pos.Errorf("it is no mapping")
	}
	return n, err
}

var errorLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// yamlError returns an error with its place.
func yamlError(f importer.File, err error) error {
	m := errorLine.FindStringSubmatch(err.Error())
	if m == nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	line, _ := strconv.Atoi(m[1])
	return importer.Pos{File: f.Name, Line: max(line, 1)}.Errorf("%w", errors.New(err.Error()[len(m[0]):]))
}

type yamlReader struct {
	file  importer.File
	lines []string
	nodes int
	last  int // line of what was read last
}

// node reads a value that begins, with its key, in a line.
func (y *yamlReader) node(from *yaml.Node, line, depth int) (*Node, error) {
	n := &Node{Pos: importer.Pos{File: y.file.Name, Line: line}}
	if y.nodes++; y.nodes > maxNodes || depth > maxDepth {
		return nil, n.Pos.Errorf("more than %d values, or more than %d in each other", maxNodes, maxDepth)
	}
	if from.Kind == yaml.AliasNode {
		last := y.last
		n, err := y.node(from.Alias, line, depth+1)
		y.last = max(last, from.Line)
		return n, err
	}
	y.last = max(y.last, from.Line)
	switch from.Kind {
	case yaml.MappingNode:
		n.Kind = Map
		if err := y.mapping(n, from, depth); err != nil {
			return nil, err
		}
	case yaml.SequenceNode:
		n.Kind = List
		for _, item := range from.Content {
			value, err := y.node(item, item.Line, depth+1)
			if err != nil {
				return nil, err
			}
			n.List = append(n.List, value)
		}
	default:
		if n.Value = from.Value; from.Tag == "!!null" {
			n.Value = ""
		}
		y.last += strings.Count(strings.TrimRight(from.Value, "\n"), "\n")
	}
	n.lines, n.end = y.lines, y.last
	return n, nil
}

func (y *yamlReader) mapping(n *Node, from *yaml.Node, depth int) error {
	var merged []*Node
	for i := 0; i+1 < len(from.Content); i += 2 {
		key := from.Content[i]
		value, err := y.node(from.Content[i+1], key.Line, depth+1)
		switch {
		case err != nil:
			return err
		case key.Tag == "!!merge":
			merged = append(merged, append(value.List, value)...)
		case key.Kind != yaml.ScalarNode:
			return n.Pos.Errorf("a key that is no text")
		case n.entry(key.Value) != nil:
			return value.Pos.Errorf("%s is there twice", key.Value)
		default:
			n.Entries = append(n.Entries, Entry{key.Value, value})
		}
	}
	for _, m := range merged {
		for _, e := range m.Entries {
			if n.entry(e.Key) == nil {
				n.Entries = append(n.Entries, e)
			}
		}
	}
	return nil
}
