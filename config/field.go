package config

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is what the tags of types.go say about one key.
type field struct {
	index    []int // as in reflect.Value.FieldByIndex
	key      string
	doc      string
	fallback string   // value of an absent key, "" for none
	enum     []string // the only values, nil for any
	min, max string   // bounds, both included
	required bool
	off      bool // the word off is the zero value
	short    bool // what a scalar in place of the mapping stands for
	toggle   bool // true in place of the mapping is the mapping with its defaults, false none
}

// fieldsOf returns the keys of the struct type t in their order.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		key := tag.Get("yaml")
		switch key {
		case "-", "":
			continue
		case ",inline":
			for _, f := range fieldsOf(t.Field(i).Type) {
				f.index = append([]int{i}, f.index...)
				fields = append(fields, f)
			}
			continue
		}
		f := field{
			index: []int{i}, key: key, doc: tag.Get("doc"), fallback: tag.Get("default"),
			min: tag.Get("min"), max: tag.Get("max"), required: tag.Get("required") == "true",
		}
		if enum := tag.Get("enum"); enum != "" {
			f.enum = strings.Split(enum, ",")
		}
		_, f.off = tag.Lookup("off")
		_, f.short = tag.Lookup("short")
		_, f.toggle = tag.Lookup("switch")
		fields = append(fields, f)
	}
	return fields
}

// element is the field of an element of the list f.
func (f field) element() field { return field{enum: f.enum, min: f.min, max: f.max} }

// set parses text into the scalar v, or into a list the text of a tag. It
// returns what is wrong with the text, a predicate such as "is not a whole
// number", or "".
func (f field) set(v reflect.Value, text string) string {
	switch {
	case v.Kind() == reflect.Slice:
		return f.setList(v, strings.Split(text, ","))
	case f.off && text == "off":
		v.SetZero()
		return ""
	case f.enum != nil && !slices.Contains(f.enum, text):
		values := f.enum
		if f.off {
			values = append(slices.Clip(values), "off")
		}
		advice := ""
		if v.Kind() != reflect.Int { // numbers that look alike do not mean alike
			advice = suggest(text, slices.Values(values))
		}
		return "is not one of " + strings.Join(values, ", ") + advice
	}
	switch to := v.Addr().Interface().(type) {
	case *time.Duration:
		return within(f, to, text, parseDuration, "short", "long")
	case *Size:
		return within(f, to, text, parseSize, "small", "large")
	case *Rate:
		return within(f, to, text, parseRate, "slow", "fast")
	case *ByteRate:
		return within(f, to, text, parseByteRate, "slow", "fast")
	case *Percent:
		return within(f, to, text, parsePercent, "small", "large")
	case *PercentRate:
		return within(f, to, text, parsePercentRate, "slow", "fast")
	}
	switch v.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" {
			return "is not true or false"
		}
		v.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(n) != text {
			return "is not a whole number"
		}
		if f.min != "" && n < number(f.min) || f.max != "" && n > number(f.max) {
			return "is not within " + f.min + " to " + f.max
		}
		v.SetInt(int64(n))
	default:
		v.SetString(text)
	}
	return ""
}

func (f field) setList(v reflect.Value, texts []string) string {
	v.Set(reflect.MakeSlice(v.Type(), len(texts), len(texts)))
	for i, text := range texts {
		if wrong := f.set(v.Index(i), text); wrong != "" {
			return wrong
		}
	}
	return ""
}

// within sets to to what parse makes of text, if it is not beyond the bounds of
// f: too low a value or too high a one, in words.
func within[T cmp.Ordered](f field, to *T, text string, parse func(string) (T, string), low, high string) string {
	var zero T
	value, wrong := parse(text)
	least, _ := parse(f.min)
	most, _ := parse(f.max)
	switch {
	case wrong != "":
		return wrong
	case f.off && value == zero:
	case f.min != "" && value < least:
		return "is too " + low + ": the least is " + f.min
	case f.max != "" && value > most:
		return "is too " + high + ": the most is " + f.max
	}
	*to = value
	return ""
}

// number is n of a tag.
func number(n string) int { i, _ := strconv.Atoi(n); return i }
