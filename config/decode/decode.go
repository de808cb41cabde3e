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
	getenv func(string) (string, bool)
}

// YAML decodes text, one YAML document with a mapping, into to, a pointer to a struct, and records
// in r where its values stand. Variables in values are looked up with getenv. It is not ok if there
// is nothing to decode, because text is no YAML or is beyond the limits of size, depth or aliases.
// Fields of type [report.Pos] with the name Pos are filled in.
func YAML(r *report.Report, types *schema.Types, text []byte, to any, getenv func(string) (string, bool)) (ok bool) {
	d := &decoder{Report: r, types: types, getenv: getenv}
	n, ok := d.parse(text)
	if !ok {
		return false
	}
	v := reflect.ValueOf(to).Elem()
	types.SetDefaults(v)
	switch {
	case n == nil:
		d.missing(v.Type(), "")
	case n.Kind != yaml.MappingNode:
		d.FailAt(nodePos(n), "", "expected a mapping with %s, found %s", d.keys(v.Type()), describe(n))
	default:
		d.mapping(n, v, "")
	}
	return true
}

// value decodes n, the value of the key f at a path, into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at report.Path, f schema.Field) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.Fail(at, "the tag %s means nothing here: remove it", report.Shorten(n.Tag))
		return
	}
	if to, ok := v.Addr().Interface().(schema.Text); ok {
		d.text(n, to, at)
		return
	}
	if f.Named != "" {
		d.named(n, v, at, f)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		d.section(n, v, at, f)
	case reflect.Struct:
		d.structure(n, v, at)
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
		d.Fail(at, "expected %s, found %s", want, describe(n))
		return "", false
	}
	text, wrong := expand(n.Value, d.getenv)
	d.Give(at, report.Source{Pos: d.Source(at).Pos, Written: n.Value, Literal: text == n.Value})
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
func (d *decoder) structure(n *yaml.Node, v reflect.Value, at report.Path) {
	if pos := v.FieldByName("Pos"); pos.IsValid() {
		pos.Set(reflect.ValueOf(d.Pos(at)))
	}
	short := slices.IndexFunc(d.types.Fields(v.Type()), func(f schema.Field) bool { return f.Short })
	switch {
	case n.Kind == yaml.MappingNode:
		d.mapping(n, v, at)
	case isText(n) && short >= 0:
		f := d.types.Fields(v.Type())[short]
		d.Give(at.Key(f.Key), d.Source(at))
		if f.Word != "" {
			d.word(n, v, at, f)
			return
		}
		if v.FieldByIndex(f.Index).Kind() == reflect.Slice {
			n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}
		}
		d.value(n, v.FieldByIndex(f.Index), at.Key(f.Key), f)
	default:
		d.Fail(at, "expected a mapping with %s, found %s", d.keys(v.Type()), describe(n))
	}
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

func (d *decoder) unknownKey(fields []schema.Field, key string, pos report.Pos, at report.Path) {
	advice := report.Suggest(key, slices.Values(schema.Keys(fields)))
	if advice == "" && len(fields) <= 15 {
		advice = ": the keys here are " + strings.Join(schema.Keys(fields), ", ")
	}
	d.FailAt(pos, at, "unknown key %s%s", report.Quote(key), advice)
}

// pairs calls each with the keys of the mapping n, their positions and their values, and records
// where the values stand. A key that is no plain text or comes twice is a problem.
func (d *decoder) pairs(n *yaml.Node, at report.Path, each func(key string, pos report.Pos, value *yaml.Node)) {
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		pos := nodePos(key)
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		name := key.Value
		switch line, twice := lines[name]; {
		case key.Kind != yaml.ScalarNode:
			d.FailAt(pos, at, "a key must be a single value, found %s", describe(key))
		case key.Tag == "!!merge":
			d.FailAt(pos, at, "merge keys (<<) are not supported: repeat a whole value with an alias, or write its keys out")
		case strings.Contains(name, "${"):
			d.FailAt(pos, at.Key(name), "variables are expanded in values, not in keys")
		case twice:
			d.FailAt(pos, at.Key(name), "key %s is given twice, first at line %d", report.Quote(name), line)
		default:
			lines[name] = pos.Line
			// A scalar stands at its value, a mapping and a list at their key.
			found := pos
			if value.Kind == yaml.ScalarNode {
				found = nodePos(value)
			}
			d.Give(at.Key(name), report.Source{Pos: found})
			each(name, pos, value)
		}
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, at report.Path, f schema.Field) {
	switch {
	case f.Off && isText(n) && n.Value == "off":
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		return
	case n.Kind != yaml.SequenceNode:
		advice := ""
		if isText(n) {
			advice = ": put it in brackets, as in [" + report.Shorten(n.Value) + "]"
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
		d.Give(at.Index(i), report.Source{Pos: nodePos(child)})
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
		d.Fail(at, "expected a mapping of names to %s, found %s", f.Key, describe(n))
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

// keys lists the keys of the struct type t.
func (d *decoder) keys(t reflect.Type) string {
	return strings.Join(schema.Keys(d.types.Fields(t)), ", ")
}

// isText reports whether n is a scalar that is not null.
func isText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag != "!!null" }

// describe returns what n is, for messages with "found".
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null" && n.Value == "":
		return "nothing: remove the key or give it a value"
	case n.Tag == "!!null":
		return n.Value + " (in quotes it is text)"
	}
	return "the single value " + report.Quote(n.Value)
}
