package schema

import (
	"encoding/json"
	"reflect"
	"slices"
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
		if f.Required && f.Unless == "" {
			required = append(required, f.Key)
		}
	}
	if required != nil {
		m["required"] = required
	}
	if rules := together(t); rules != nil {
		m["allOf"] = rules
	}
	return m
}

// together returns the rules about which keys of the struct t are there together, and with which values.
func together(t reflect.Type) (rules []any) {
	fields := Fields(t)
	has := func(condition string) map[string]any {
		key, text, valued := strings.Cut(condition, "=")
		c := map[string]any{"required": []string{key}}
		if i := slices.IndexFunc(fields, func(f Field) bool { return f.Key == key }); valued && i >= 0 {
			c["properties"] = map[string]any{key: map[string]any{"enum": written(t.FieldByIndex(fields[i].Index).Type, text)}}
		}
		return c
	}
	one := map[string][]any{}
	var words []string
	for _, f := range fields {
		if f.One != "" {
			if one[f.One] == nil {
				words = append(words, f.One)
			}
			one[f.One] = append(one[f.One], has(f.Key))
		}
		if f.Unless != "" {
			rules = append(rules, map[string]any{"anyOf": []any{has(f.Key), has(f.Unless)}})
		}
		itself := f.Key // a switch counts where it is on
		if t.FieldByIndex(f.Index).Type.Kind() == reflect.Bool {
			itself += "=true"
		}
		for _, other := range f.Not {
			rules = append(rules, map[string]any{"not": map[string]any{"allOf": []any{has(itself), has(other)}}})
		}
		if f.Needs != nil {
			var either []any
			for _, condition := range f.Needs {
				key, _, valued := strings.Cut(condition, "=")
				either = append(either, has(condition))
				if valued { // whose value nobody knows here
					either = append(either, map[string]any{"required": []string{key}, "properties": map[string]any{key: map[string]any{"$ref": "#/$defs/variable"}}})
				}
			}
			rules = append(rules, map[string]any{"if": has(f.Key), "then": map[string]any{"anyOf": either}})
		}
	}
	for _, word := range words {
		rules = append(rules, map[string]any{"oneOf": one[word]})
	}
	return rules
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
		return f.orVariable(map[string]any{"type": "string", "pattern": `^([0-9]+d)?([-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)?$`, "minLength": 2})
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
		if t.Elem().Kind() == reflect.String {
			list["uniqueItems"] = true // the check of each list of texts refuses what is there twice
		}
		switch {
		case f.Off:
			return map[string]any{"anyOf": []any{list, map[string]any{"enum": []any{"off"}}}}
		case f.Single:
			return map[string]any{"anyOf": []any{list, list["items"]}}
		}
		return list
	case reflect.Map:
		m := map[string]any{"type": "object", "additionalProperties": map[string]any{"type": textTypes()}}
		if f.Keys != "" {
			m["propertyNames"] = map[string]any{"pattern": f.Keys}
		}
		return m
	case reflect.Bool:
		return f.orVariable(map[string]any{"type": "boolean"}, "^(true|false)$")
	case reflect.Int:
		n := map[string]any{"type": "integer"}
		if f.Min != "" {
			n["minimum"], n["maximum"] = number(f.Min), number(f.Max)
		}
		return f.orVariable(f.restrict(n, t), "^-?[0-9]+$")
	}
	switch {
	case f.Enum != nil:
		return f.orVariable(f.restrict(map[string]any{}, t))
	case f.Pattern != "":
		return f.orVariable(map[string]any{"type": "string", "pattern": f.Pattern})
	}
	return map[string]any{"type": textTypes()}
}

// textTypes returns what a text may look like without quotes.
func textTypes() []string { return []string{"string", "number", "boolean"} }

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
					f.Single = true
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
		values = append(values, written(t, value)...)
	}
	if values != nil {
		m["enum"] = values
	}
	return m
}

// written returns what the text of a tag, a value of type t, may be in JSON: with quotes, and without.
func written(t reflect.Type, text string) []any {
	values := []any{text}
	if value := literal(t, text); value != any(text) {
		return append(values, value)
	}
	if number, err := strconv.ParseFloat(text, 64); err == nil {
		values = append(values, number)
	}
	return values
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
		m["pattern"] = "^([0-9]+" + units + "|0+)$"
	}
	return f.orVariable(m)
}

// orVariable returns the schema of m, or of what may stand in place of any value of f. Quoted is a
// pattern of what m may be in quotes.
func (f Field) orVariable(m map[string]any, quoted ...string) map[string]any {
	forms := []any{m}
	for _, pattern := range quoted {
		forms = append(forms, map[string]any{"type": "string", "pattern": pattern})
	}
	if f.Off {
		forms = append(forms, map[string]any{"enum": []any{"off"}})
	}
	return map[string]any{"anyOf": append(forms, map[string]any{"$ref": "#/$defs/variable"})}
}
