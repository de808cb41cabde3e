// Package decode fills configuration types as the tags of package schema say: from YAML, strictly,
// or from a value that was made in Go. What the tags do not allow is a problem in the report. It
// knows no type of the configuration itself.
package decode

import (
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"sluice/config/report"
	"sluice/config/schema"
)

// decoder fills values from YAML nodes. A value with a problem keeps its default.
type decoder struct {
	*report.Report
	types  *schema.Types
	root   reflect.Type
	getenv func(string) (string, bool)

	files    map[*yaml.Node]string // of nodes that come from included files
	included int                   // files so far
	size     int                   // bytes of these
}

// YAML decodes text, one YAML document with a mapping, into to, a pointer to a struct, and records
// in r where its values stand. Variables in values are looked up with getenv. It is not ok if there
// is nothing to decode, because text is no YAML or is beyond the limits of size, depth or aliases.
// Fields of type [report.Pos] with the name Pos are filled in. What the document includes is decoded as
// if it stood in it.
func YAML(r *report.Report, types *schema.Types, text []byte, to any, getenv func(string) (string, bool), in Including) (ok bool) {
	d := &decoder{Report: r, types: types, root: reflect.TypeOf(to).Elem(), getenv: getenv}
	n, ok := Document(r, "", text)
	if !ok {
		return false
	}
	v := reflect.ValueOf(to).Elem()
	types.SetDefaults(v)
	switch {
	case n == nil:
		d.missing(v.Type(), "")
	case n.Kind != yaml.MappingNode:
		d.FailAt(d.pos(n), "", "expected a mapping with %s, found %s", d.keys(v.Type()), describe(n))
	default:
		if !d.include(n, in) {
			return false
		}
		d.mapping(n, v, "")
	}
	return true
}

// value decodes n, the value of the key f at a path, into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at report.Path, f schema.Field) {
	n = target(n)
	if n.Style&yaml.TaggedStyle != 0 {
		d.Fail(at, "the tag %s means nothing here: remove it, or put the text in quotes", report.Shorten(n.Tag))
		return
	}
	if to, ok := v.Addr().Interface().(schema.Text); ok {
		d.text(n, to, at)
		return
	}
	switch {
	case f.Named != "":
		d.named(n, v, at, f)
		return
	case f.Many != "" && n.Kind == yaml.SequenceNode:
		d.Fail(at, "expected a single value, found a list: %s", f.Many)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		d.section(n, v, at, f)
	case reflect.Struct:
		d.structure(n, v, at, f)
	case reflect.Slice:
		d.list(n, v, at, f)
	case reflect.Map:
		d.texts(n, v, at)
	default:
		if text, ok := d.scalar(n, at, "a single value"); ok {
			if wrong := f.Set(v, text); wrong != "" {
				d.Reject(at, "%s", wrong)
			}
		}
	}
}

// scalar returns the text of n with its variables expanded. Want says what the scalar is, for the
// message when n is none.
func (d *decoder) scalar(n *yaml.Node, at report.Path, want string) (text string, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.Fail(at, "expected %s, found %s%s", want, describe(n), inQuotes(n))
		return "", false
	}
	text, wrong := expand(n.Value, d.getenv)
	d.Give(at, report.Source{Pos: d.Source(at).Pos, Written: n.Value, Literal: text == n.Value, Only: d.Source(at).Only})
	if wrong != "" {
		d.Reject(at, "%s", wrong)
		return "", false
	}
	return text, true
}

// section decodes a mapping that may be absent, or the switch that stands for it.
func (d *decoder) section(n *yaml.Node, v reflect.Value, at report.Path, f schema.Field) {
	section := reflect.New(v.Type().Elem())
	d.types.SetDefaults(section.Elem())
	if !f.Switch || !isText(n) {
		v.Set(section)
		d.value(n, section.Elem(), at, f)
		return
	}
	switch text, ok := d.scalar(n, at, ""); {
	case !ok || text == "false":
	case text == "true":
		v.Set(section)
	default:
		d.Fail(at, "expected true, false or a mapping with %s, found %s", d.keys(section.Type().Elem()), describe(n))
	}
}

// structure decodes a mapping, or the scalar that is short for one.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, at report.Path, f schema.Field) {
	if pos := v.FieldByName("Pos"); pos.IsValid() {
		pos.Set(reflect.ValueOf(d.Pos(at)))
	}
	short := slices.IndexFunc(d.types.Fields(v.Type()), func(f schema.Field) bool { return f.Short })
	if short >= 0 && d.short(n, v, at, d.types.Fields(v.Type())[short]) {
		return
	}
	if n.Kind == yaml.MappingNode {
		d.mapping(n, v, at)
		return
	}
	d.Fail(at, "expected a mapping with %s, found %s%s", d.keys(v.Type()), describe(n), d.meant(n, v.Type(), f))
}

// short decodes the value of the key f in place of the mapping, if n can be that.
func (d *decoder) short(n *yaml.Node, v reflect.Value, at report.Path, f schema.Field) bool {
	field := v.FieldByIndex(f.Index)
	list := n.Kind == yaml.SequenceNode && field.Kind() == reflect.Slice
	if !list && !isText(n) {
		return false
	}
	d.Give(at.Key(f.Key), d.Source(at))
	switch {
	case f.Word != "":
		d.word(n, v, at, f)
	case !list && field.Kind() == reflect.Slice:
		d.value(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}, field, at.Key(f.Key), f)
	default:
		d.value(n, field, at.Key(f.Key), f)
	}
	return true
}

