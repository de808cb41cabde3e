// Package schema is what the struct tags of a configuration type say about its keys. Decoding,
// completing, the JSON Schema and the tests of the documentation all go by it; it knows no type of
// the configuration itself.
//
// The tags are: "yaml" is the key, "doc" its description (its row in docs/configuration.md begins with
// it), "default" the value of a key that is absent (with commas, for a list), "required" that it may
// not be absent, "enum" the only values allowed, for a list of each element, "min" and "max" the
// bounds of a number, duration, size, share or rate, for a list of each element, "off" that the word
// off stands for the zero value, which is within any bounds, for a list for an empty one, which is not
// nil, "short" the key that a bare scalar in place of the mapping stands for, with a word that only
// this word does and makes the key true, "switch" that a bare true stands for the mapping with all its
// defaults, false for none, "single" that one element stands for a list of it, "secret" that its value
// is never shown, and "named" that a list is written as a mapping, with the field of its elements that
// each key of the mapping goes to. A field tagged ",inline" is a struct whose keys stand among those of
// the outer one; "-" is a field that has no key.
//
// For the JSON Schema alone there are more; the checks of package config have a message of their own
// for each: "one" is that exactly one of the keys with the same word has to be there, "needs" the keys,
// with bars between them, of which one has to be there with it, "not" those that may not, both as key
// or key=value, "unless" the key that may bring in a required one, "pattern" what a text matches,
// "keys" what the keys of a mapping match. For messages alone there are "also", words that other
// programs have for the key, "bare", what to do instead of a bare true in place of a mapping, and
// "many", what to do instead of a list.
package schema

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sluice/config/report"
)

// Field is what the tags say about one key.
type Field struct {
	Index    []int // as in reflect.Value.FieldByIndex
	Key      string
	Doc      string
	Default  string   // value of an absent key, "" for none
	Enum     []string // the only values, nil for any
	Min, Max string   // bounds, both included, "" for none
	Named    string   // of a list that is a mapping: the field of an element that holds its key
	Required bool
	Off      bool   // the word off is the zero value
	Short    bool   // what a scalar in place of the mapping stands for
	Word     string // the only such scalar, which stands for true; "" for a value of the key
	Secret   bool   // it is never shown
	Switch   bool   // true in place of the mapping is the mapping with its defaults, false is none
	Single   bool   // of a list: an element in its place is the list of it

	// Only messages need these.
	Also []string // words for the key in the files of other programs
	Bare string   // what to do instead of a bare true
	Many string   // what to do instead of a list

	// Only the JSON Schema is told these.
	One     string   // exactly one of the keys with this word is there
	Needs   []string // one of these keys is there too
	Not     []string // none of these is there; both have a key, or key=value
	Unless  string   // a required key may be absent where this key is there
	Pattern string   // of a text
	Keys    string   // pattern of the keys of a mapping
}

// Text is a type that is written as one scalar in a form of its own. A pointer to it has these
// methods.
type Text interface {
	// SetText reads the value. Number says that YAML takes the text for a number, as it has no
	// quotes. The result is what is wrong with it, a predicate, or "".
	SetText(text string, number bool) (wrong string)
	Text() string  // the value as SetText reads it
	Wrong() string // what is wrong with a value that no text was read for, a predicate, or ""
	Form() string  // what it is, as in "a mode"
}

// Types are the fields of struct types, each looked up once. It is not safe for concurrent use.
type Types struct{ fields map[reflect.Type][]Field }

// NewTypes returns an empty Types.
func NewTypes() *Types { return &Types{fields: make(map[reflect.Type][]Field)} }

// Fields returns the keys of the struct type t in their order.
func (s *Types) Fields(t reflect.Type) []Field {
	fields, ok := s.fields[t]
	if !ok {
		fields = Fields(t)
		s.fields[t] = fields
	}
	return fields
}

// SetDefaults sets what the tags give for absent keys of the struct v, and of the structs in it.
// Anything but a struct is left as it is.
func (s *Types) SetDefaults(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for _, f := range s.Fields(v.Type()) {
		if f.Default != "" {
			f.Set(v.FieldByIndex(f.Index), f.Default)
		}
		s.SetDefaults(v.FieldByIndex(f.Index))
	}
}

// New returns a T, a struct, with its defaults.
func New[T any](s *Types) T {
	var value T
	s.SetDefaults(reflect.ValueOf(&value).Elem())
	return value
}

