package config

import (
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// decoder fills the types of this package from YAML nodes, strictly: what the
// tags of types.go do not allow is a problem. A value with a problem keeps its
// default.
type decoder struct {
	*report
	getenv func(string) (string, bool)
	fields map[reflect.Type][]field
}

// root decodes the document n, nil for an empty one, into c.
func (d *decoder) root(n *yaml.Node, c *Config) {
	v := reflect.ValueOf(c).Elem()
	d.defaults(v)
	switch {
	case n == nil:
		d.missing(v.Type(), "")
	case n.Kind != yaml.MappingNode:
		d.failAt(nodePos(n), "", "expected a mapping with %s, found %s", d.keys(v.Type()), describe(n))
	default:
		d.mapping(n, v, "")
	}
}

// value decodes n, which stands at at and belongs to the key f, into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at path, f field) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.fail(at, "the tag %s means nothing here: remove it", shorten(n.Tag))
		return
	}
	switch to := v.Addr().Interface().(type) {
	case *[]Backend:
		d.backends(n, to, at)
		return
	case *Proxy:
		d.proxy(n, to, at)
		return
	case *FileMode:
		d.mode(n, to, at)
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
			if wrong := f.set(v, text); wrong != "" {
				d.reject(at, "%s", wrong)
			}
		}
	}
}

// scalar returns the text of n with its variables expanded.
func (d *decoder) scalar(n *yaml.Node, at path, want string) (text string, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.fail(at, "expected %s, found %s", want, describe(n))
		return "", false
	}
	text, wrong := expand(n.Value, d.getenv)
	d.sources[at] = source{pos: d.sources[at].pos, written: n.Value, literal: text == n.Value}
	if wrong != "" {
		d.reject(at, "%s", wrong)
		return "", false
	}
	return text, true
}

// section decodes a mapping that may be absent, or the switch in its place.
func (d *decoder) section(n *yaml.Node, v reflect.Value, at path, f field) {
	section := reflect.New(v.Type().Elem())
	d.defaults(section.Elem())
	if !f.toggle || !isText(n) {
		v.Set(section)
		d.value(n, section.Elem(), at, f)
		return
	}
	switch text, ok := d.scalar(n, at, ""); {
	case !ok || text == "false":
	case text == "true":
		v.Set(section)
	default:
		d.fail(at, "expected true, false or a mapping with %s, found %s", d.keys(section.Type().Elem()), describe(n))
	}
}

// structure decodes a mapping, or the scalar that is short for one.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, at path) {
	if pos := v.FieldByName("Pos"); pos.IsValid() {
		pos.Set(reflect.ValueOf(d.pos(at)))
	}
	short := slices.IndexFunc(d.fieldsOf(v.Type()), func(f field) bool { return f.short })
	switch {
	case n.Kind == yaml.MappingNode:
		d.mapping(n, v, at)
	case isText(n) && short >= 0:
		f := d.fieldsOf(v.Type())[short]
		d.sources[at.key(f.key)] = d.sources[at]
		if v.FieldByIndex(f.index).Kind() == reflect.Slice {
			n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}
		}
		d.value(n, v.FieldByIndex(f.index), at.key(f.key), f)
	default:
		d.fail(at, "expected a mapping with %s, found %s", d.keys(v.Type()), describe(n))
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, at path) {
	fields := d.fieldsOf(v.Type())
	d.pairs(n, at, func(key string, pos Pos, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 {
			d.unknownKey(fields, key, pos, at.key(key))
			return
		}
		d.value(value, v.FieldByIndex(fields[i].index), at.key(key), fields[i])
	})
	d.missing(v.Type(), at)
}

// missing reports the required keys that at lacks.
func (d *decoder) missing(t reflect.Type, at path) {
	for _, f := range d.fieldsOf(t) {
		if f.required && !d.has(at.key(f.key)) {
			d.fail(at.key(f.key), "no %s: the key is required", f.key)
		}
	}
}

func (d *decoder) unknownKey(fields []field, key string, pos Pos, at path) {
	advice := suggest(key, slices.Values(names(fields)))
	if advice == "" && len(fields) <= 10 {
		advice = ": the keys here are " + strings.Join(names(fields), ", ")
	}
	d.failAt(pos, at, "unknown key %s%s", quote(key), advice)
}