// word decodes the word that is short for a mapping in which the key f is true.
func (d *decoder) word(n *yaml.Node, v reflect.Value, at report.Path, f schema.Field) {
	switch text, ok := d.scalar(n, at, ""); {
	case !ok:
	case text == f.Word:
		v.FieldByIndex(f.Index).SetBool(true)
	default:
		d.Fail(at, "expected %s or a mapping with %s, found %s", f.Word, d.keys(v.Type()), describe(n))
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, at report.Path) {
	fields := d.types.Fields(v.Type())
	d.pairs(n, at, func(key string, pos report.Pos, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f schema.Field) bool { return f.Key == key })
		if i < 0 {
			d.unknownKey(fields, key, pos, at.Key(key))
			return
		}
		d.value(value, v.FieldByIndex(fields[i].Index), at.Key(key), fields[i])
	})
	d.missing(v.Type(), at)
}

// missing reports the required keys that the mapping at a path, a t, does not have.
func (d *decoder) missing(t reflect.Type, at report.Path) {
	for _, f := range d.types.Fields(t) {
		if f.Required && !d.Has(at.Key(f.Key)) {
			d.Fail(at.Key(f.Key), "no %s: the key is required", f.Key)
		}
	}
}

// pairs calls each with the keys of the mapping n, their positions and their values, and records
// where the values stand. A key that is no plain text or comes twice is a problem.
func (d *decoder) pairs(n *yaml.Node, at report.Path, each func(key string, pos report.Pos, value *yaml.Node)) {
	seen := make(map[string]report.Pos, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		pos := d.pos(key)
		key = target(key)
		name := key.Value
		switch first, twice := seen[name]; {
		case key.Kind != yaml.ScalarNode:
			d.FailAt(pos, at, "a key must be a single value, found %s", describe(key))
		case key.Tag == "!!merge":
			d.FailAt(pos, at, "merge keys (<<) are not supported: repeat a whole value with an alias, or write its keys out")
		case strings.Contains(name, "${"):
			d.FailAt(pos, at.Key(name), "variables are expanded in values, not in keys")
		case twice:
			d.FailAt(pos, at.Key(name), "key %s is given twice, first at %s", report.Quote(name), d.Line(first))
		default:
			seen[name] = pos
			// A scalar stands at its value, a mapping and a list at their key.
			found := pos
			if value.Kind == yaml.ScalarNode {
				found = d.pos(value)
			}
			d.Give(at.Key(name), report.Source{Pos: found})
			each(name, pos, value)
		}
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, at report.Path, f schema.Field) {
	only := false
	switch {
	case f.Off && isText(n) && n.Value == "off":
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		return
	case f.Single && n.Kind != yaml.SequenceNode && !isNull(n):
		only = true
		n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}
	case f.Single && n.Kind != yaml.SequenceNode:
		d.Fail(at, "expected a value or a list, found %s", describe(n))
		return
	case n.Kind != yaml.SequenceNode:
		advice := f.MeansOff(n.Value)
		if isText(n) && advice == "" {
			advice = ": put it in brackets, as in [" + inList(n.Value) + "]"
		}
		if n.Kind == yaml.MappingNode {
			advice = ": put '- ' in front of each element"
		}
		d.Fail(at, "expected a list, found %s%s", describe(n), advice)
		return
	case len(n.Content) == 0:
		if f.Required {
			d.Fail(at, "the list is empty: add to it")
		} else {
			d.Fail(at, "the list is empty: add to it or remove the key")
		}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, child := range n.Content {
		d.Give(at.Index(i), report.Source{Pos: d.pos(child), Only: only})
		d.types.SetDefaults(v.Index(i))
		d.value(child, v.Index(i), at.Index(i), f.Element())
	}
}

// texts decodes a mapping of names to texts.
func (d *decoder) texts(n *yaml.Node, v reflect.Value, at report.Path) {
	if n.Kind != yaml.MappingNode {
		d.Fail(at, "expected a mapping of names to values, found %s", describe(n))
		return
	}
	texts := make(map[string]string, len(n.Content)/2)
	d.pairs(n, at, func(key string, _ report.Pos, value *yaml.Node) {
		var text string
		d.value(value, reflect.ValueOf(&text).Elem(), at.Key(key), schema.Field{})
		texts[key] = text
	})
	v.Set(reflect.ValueOf(texts))
}

// named decodes a mapping of names to structs into a list, in the order of the file.
func (d *decoder) named(n *yaml.Node, v reflect.Value, at report.Path, f schema.Field) {
	if n.Kind != yaml.MappingNode {
		advice := ""
		if n.Kind == yaml.SequenceNode {
			advice = ": write a name and ':' in front of each element"
		}
		if isNull(n) && n.Value == "" {
			advice = further
		}
		d.Fail(at, "expected a mapping of names to %s, found %s%s", f.Key, describe(n), advice)
		return
	}
	d.pairs(n, at, func(name string, _ report.Pos, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.types.SetDefaults(element)
		element.FieldByName(f.Named).SetString(name)
		d.value(value, element, at.Key(name), schema.Field{})
		v.Set(reflect.Append(v, element))
	})
}

// text decodes a scalar with a form of its own.
func (d *decoder) text(n *yaml.Node, to schema.Text, at report.Path) {
	text, ok := d.scalar(n, at, to.Form())
	if !ok {
		return
	}
	if wrong := to.SetText(text, n.Tag == "!!int"); wrong != "" {
		d.Reject(at, "%s", wrong)
	}
}

// isText reports whether n is a scalar that is not null.
func isText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && !isNull(n) }

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
