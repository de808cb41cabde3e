package config

import (
	"reflect"
	"strings"

	"sluice/config/report"
	"sluice/config/schema"
)

// Redacted stands for a secret.
const Redacted = "REDACTED"

// Show returns the configuration with all its defaults as maps, lists and scalars, keyed and written
// as in a file, for people and for JSON. Secrets are [Redacted], and where the file has variables they
// stand in place of their values.
func (c *Config) Show() map[string]any {
	s := shower{types: schema.NewTypes(), variables: c.variables}
	return s.structure(reflect.ValueOf(c).Elem(), "")
}

type shower struct {
	types     *schema.Types
	variables map[report.Path]string // values with variables, as they are written
}

func (s shower) structure(v reflect.Value, at report.Path) map[string]any {
	all := make(map[string]any)
	for _, f := range s.types.Fields(v.Type()) {
		field := v.FieldByIndex(f.Index)
		if shown := s.value(field, at.Key(f.Key), f); shown != nil {
			all[f.Key] = shown
		}
	}
	return all
}

// written returns a text with variables as it stands in the file. Of a secret it may have a part: only
// a variable alone is shown.
func (s shower) written(text string, secret bool) string {
	if inner := strings.TrimSuffix(strings.TrimPrefix(text, "${"), "}"); secret && (len(inner) != len(text)-len("${}") || strings.ContainsAny(inner, "${}:")) {
		return Redacted
	}
	return text
}

// value returns the value of the key f, nil if it is absent.
func (s shower) value(v reflect.Value, at report.Path, f schema.Field) any {
	if written, ok := s.variables[at]; ok {
		return s.written(written, f.Secret)
	}
	if _, ok := v.Addr().Interface().(schema.Text); ok {
		if v.IsZero() && f.Default == "" {
			return nil
		}
		return schema.Written(v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return s.structure(v.Elem(), at)
	case reflect.Struct:
		return s.structure(v, at)
	case reflect.Slice:
		return s.list(v, at, f)
	case reflect.Map:
		if v.Len() == 0 {
			return nil
		}
		texts := make(map[string]any)
		for _, key := range v.MapKeys() {
			name := key.String()
			switch written, ok := s.variables[at.Key(name)]; {
			case ok:
				texts[name] = s.written(written, f.Secret)
			case f.Secret:
				texts[name] = Redacted
			default:
				texts[name] = v.MapIndex(key).String()
			}
		}
		return texts
	}
	switch {
	case v.IsZero() && f.Off:
		return "off"
	case v.IsZero() && f.Default == "" && v.Kind() != reflect.Bool:
		return nil
	case f.Secret:
		return Redacted
	case v.Kind() == reflect.Bool || v.Kind() == reflect.Int, v.Kind() == reflect.String && v.Type() == reflect.TypeFor[string]():
		return v.Interface()
	}
	return schema.Written(v)
}

func (s shower) list(v reflect.Value, at report.Path, f schema.Field) any {
	switch {
	case v.Len() > 0:
	case f.Off && !v.IsNil():
		return "off"
	default:
		return nil
	}
	if f.Named != "" {
		named := make(map[string]any, v.Len())
		for i := range v.Len() {
			name := v.Index(i).FieldByName(f.Named).String()
			named[name] = s.value(v.Index(i), at.Key(name), f.Element())
		}
		return named
	}
	if f.Single && v.Len() == 1 {
		return s.value(v.Index(0), at.Index(0), f.Element())
	}
	list := make([]any, v.Len())
	for i := range list {
		list[i] = s.value(v.Index(i), at.Index(i), f.Element())
	}
	return list
}
