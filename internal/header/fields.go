// Package header is the fields of a header section as a list, in the order of their lines.
// Names that the gateway looks at have an [ID], so that they are found without comparing
// text. Names are compared in any case (RFC 9110, section 5.1).
package header

import (
	"iter"
	"strings"

	"sluice/internal/httpsyntax"
)

// A Field is one line of a header section or of a trailer section.
type Field struct {
	Name  string // as the standard spells it where ID is known, else as it was sent
	Value string // without white space at its ends
	ID    ID     // [Other] for a name that is not known
}

// Is reports whether f has a name, in any case.
func (f *Field) Is(name string) bool { return EqualFold(f.Name, name) }

// Fields is a header section.
type Fields []Field

// Get returns the first value of a known name, or "".
func (h Fields) Get(id ID) string {
	for i := range h {
		if h[i].ID == id {
			return h[i].Value
		}
	}
	return ""
}

// Count returns how many lines have a known name.
func (h Fields) Count(id ID) (n int) {
	for i := range h {
		if h[i].ID == id {
			n++
		}
	}
	return n
}

// Has reports whether a line has a known name.
func (h Fields) Has(id ID) bool { return h.Count(id) > 0 }

// Values returns the values of a known name, one for each line.
func (h Fields) Values(id ID) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h {
			if h[i].ID == id && !yield(h[i].Value) {
				return
			}
		}
	}
}

// Named is Values for any name.
func (h Fields) Named(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h {
			if h[i].Is(name) && !yield(h[i].Value) {
				return
			}
		}
	}
}

// Elements returns the elements of the lists that the lines of a known name hold, without
// empty ones (RFC 9110, section 5.6.1). A comma in a quoted string ends an element too.
func (h Fields) Elements(id ID) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h {
			if h[i].ID == id && !elements(h[i].Value, yield) {
				return
			}
		}
	}
}

func elements(list string, yield func(string) bool) bool {
	for start, i := 0, 0; i <= len(list); i++ {
		if i < len(list) && list[i] != ',' {
			continue
		}
		if e := Trim(list[start:i]); e != "" && !yield(e) {
			return false
		}
		start = i + 1
	}
	return true
}

// HasToken reports whether a list of a known name has a token, in any case.
func (h Fields) HasToken(id ID, token string) bool {
	for i := range h {
		if h[i].ID == id && ListHas(h[i].Value, token) {
			return true
		}
	}
	return false
}

// ListHas reports whether a list has a token, in any case (RFC 9110, section 5.6.1).
func ListHas(list, token string) bool {
	return !elements(list, func(e string) bool { return !EqualFold(e, token) })
}

// Trim removes the white space that may stand around a value (RFC 9110, section 5.6.3).
func Trim(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// Clone returns a copy with room for the fields that the gateway adds to a request.
func (h Fields) Clone() Fields { return append(make(Fields, 0, len(h)+spare), h...) }

// spare is how many fields the gateway adds to most requests, at most.
const spare = 10

// Add adds a line with a known name.
func (h *Fields) Add(id ID, value string) { *h = append(*h, Field{names[id], value, id}) }

// Set makes a line with a known name the only one of that name.
func (h *Fields) Set(id ID, value string) {
	h.Del(id)
	h.Add(id, value)
}

// AddName is Add for any name.
func (h *Fields) AddName(name, value string) {
	id := Lookup(name)
	if id != Other {
		name = names[id]
	}
	*h = append(*h, Field{name, value, id})
}

// SetName is Set for any name.
func (h *Fields) SetName(name, value string) {
	h.DelFunc(func(f *Field) bool { return f.Is(name) })
	h.AddName(name, value)
}

// Del removes the lines with a known name.
func (h *Fields) Del(id ID) {
	h.DelFunc(func(f *Field) bool { return f.ID == id })
}

// DelFunc removes the lines for which remove returns true.
func (h *Fields) DelFunc(remove func(*Field) bool) {
	kept := *h
	for i := range kept {
		if !remove(&kept[i]) {
			continue
		}
		n := i
		for j := i + 1; j < len(kept); j++ {
			if !remove(&kept[j]) {
				kept[n] = kept[j]
				n++
			}
		}
		clear(kept[n:])
		*h = kept[:n]
		return
	}
}

// Size returns how many bytes HTTP/1.1 needs for the fields.
func (h Fields) Size() (n int) {
	for i := range h {
		n += len(h[i].Name) + len(": ") + len(h[i].Value) + len("\r\n")
	}
	return n
}

// Append appends the fields to b as HTTP/1.1 writes them, without the empty line that ends
// the section. A line break in a value becomes a space; a name that is no token is left out
// with its value: what comes from elsewhere than [sluice/internal/h1] may have them.
func (h Fields) Append(b []byte) []byte {
	for i := range h {
		f := &h[i]
		if f.ID == Other && !httpsyntax.IsToken(f.Name) {
			continue
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		if strings.IndexByte(f.Value, '\r') >= 0 || strings.IndexByte(f.Value, '\n') >= 0 {
			unbreak(b[len(b)-len(f.Value):])
		}
		b = append(b, "\r\n"...)
	}
	return b
}

// unbreak makes line breaks spaces.
func unbreak(b []byte) {
	for i, c := range b {
		if c == '\r' || c == '\n' {
			b[i] = ' '
		}
	}
}