// pairs calls each with the keys of the mapping n and their values, and records
// where they stand; pos is the place of the key. A key that is no plain text or
// comes twice is a problem.
func (d *decoder) pairs(n *yaml.Node, at path, each func(key string, pos Pos, value *yaml.Node)) {
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
			d.failAt(pos, at, "a key must be a single value, found %s", describe(key))
		case key.Tag == "!!merge":
			d.failAt(pos, at, "merge keys (<<) are not supported: repeat a whole value with an alias, or write its keys out")
		case strings.Contains(name, "${"):
			d.failAt(pos, at.key(name), "variables are expanded in values, not in keys")
		case twice:
			d.failAt(pos, at.key(name), "key %s is given twice, first at line %d", quote(name), line)
		default:
			lines[name] = pos.Line
			// A scalar is found at its value, all that has an inside at its key.
			found := pos
			if value.Kind == yaml.ScalarNode {
				found = nodePos(value)
			}
			d.sources[at.key(name)] = source{pos: found}
			each(name, pos, value)
		}
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, at path, f field) {
	switch {
	case f.off && isText(n) && n.Value == "off":
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		return
	case n.Kind != yaml.SequenceNode:
		advice := ""
		if isText(n) {
			advice = ": put it in brackets, as in [" + shorten(n.Value) + "]"
		}
		d.fail(at, "expected a list, found %s%s", describe(n), advice)
		return
	case len(n.Content) == 0:
		if f.required {
			d.fail(at, "the list is empty: add to it")
		} else {
			d.fail(at, "the list is empty: add to it or remove the key")
		}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, child := range n.Content {
		d.sources[at.index(i)] = source{pos: nodePos(child)}
		d.defaults(v.Index(i))
		d.value(child, v.Index(i), at.index(i), f.element())
	}
}

// texts decodes a mapping of text to text.
func (d *decoder) texts(n *yaml.Node, v reflect.Value, at path) {
	if n.Kind != yaml.MappingNode {
		d.fail(at, "expected a mapping of names to values, found %s", describe(n))
		return
	}
	texts := make(map[string]string, len(n.Content)/2)
	d.pairs(n, at, func(key string, _ Pos, value *yaml.Node) {
		var text string
		d.value(value, reflect.ValueOf(&text).Elem(), at.key(key), field{})
		texts[key] = text
	})
	v.Set(reflect.ValueOf(texts))
}

// backends decodes the mapping of names to backends, in the file's order.
func (d *decoder) backends(n *yaml.Node, to *[]Backend, at path) {
	if n.Kind != yaml.MappingNode {
		d.fail(at, "expected a mapping of names to backends, found %s", describe(n))
		return
	}
	d.pairs(n, at, func(name string, _ Pos, value *yaml.Node) {
		b := d.newBackend(name)
		d.value(value, reflect.ValueOf(&b).Elem(), at.key(name), field{})
		*to = append(*to, b)
	})
}

func (d *decoder) newBackend(name string) Backend {
	b := Backend{Name: name}
	d.defaults(reflect.ValueOf(&b).Elem())
	return b
}

// newEndpoint is the endpoint that a text stands for, not parsed yet.
func (d *decoder) newEndpoint(text string) Endpoint {
	var e Endpoint
	d.defaults(reflect.ValueOf(&e).Elem())
	e.Text = text
	return e
}

func (d *decoder) proxy(n *yaml.Node, to *Proxy, at path) {
	text, ok := d.scalar(n, at, "an address or network")
	if !ok {
		return
	}
	p, wrong := parseProxy(text)
	if wrong != "" {
		d.reject(at, "%s", wrong)
		return
	}
	*to = p
}

func (d *decoder) mode(n *yaml.Node, to *FileMode, at path) {
	text, ok := d.scalar(n, at, "a mode")
	if !ok {
		return
	}
	m, wrong := parseMode(text)
	if n.Tag == "!!int" {
		wrong = likeMode
	}
	if wrong != "" {
		d.reject(at, "%s", wrong)
		return
	}
	*to = m
}

// defaults sets what the tags give for absent keys of the struct v, and of the
// structs in it. Anything but a struct is left as it is.
func (d *decoder) defaults(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for _, f := range d.fieldsOf(v.Type()) {
		if f.fallback != "" {
			f.set(v.FieldByIndex(f.index), f.fallback)
		}
		d.defaults(v.FieldByIndex(f.index))
	}
}

func (d *decoder) fieldsOf(t reflect.Type) []field {
	fields, ok := d.fields[t]
	if !ok {
		fields = fieldsOf(t)
		d.fields[t] = fields
	}
	return fields
}

// keys lists the keys of the struct type t.
func (d *decoder) keys(t reflect.Type) string {
	return strings.Join(names(d.fieldsOf(t)), ", ")
}

func names(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	return names
}

// isText tells whether n is a scalar that is not null.
func isText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag != "!!null" }

// describe says what n is, for "found ...".
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
	return "the single value " + quote(n.Value)
}