// Fields returns the keys of the struct type t in their order.
func Fields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		key := tag.Get("yaml")
		switch key {
		case "-", "":
			continue
		case ",inline":
			for _, f := range Fields(t.Field(i).Type) {
				f.Index = append([]int{i}, f.Index...)
				fields = append(fields, f)
			}
			continue
		}
		f := Field{
			Index: []int{i}, Key: key, Doc: tag.Get("doc"), Default: tag.Get("default"), Named: tag.Get("named"),
			Min: tag.Get("min"), Max: tag.Get("max"), Required: tag.Get("required") == "true",
			One: tag.Get("one"), Pattern: tag.Get("pattern"), Keys: tag.Get("keys"), Unless: tag.Get("unless"), Bare: tag.Get("bare"), Many: tag.Get("many"),
		}
		f.Needs, f.Not = split(tag.Get("needs"), "|"), split(tag.Get("not"), "|")
		f.Enum, f.Also = split(tag.Get("enum"), ","), split(tag.Get("also"), ",")
		_, f.Off = tag.Lookup("off")
		f.Word, f.Short = tag.Lookup("short")
		_, f.Switch = tag.Lookup("switch")
		_, f.Secret = tag.Lookup("secret")
		_, f.Single = tag.Lookup("single")
		fields = append(fields, f)
	}
	return fields
}

// split returns the parts of a tag, nil for one that is absent.
func split(tag, separator string) []string {
	if tag == "" {
		return nil
	}
	return strings.Split(tag, separator)
}

// Keys returns the keys of fields.
func Keys(fields []Field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.Key
	}
	return keys
}

// Element returns the field of an element of the list f.
func (f Field) Element() Field {
	return Field{Enum: f.Enum, Min: f.Min, Max: f.Max, Pattern: f.Pattern}
}

// Set parses text into the scalar v, or into a list the text of a tag. It returns what is wrong
// with the text, a predicate such as "is not a whole number", or ""; then v is as before.
func (f Field) Set(v reflect.Value, text string) (wrong string) {
	wrong = f.set(v, text)
	if wrong != "" && f.MeansOff(text) != "" {
		wrong = "is another word for off" + f.MeansOff(text)
	}
	return wrong
}

// MeansOff returns the advice to write off, where f has that and a text is another word for it; else "".
func (f Field) MeansOff(text string) (advice string) {
	if f.Off && slices.Contains([]string{"false", "no", "none", "never", "disabled"}, strings.ToLower(text)) {
		return ": write off"
	}
	return ""
}

func (f Field) set(v reflect.Value, text string) (wrong string) {
	if v.Kind() == reflect.Slice {
		return f.setList(v, strings.Split(text, ","))
	}
	if f.Off && text == "off" {
		v.SetZero()
		return ""
	}
	if wrong := f.checkEnum(v.Kind(), text); wrong != "" {
		return wrong
	}
	if a := amountIn(v); a != nil {
		return a.set(f, text)
	}
	switch v.Kind() {
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "yes", "on":
			return "is not true or false: write true"
		case "no", "off":
			return "is not true or false: write false"
		}
		if text != "true" && text != "false" {
			return "is not true or false"
		}
		v.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(n) != text {
			return "is not a whole number"
		}
		if wrong := f.checkInt(n); wrong != "" {
			return wrong
		}
		v.SetInt(int64(n))
	default:
		v.SetString(text)
	}
	return ""
}

// Check returns what is wrong with the scalar v, which no text was read for, or "".
func (f Field) Check(v reflect.Value) (wrong string) {
	if t, ok := v.Addr().Interface().(Text); ok {
		return t.Wrong()
	}
	if f.Off && v.IsZero() {
		return ""
	}
	if wrong := f.checkEnum(v.Kind(), Written(v)); wrong != "" {
		return wrong
	}
	if a := amountIn(v); a != nil {
		return a.check(f)
	}
	if v.Kind() == reflect.Int {
		return f.checkInt(int(v.Int()))
	}
	return ""
}

// Written returns the scalar v as a configuration has it.
func Written(v reflect.Value) string {
	if t, ok := v.Addr().Interface().(Text); ok {
		return t.Text()
	}
	if a := amountIn(v); a != nil {
		return a.text()
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	}
	return v.String()
}

func (f Field) setList(v reflect.Value, texts []string) string {
	v.Set(reflect.MakeSlice(v.Type(), len(texts), len(texts)))
	for i, text := range texts {
		if wrong := f.Set(v.Index(i), text); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (f Field) checkEnum(kind reflect.Kind, text string) (wrong string) {
	if f.Enum == nil || slices.Contains(f.Enum, text) {
		return ""
	}
	values := f.Enum
	if f.Off {
		values = append(slices.Clip(values), "off")
	}
	advice := ""
	if kind != reflect.Int { // numbers that look alike do not mean alike
		advice = report.Suggest(text, slices.Values(values))
	}
	return "is not one of " + strings.Join(values, ", ") + advice
}

func (f Field) checkInt(n int) (wrong string) {
	if f.Min != "" && n < number(f.Min) || f.Max != "" && n > number(f.Max) {
		return "is not within " + f.Min + " to " + f.Max
	}
	return ""
}

// number returns the number of a tag.
func number(n string) int { i, _ := strconv.Atoi(n); return i }
