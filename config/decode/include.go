package decode

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"sluice/config/report"
)

// Including is how a document takes in others. The zero value is for one that cannot.
type Including struct {
	Key      string   // of the patterns of their names: a text or a list of texts
	Sections []string // what they may have: lists and mappings, which are put together

	// Find returns the files that the pattern at a position names. The error is what is wrong with
	// the pattern, a predicate.
	Find func(pattern string, at report.Pos) ([]File, error)
}

// File is a file to include. What is wrong with reading it is a predicate.
type File struct {
	Name string
	Read func() ([]byte, error)
}

// Limits of all files that one includes.
const (
	maxIncluded     = 1000
	maxIncludedSize = 8 * MaxSize
)

// include adds to root, the mapping of the whole document, what the documents have that it includes.
// What is wrong with the value of the key itself is for decoding to say. It is not ok if the whole is
// beyond the limits of size or aliases.
func (d *decoder) include(root *yaml.Node, in Including) (ok bool) {
	patterns := target(child(root, in.Key))
	if in.Find == nil || patterns == nil {
		return true
	}
	texts := []*yaml.Node{patterns}
	if patterns.Kind == yaml.SequenceNode {
		texts = patterns.Content
	}
	d.files = make(map[*yaml.Node]string)
	for i, n := range texts {
		n = target(n)
		at := report.Path(in.Key)
		if n != patterns {
			at = at.Index(i)
		}
		pattern, wrong := expand(n.Value, d.getenv)
		if !isText(n) || wrong != "" {
			continue
		}
		files, err := in.Find(pattern, d.pos(n))
		if err != nil {
			d.FailAt(d.pos(n), at, "%s %v", report.Quote(n.Value), err)
		}
		for _, f := range files {
			if !d.read(root, f, in.Sections, d.pos(n), at) {
				return false
			}
		}
	}
	if where, why := (&bounds{open: map[*yaml.Node]bool{}}).check(root, 0, false); why != "" {
		d.FailAt(d.pos(where), "", "%s", why)
		return false
	}
	return true
}

// read adds a file to root. The pattern that names it stands at pos. It is not ok if the limits do not
// allow that file.
func (d *decoder) read(root *yaml.Node, f File, sections []string, pos report.Pos, at report.Path) (ok bool) {
	if d.included++; d.included > maxIncluded {
		d.FailAt(pos, at, "there are more than %d files, the most that are read", maxIncluded)
		return false
	}
	text, err := f.Read()
	if err != nil {
		d.FailAt(pos, at, "%s %v", f.Name, err)
		return true
	}
	if d.size += len(text); d.size > maxIncludedSize {
		d.FailAt(pos, at, "the files have more than %d bytes together, the most that is read", maxIncludedSize)
		return false
	}
	n, ok := Document(d.Report, f.Name, text)
	if !ok || n == nil {
		return true
	}
	d.SeveralFiles()
	d.mark(n, f.Name)
	if n.Kind != yaml.MappingNode {
		d.FailAt(d.pos(n), "", "expected a mapping with %s, found %s", strings.Join(sections, ", "), describe(n))
		return true
	}
	d.merge(root, n, sections)
	return true
}

// merge adds the sections of a mapping to those of root.
func (d *decoder) merge(root, n *yaml.Node, sections []string) {
	seen := make(map[string]report.Pos)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], target(n.Content[i+1])
		pos, at := d.pos(key), report.Path("").Key(key.Value)
		whole := target(child(root, key.Value))
		first, twice := seen[key.Value]
		seen[key.Value] = pos
		switch {
		case key.Kind != yaml.ScalarNode:
			d.FailAt(pos, "", "a key must be a single value, found %s", describe(key))
		case !slices.Contains(sections, key.Value):
			d.FailAt(pos, at, "a file that is included has %s and nothing else: write %s into the file that includes it", strings.Join(sections, " and "), report.Quote(key.Value))
		case twice:
			d.FailAt(pos, at, "key %s is given twice, first at %s", report.Quote(key.Value), first)
		case value.Style&yaml.TaggedStyle != 0:
			d.FailAt(d.pos(value), at, "the tag %s means nothing here: remove it", report.Shorten(value.Tag))
		case value.Kind == yaml.ScalarNode:
			d.FailAt(d.pos(value), at, "expected a list or a mapping, found %s", describe(value))
		case len(value.Content) == 0:
			d.FailAt(pos, at, "%s is empty: add to it or remove the key", describe(value))
		case whole == nil:
			root.Content = append(root.Content, key, value)
		case whole.Kind == yaml.ScalarNode: // which is reported where it stands
		case whole.Kind != value.Kind:
			d.FailAt(pos, at, "expected %s as in the files before, found %s", describe(whole), describe(value))
		default:
			whole.Content = append(whole.Content, value.Content...)
		}
	}
}

// target returns what n stands for, if it is an alias. N may be nil.
func target(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// mark notes the file of the nodes of a document.
func (d *decoder) mark(n *yaml.Node, file string) {
	d.files[n] = file
	for _, child := range n.Content {
		d.mark(child, file)
	}
}

// pos returns the position of n.
func (d *decoder) pos(n *yaml.Node) report.Pos {
	p := nodePos(n)
	p.File = d.files[n]
	return p
}

// child returns the value of a key of a mapping, nil if there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
