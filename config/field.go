package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is what the tags of types.go say about one key.
type field struct {
	index    int
	key      string
	doc      string
	fallback string   // value of an absent key, "" for none
	enum     []string // the only values, nil for any
	min, max string   // bounds of a number or duration, both included
	required bool
	short    bool // what a scalar in place of the mapping stands for
}

// fieldsOf returns the keys of the struct type t in their order.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		key := tag.Get("yaml")
		if key == "-" || key == "" {
			continue
		}
		f := field{
			index: i, key: key, doc: tag.Get("doc"), fallback: tag.Get("default"),
			min: tag.Get("min"), max: tag.Get("max"), required: tag.Get("required") == "true",
		}
		if enum := tag.Get("enum"); enum != "" {
			f.enum = strings.Split(enum, ",")
		}
		_, f.short = tag.Lookup("short")
		fields = append(fields, f)
	}
	return fields
}

// set parses text into the scalar v. It returns what is wrong with the text, a
// predicate such as "is not a whole number", or "".
func (f field) set(v reflect.Value, text string) string {
	if f.enum != nil && !slices.Contains(f.enum, text) {
		return "is not one of " + strings.Join(f.enum, ", ") + suggest(text, slices.Values(f.enum))
	}
	if d, ok := v.Addr().Interface().(*time.Duration); ok {
		return f.setDuration(d, text)
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

func (f field) setDuration(to *time.Duration, text string) string {
	d, wrong := parseDuration(text)
	switch {
	case wrong != "":
		return wrong
	case f.min != "" && d < duration(f.min):
		return "is too short: the least is " + f.min
	case f.max != "" && d > duration(f.max):
		return "is too long: the most is " + f.max
	}
	*to = d
	return ""
}

// number is n of a tag.
func number(n string) int { i, _ := strconv.Atoi(n); return i }

// duration is d of a tag.
func duration(d string) time.Duration { parsed, _ := parseDuration(d); return parsed }

// parseDuration reads what [time.ParseDuration] does, and days ahead of it, as
// in 1d or 1d12h. A number without a unit is refused, 0 too. The second result
// is what is wrong.
func parseDuration(text string) (time.Duration, string) {
	const day = 24 * time.Hour
	var days time.Duration
	rest := text
	if n, after, found := strings.Cut(text, "d"); found {
		count, err := strconv.ParseUint(n, 10, 16) // 179 years: below what a duration holds
		if err != nil {
			return 0, "is not a duration: write it as in 30s, 1h30m or 1d"
		}
		if days, rest = time.Duration(count)*day, after; rest == "" {
			return days, ""
		}
	}
	if _, err := strconv.ParseFloat(rest, 64); err == nil {
		return 0, "has no unit: add a unit, as in 30s"
	}
	d, err := time.ParseDuration(rest)
	if err != nil || days+d < days && days > 0 {
		return 0, "is not a duration: write it as in 30s, 1h30m or 1d"
	}
	return days + d, ""
}
