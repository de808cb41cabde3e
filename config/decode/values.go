package decode

import (
	"reflect"
	"strings"

	"sluice/config/report"
	"sluice/config/schema"
)

// completer does for values that were made in Go what decoder does for YAML.
type completer struct {
	*report.Report
	types *schema.Types
	zero  map[report.Path]bool // fields that are given though they are zero; true once one was met
}

// Values completes to, a pointer to a struct that was made in Go. It records in r which values are
// given and what is wrong with single ones, and sets the defaults of those that are not given.
//
// A field is given if it is not zero or if its path is in zero. So are elements of lists and
// mappings, and required numbers, whatever they are. An empty list or mapping is not given, except
// where its tag has "off". A path in zero that no field has is a problem.
func Values(r *report.Report, types *schema.Types, to any, zero []string) {
	c := &completer{Report: r, types: types, zero: make(map[report.Path]bool, len(zero))}
	for _, at := range zero {
		c.zero[report.Path(at)] = false
	}
	c.fields(reflect.ValueOf(to).Elem(), "")
	for at, met := range c.zero {
		if !met {
			c.Fail(at, "there is no such value to leave zero")
		}
	}
}

// fields completes the struct v at a path.
func (c *completer) fields(v reflect.Value, at report.Path) {
	for _, f := range c.types.Fields(v.Type()) {
		field, at := v.FieldByIndex(f.Index), at.Key(f.Key)
		switch {
		case c.value(field, at, f):
		case f.Required:
			c.Fail(at, "no %s: the key is required", f.Key)
		case f.Default != "":
			f.Set(field, f.Default)
		}
	}
}

// value completes the value v of the key f and reports whether it is given.
func (c *completer) value(v reflect.Value, at report.Path, f schema.Field) (given bool) {
	if _, ok := v.Addr().Interface().(schema.Text); ok {
		return c.scalar(v, at, f)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return false
		}
		c.Give(at, report.Source{})
		c.fields(v.Elem(), at)
		return true
	case reflect.Struct:
		if v.IsZero() && !c.zeroBelow(at) {
			c.types.SetDefaults(v)
			return false
		}
		c.Give(at, report.Source{})
		c.fields(v, at)
		return true
	case reflect.Slice:
		return c.list(v, at, f)
	case reflect.Map:
		return c.texts(v, at)
	}
	return c.scalar(v, at, f)
}

// scalar is value for a scalar.
func (c *completer) scalar(v reflect.Value, at report.Path, f schema.Field) (given bool) {
	_, kept := c.zero[at]
	if kept {
		c.zero[at] = true
	}
	if v.IsZero() && !kept && !(f.Required && v.Kind() == reflect.Int) {
		return false
	}
	c.element(v, at, f)
	return true
}

// element checks the scalar v, which is given.
func (c *completer) element(v reflect.Value, at report.Path, f schema.Field) {
	c.Give(at, report.Source{Written: schema.Written(v), Literal: true})
	if wrong := f.Check(v); wrong != "" {
		c.Reject(at, "%s", wrong)
	}
}

func (c *completer) list(v reflect.Value, at report.Path, f schema.Field) (given bool) {
	if v.Len() == 0 {
		if f.Off && !v.IsNil() {
			c.Give(at, report.Source{})
			return true
		}
		v.SetZero()
		return false
	}
	c.Give(at, report.Source{})
	for i := range v.Len() {
		element := v.Index(i)
		_, text := element.Addr().Interface().(schema.Text)
		switch {
		case f.Named != "":
			c.named(element, at, f)
		case element.Kind() == reflect.Struct && !text:
			c.Give(at.Index(i), report.Source{})
			c.fields(element, at.Index(i))
		default:
			c.element(element, at.Index(i), f.Element())
		}
	}
	return true
}

// named completes an element of the list f, which has a name in place of an index.
func (c *completer) named(element reflect.Value, list report.Path, f schema.Field) {
	name := element.FieldByName(f.Named).String()
	at := list.Key(name)
	if c.Has(at) {
		c.Fail(at, "%s is the name of more than one of the %s", report.Quote(name), f.Key)
		return
	}
	c.Give(at, report.Source{})
	c.fields(element, at)
}

// texts completes a mapping of names to texts. Its values, such as headers, may be secrets, so that
// no message may show one.
func (c *completer) texts(v reflect.Value, at report.Path) (given bool) {
	if v.Len() == 0 {
		v.SetZero()
		return false
	}
	c.Give(at, report.Source{})
	for _, name := range v.MapKeys() {
		c.Give(at.Key(name.String()), report.Source{Written: "..."})
	}
	return true
}

// zeroBelow reports whether a field of the struct at a path is given as zero.
func (c *completer) zeroBelow(at report.Path) bool {
	for path := range c.zero {
		if strings.HasPrefix(string(path), string(at)+".") {
			return true
		}
	}
	return false
}
