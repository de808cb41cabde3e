package config

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Schema returns the format as JSON Schema 2020-12, for editors that check and
// complete YAML. It comes from the tags of the types, as decoding does.
//
// It is about the form: what refers to another part of the file is left to
// [Parse].
func Schema() []byte {
	s := schema{defs: map[string]any{
		"variable": map[string]any{
			"description": "A value with ${NAME} or ${NAME:-default} in it.",
			"type":        "string",
			"pattern":     `\$\{`,
		},
	}}
	root := s.mapping(reflect.TypeFor[Config]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "sluice configuration"
	root["$defs"] = s.defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return append(text, '\n')
}

// schema builds the definitions, one for each struct type.
type schema struct {
	defs map[string]any
}

// mapping is the schema of the struct t written as a mapping.
func (s schema) mapping(t reflect.Type) map[string]any {
	properties := map[string]any{}
	m := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	var required []string
	for _, f := range fieldsOf(t) {
		property := s.value(t.FieldByIndex(f.index).Type, f)
		property["description"] = f.doc
		if f.fallback != "" {
			property["default"] = literal(t.FieldByIndex(f.index).Type, f.fallback)
		}
		properties[f.key] = property
		if f.required {
			required = append(required, f.key)
		}
	}
	if required != nil {
		m["required"] = required
	}
	return m
}

// value is the schema of what the key f of type t may have.
func (s schema) value(t reflect.Type, f field) map[string]any {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return f.orVariable(map[string]any{"type": "string", "pattern": `^([0-9]+d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$`, "minLength": 2})
	case reflect.TypeFor[Size]():
		return f.amount(`([KMGT]i?)?B`)
	case reflect.TypeFor[Rate]():
		return f.amount(`/[smh]`)
	case reflect.TypeFor[ByteRate]():
		return f.amount(`([KMGT]i?)?B/[smh]`)
	case reflect.TypeFor[Percent]():
		return f.amount(`%`)
	case reflect.TypeFor[PercentRate]():
		return f.amount(`%/(min|h)`)
	case reflect.TypeFor[FileMode]():
		return f.orVariable(map[string]any{"type": "string", "pattern": "^0?[0-7]{3}$"})
	case reflect.TypeFor[Proxy]():
		return map[string]any{"type": "string"}
	case reflect.TypeFor[[]Backend]():
		return map[string]any{
			"type":                 "object",
			"propertyNames":        map[string]any{"pattern": "^[A-Za-z0-9_-]+$"},
			"additionalProperties": s.reference(reflect.TypeFor[Backend]()),
		}
	}
	switch t.Kind() {
	case reflect.Pointer:
		if f.toggle {
			return map[string]any{"oneOf": []any{s.value(reflect.TypeFor[bool](), field{}), s.reference(t.Elem())}}
		}
		return s.reference(t.Elem())
	case reflect.Struct:
		return s.reference(t)
	case reflect.Slice:
		list := map[string]any{"type": "array", "minItems": 1, "items": s.value(t.Elem(), f.element())}
		if f.off {
			return map[string]any{"anyOf": []any{list, map[string]any{"enum": []any{"off"}}}}
		}
		return list
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": []string{"string", "number", "boolean"}}}
	case reflect.Bool:
		return f.orVariable(map[string]any{"type": "boolean"})
	case reflect.Int:
		n := map[string]any{"type": "integer"}
		if f.min != "" {
			n["minimum"], n["maximum"] = number(f.min), number(f.max)
		}
		return f.orVariable(f.restrict(n, t))
	}
	if f.enum != nil {
		return f.orVariable(f.restrict(map[string]any{}, t))
	}
	return map[string]any{"type": "string"}
}

// reference defines the struct t, if it is not yet, and refers to it.
func (s schema) reference(t reflect.Type) map[string]any {
	if s.defs[t.Name()] == nil {
		definition := s.mapping(t)
		for _, f := range fieldsOf(t) {
			if f.short {
				scalar := t.FieldByIndex(f.index).Type
				if scalar.Kind() == reflect.Slice {
					scalar, f = scalar.Elem(), f.element()
				}
				definition = map[string]any{"oneOf": []any{s.value(scalar, f), definition}}
			}
		}
		s.defs[t.Name()] = definition
	}
	return map[string]any{"$ref": "#/$defs/" + t.Name()}
}

// restrict adds the only values of f to the schema m.
func (f field) restrict(m map[string]any, t reflect.Type) map[string]any {
	var values []any
	for _, value := range f.enum {
		values = append(values, literal(t, value))
	}
	if values != nil {
		m["enum"] = values
	}
	return m
}

// literal is the text of a tag as a value of type t in JSON.
func literal(t reflect.Type, text string) any {
	switch t.Kind() {
	case reflect.Bool:
		return text == "true"
	case reflect.Int:
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	case reflect.Slice:
		var list []any
		for element := range strings.SplitSeq(text, ",") {
			list = append(list, literal(t.Elem(), element))
		}
		return list
	}
	return text
}

// amount is the schema of a whole number with a unit; 0 needs none.
func (f field) amount(units string) map[string]any {
	m := map[string]any{"type": "string", "pattern": "^[0-9]+" + units + "$"}
	if f.min == "" {
		m["type"], m["minimum"], m["maximum"] = []string{"string", "integer"}, 0, 0
	}
	return f.orVariable(m)
}

// orVariable is the schema m, or what may stand in place of any value of f.
func (f field) orVariable(m map[string]any) map[string]any {
	forms := []any{m}
	if f.off {
		forms = append(forms, map[string]any{"enum": []any{"off"}})
	}
	return map[string]any{"anyOf": append(forms, map[string]any{"$ref": "#/$defs/variable"})}
}
