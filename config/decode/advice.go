package decode

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"sluice/config/report"
	"sluice/config/schema"
)

func (d *decoder) unknownKey(fields []schema.Field, key string, pos report.Pos, at report.Path) {
	d.FailAt(pos, at, "unknown key %s%s", report.Quote(key), d.advice(fields, key, at))
}

// advice says what to write in place of a key that is none of fields.
func (d *decoder) advice(fields []schema.Field, key string, at report.Path) string {
	const few = 8 // keys that a message lists beside another hint
	var same []string
	for _, f := range fields {
		if slices.Contains(f.Also, key) {
			same = append(same, "'"+f.Key+"'")
		}
	}
	if same != nil {
		return ": here it is called " + join(same, "or")
	}
	if near := report.Suggest(key, slices.Values(schema.Keys(fields))); near != "" {
		return near
	}
	other := d.elsewhere(key)
	switch here := ": the keys here are " + strings.Join(schema.Keys(fields), ", "); {
	case other != "" && len(fields) <= few:
		return here + "; " + other
	case other != "":
		return ": " + other
	case len(fields) <= manyKeys:
		return here
	}
	return ": remove it; docs/configuration.md has the keys of '" + section(at.Parent()) + "'"
}

// section returns a path as the documentation names it: without indexes.
func section(at report.Path) string { return indexes.ReplaceAllString(string(at), "") }

var indexes = regexp.MustCompile(`\[[0-9]+\]`)

// elsewhere says which sections have a key, "" if none has.
func (d *decoder) elsewhere(key string) (advice string) {
	var sections []string
	var look func(t reflect.Type, path string)
	look = func(t reflect.Type, path string) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return
		}
		for _, f := range d.types.Fields(t) {
			if f.Key == key {
				sections = append(sections, "'"+path+"'")
			}
			look(t.FieldByIndex(f.Index).Type, strings.TrimPrefix(path+"."+f.Key, "."))
		}
	}
	look(d.root, "")
	switch {
	case len(sections) == 0 || len(sections) > 3:
		return ""
	case sections[0] == "''":
		return "it is a key of the whole file"
	}
	return "it is a key of " + join(sections, "and")
}

// join returns a list as a sentence has it.
func join(texts []string, word string) string {
	last := len(texts) - 1
	if last < 1 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:last], ", ") + " " + word + " " + texts[last]
}

// meant returns the advice for a value in place of a mapping of type t, the value of the key f, or "".
func (d *decoder) meant(n *yaml.Node, t reflect.Type, f schema.Field) string {
	fields := d.types.Fields(t)
	key, _, _ := strings.Cut(n.Value, ":")
	has := func(holds func(f schema.Field) bool) (key string) {
		if i := slices.IndexFunc(fields, holds); i >= 0 && isText(n) {
			return fields[i].Key
		}
		return ""
	}
	switch enum := has(func(f schema.Field) bool { return slices.Contains(f.Enum, n.Value) }); {
	case isNull(n) && n.Value == "":
		return further
	case f.Bare != "" && n.Value == "true":
		return ": " + f.Bare
	case has(func(f schema.Field) bool { return f.Key == key && key != n.Value }) != "":
		return ": '" + key + ":' needs a space behind it"
	case enum != "":
		return ": write { " + enum + ": " + n.Value + " }"
	}
	return ""
}

// further is the advice for a section without anything in it.
const further = " (its keys are indented further than itself)"

// manyKeys is how many keys a message lists.
const manyKeys = 20

// keys lists the keys of the struct type t, or the first of many.
func (d *decoder) keys(t reflect.Type) string {
	keys := schema.Keys(d.types.Fields(t))
	if len(keys) > manyKeys {
		return strings.Join(keys[:5], ", ") + " and others"
	}
	return strings.Join(keys, ", ")
}

// inList returns a text as it stands in brackets.
func inList(text string) string {
	if plain.MatchString(text) {
		if !strings.Contains(text, ",") {
			text = strings.Join(strings.Fields(text), ", ")
		}
		return report.Shorten(text)
	}
	return report.Quote(text)
}

var plain = regexp.MustCompile(`^[A-Za-z0-9]([\w./, -]|:[^ ])*$`)

// inQuotes returns the advice to put a text in quotes that was read as a list or a mapping, or "".
func inQuotes(n *yaml.Node) string {
	switch {
	case n.Style&yaml.FlowStyle == 0:
		return ""
	case n.Kind == yaml.MappingNode:
		return ": a text that begins with '{' needs quotes"
	}
	return ": a text that begins with '[' needs quotes"
}

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
