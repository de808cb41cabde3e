// Package headers changes the header sections of requests and answers as a route
// asks for: settings with variables, removals, the client's certificate, and the
// headers of browser security.
package headers

import (
	"maps"
	"slices"
	"strings"

	"sluice/internal/fieldname"
	"sluice/internal/header"
)

// Edit is a change to a header section: first removals, then settings.
type Edit struct {
	names fieldname.Set // of the fields that are removed or set: they do not pass from any sender
	set   []setting     // by name
}

// setting is a field that is set.
type setting struct {
	name  string
	value Template
}

// A Template is the value of a field: the parts of it one after the other.
type Template []Part

// A Part is a text, or the name of a variable.
type Part struct {
	Text     string
	Variable bool
}

// Text returns the template of a value without variables.
func Text(s string) Template { return Template{{Text: s}} }

// NewEdit returns an edit that removes fields and sets others. The fields in also are
// set by others later: no value of them may pass either.
func NewEdit(remove []string, set map[string]Template, also ...string) Edit {
	e := Edit{names: fieldname.NewSet(slices.Concat(remove, slices.Collect(maps.Keys(set)), also)...)}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		e.set = append(e.set, setting{name, set[name]})
	}
	return e
}

// Names returns the names of the fields that do not pass.
func (e *Edit) Names() *fieldname.Set { return &e.names }

// Apply changes h. Lookup returns the value of a variable.
func (e *Edit) Apply(h *header.Fields, lookup func(variable string) string) {
	e.names.Strip(h)
	for i := range e.set {
		h.SetName(e.set[i].name, e.set[i].value.resolve(lookup))
	}
}

func (t Template) resolve(lookup func(variable string) string) string {
	if len(t) == 1 && !t[0].Variable {
		return t[0].Text
	}
	var b strings.Builder
	for _, p := range t {
		if p.Variable {
			b.WriteString(lookup(p.Text))
		} else {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}
