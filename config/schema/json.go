package schema

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"

	"sluice/config/units"
)

// JSON returns the form of the struct type t as JSON Schema 2020-12. It says nothing about values
// that refer to other values.
func JSON(t reflect.Type, title string) []byte {
	s := builder{defs: map[string]any{
		"variable": map[string]any{
			"description": "A value with ${NAME} or ${NAME:-default} in it.",
			"type":        "string",
			"pattern":     `\$\{`,
		},
	}}
	root := s.mapping(t)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = title
	root["$defs"] = s.defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return append(text, '\n')
}

// builder builds the definitions, one for each struct type.
type builder struct {
	defs map[string]any
}

// mapping returns the schema of the struct t written as a mapping.
func (s builder) mapping(t reflect.Type) map[string]any {
	properties := map[string]any{}
	m := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	var required []string
	for _, f := range Fields(t) {
		property := s.value(t.FieldByIndex(f.Index).Type, f)
		property["description"] = f.Doc
		if f.Default != "" {
			property["default"] = literal(t.FieldByIndex(f.Index).Type, f.Default)
		}
		properties[f.Key] = property
		if f.Required {
			required = append(required, f.Key)
		}
	}
	if required != nil {
		m["required"] = required
	}
	return m
}

// value returns the schema of what the key f of type t may have.
func (s builder) value(t reflect.Type, f Field) map[string]any {
	if text, ok := reflect.New(t).Interface().(Text); ok {
		return f.text(text)
	}
	if f.Named != "" {
		return map[string]any{
			"type":                 "object",
			"propertyNames":        map[string]any{"pattern": "^[A-Za-z0-9_-]+$"},
			"additionalProperties": s.reference(t.Elem()),
		}
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return f.orVariable(map[string]any{"type": "string", "pattern": `^([0-9]+d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$`, "minLength": 2})
	case reflect.TypeFor[units.Size]():
		return f.amount(`([KMGT]i?)?B`)
	case reflect.TypeFor[units.Rate]():
		return f.amount(`/[smh]`)
	case reflect.TypeFor[units.ByteRate]():
		return f.amount(`([KMGT]i?)?B/[smh]`)
	case reflect.TypeFor[units.Percent]():
		return f.amount(`(\.[0-9]{1,4})?%`)
	case reflect.TypeFor[units.PercentRate]():
		return f.amount(`(\.[0-9]{1,4})?%/(min|h)`)
	}
	switch t.Kind() {
	case reflect.Pointer:
		if f.Switch {
			return map[string]any{"oneOf": []any{s.value(reflect.TypeFor[bool](), Field{}), s.reference(t.Elem())}}
		}
		return s.reference(t.Elem())
	case reflect.Struct:
		return s.reference(t)
	case reflect.Slice:
		list := map[string]any{"type": "array", "minItems": 1, "items": s.value(t.Elem(), f.Element())}
		if f.Off {
			return map[string]any{"anyOf": []any{list, map[string]any{"enum": []any{"off"}}}}
		}
		return list
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": []string{"string", "number", "boolean"}}}
	case reflect.Bool:
		return f.orVariable(map[string]any{"type": "boolean"})
	case reflect.Int:
		n := map[string]any{"type": "integer"}
		if f.Min != "" {
			n["minimum"], n["maximum"] = number(f.Min), number(f.Max)
		}
		return f.orVariable(f.restrict(n, t))
	}
	if f.Enum != nil {
		return f.orVariable(f.restrict(map[string]any{}, t))
	}
	return map[string]any{"type": "string"}
}

// reference defines the struct t, unless that is done, and refers to it.
func (s builder) reference(t reflect.Type) map[string]any {
	if s.defs[t.Name()] == nil {
		definition := s.mapping(t)
		for _, f := range Fields(t) {
			if f.Short {
				scalar := t.FieldByIndex(f.Index).Type
				switch {
				case f.Word != "":
					scalar, f = reflect.TypeFor[string](), Field{Enum: []string{f.Word}}
				case scalar.Kind() == reflect.Slice:
					scalar, f = scalar.Elem(), f.Element()
				}
				definition = map[string]any{"oneOf": []any{s.value(scalar, f), definition}}
			}
		}
		s.defs[t.Name()] = definition
	}
	return map[string]any{"$ref": "#/$defs/" + t.Name()}
}

// restrict adds the only values of f to the schema m, which it returns.
func (f Field) restrict(m map[string]any, t reflect.Type) map[string]any {
	var values []any
	for _, value := range f.Enum {
		values = append(values, literal(t, value))
	}
	if values != nil {
		m["enum"] = values
	}
	return m
}

// literal returns the text of a tag as a value of type t in JSON.
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

// text returns the schema of a type with a form of its own.
func (f Field) text(t Text) map[string]any {
	if p, ok := t.(interface{ Pattern() string }); ok {
		return f.orVariable(map[string]any{"type": "string", "pattern": p.Pattern()})
	}
	return map[string]any{"type": "string"}
}

// amount returns the schema of a whole number with a unit; 0 needs none.
func (f Field) amount(units string) map[string]any {
	m := map[string]any{"type": "string", "pattern": "^[0-9]+" + units + "$"}
	if f.Min == "" {
		m["type"], m["minimum"], m["maximum"] = []string{"string", "integer"}, 0, 0
	}
	return f.orVariable(m)
}

// orVariable returns the schema of m, or of what may stand in place of any value of f.
func (f Field) orVariable(m map[string]any) map[string]any {
	forms := []any{m}
	if f.Off {
		forms = append(forms, map[string]any{"enum": []any{"off"}})
	}
	return map[string]any{"anyOf": append(forms, map[string]any{"$ref": "#/$defs/variable"})}
}
