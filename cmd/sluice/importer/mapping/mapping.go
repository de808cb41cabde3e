// Package mapping is parts of a configuration file: mappings in order, values, comments, and how each is written as YAML.
package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A Map is a mapping of the configuration in order. Its values are strings, [Amount], int, bool,
// []string, []Map and Map.
type Map []Entry

// An Entry is a key and its value.
type Entry struct {
	Key   string
	Value any
}

// An Amount is a value that is written as it is, such as 30s or 1MiB.
type Amount string

// Set sets the value at a path of keys, in place of what is there.
func (m *Map) Set(value any, keys ...string) {
	i := slices.IndexFunc(*m, func(e Entry) bool { return e.Key == keys[0] })
	if i < 0 {
		i = len(*m)
		*m = append(*m, Entry{Key: keys[0]})
	}
	if len(keys) == 1 {
		(*m)[i].Value = value
		return
	}
	inner, _ := (*m)[i].Value.(Map)
	inner = slices.Clone(inner)
	inner.Set(value, keys[1:]...)
	(*m)[i].Value = inner
}

// Get returns the value at a path of keys, or nil.
func (m Map) Get(keys ...string) any {
	for _, e := range m {
		if e.Key != keys[0] {
			continue
		}
		if len(keys) == 1 {
			return e.Value
		}
		inner, _ := e.Value.(Map)
		return inner.Get(keys[1:]...)
	}
	return nil
}

// Add adds strings to the list at a path of keys; what is there already is not added again.
func (m *Map) Add(value string, keys ...string) {
	list, _ := m.Get(keys...).([]string)
	if !slices.Contains(list, value) {
		m.Set(append(slices.Clip(list), value), keys...)
	}
}

// Clone returns a copy that shares nothing which Set changes.
func (m Map) Clone() Map { return slices.Clone(m) }

// Duration writes a duration within bounds.
func Duration(d, least, most time.Duration) Amount {
	d = min(max(d, least), most)
	const day = 24 * time.Hour
	switch {
	case d%day == 0:
		return Amount(strconv.FormatInt(int64(d/day), 10) + "d")
	case d%time.Hour == 0:
		return Amount(strconv.FormatInt(int64(d/time.Hour), 10) + "h")
	case d%time.Minute == 0:
		return Amount(strconv.FormatInt(int64(d/time.Minute), 10) + "m")
	}
	return Amount(d.String())
}

// Size writes a number of bytes.
func Size(n int64) Amount {
	unit := "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n < 1<<10 || n%(1<<10) != 0 {
			break
		}
		n, unit = n>>10, larger
	}
	return Amount(strconv.FormatInt(n, 10) + unit)
}

// Literal is a value of a header in which nothing stands for a variable.
func Literal(s string) string { return word.ReplaceAllString(s, "{$0}") }

// word matches what would be a variable in the value of a header.
var word = regexp.MustCompile(`\{+[a-z_]+\}`)

// plain matches a text that YAML reads as itself in every place; words that it would read as something
// else are in quotes.
var (
	plain    = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9/_.*-]*(:[A-Za-z0-9/_.*-]+)*$|^[0-9]{1,3}(\.[0-9]{1,3}){3}(:[0-9]+|/[0-9]+)?$`)
	reserved = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|y|n|null)$`)
)

// Quote writes a text as a YAML scalar that is this text for the configuration.
func Quote(s string) string {
	s = strings.ReplaceAll(s, "${", "$${")
	if plain.MatchString(s) && !reserved.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

// inline writes a value on one line.
func inline(v any) string {
	switch v := v.(type) {
	case string:
		return Quote(v)
	case Amount:
		return string(v)
	case []string:
		var all []string
		for _, s := range v {
			all = append(all, Quote(s))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case Map:
		var all []string
		for _, e := range v {
			all = append(all, Quote(e.Key)+": "+inline(e.Value))
		}
		return "{ " + strings.Join(all, ", ") + " }"
	}
	return fmt.Sprint(v) // int, bool
}

// Lines writes a mapping as a block, each line behind indent.
func (m Map) Lines(indent string) (lines []string) {
	const width = 110
	for _, e := range m {
		at := indent + Quote(e.Key) + ":"
		switch v := e.Value.(type) {
		case Map:
			if one := inline(v); len(at)+len(one) < width && !v.nested() {
				lines = append(lines, at+" "+one)
				continue
			}
			lines = append(append(lines, at), v.Lines(indent+"  ")...)
		case []Map:
			lines = append(lines, at)
			for _, item := range v {
				lines = append(lines, indent+"  - "+inline(item))
			}
		case []string:
			if one := inline(v); len(at)+len(one) < width {
				lines = append(lines, at+" "+one)
				continue
			}
			lines = append(lines, at)
			for _, s := range v {
				lines = append(lines, indent+"  - "+Quote(s))
			}
		default:
			lines = append(lines, at+" "+inline(v))
		}
	}
	return lines
}

// nested reports whether a value of m is a mapping.
func (m Map) nested() bool {
	return slices.ContainsFunc(m, func(e Entry) bool {
		switch e.Value.(type) {
		case Map, []Map:
			return true
		}
		return false
	})
}

// Comment writes text as a comment, each line behind indent.
func Comment(indent, text string) (lines []string) {
	const most, long = 24, 200
	for i, line := range strings.Split(strings.TrimRight(text, " \t\r\n"), "\n") {
		if i == most {
			return append(lines, indent+"# ...")
		}
		line = strings.TrimRight(Clean(line), " ")
		if len(line) > long {
			line = strings.ToValidUTF8(line[:long], "") + " ..."
		}
		lines = append(lines, strings.TrimRight(indent+"# "+line, " "))
	}
	return lines
}

// Clean replaces what does not belong in a line of text.
func Clean(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\t':
			return ' '
		case !unicode.IsPrint(c):
			return '?'
		}
		return c
	}, s)
}
