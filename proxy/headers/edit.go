// Package headers changes the header sections of requests and answers as a route
// asks for: settings with variables, removals, the client's certificate, and the
// headers of browser security.
package headers

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"sluice/internal/fieldname"
)

// Edit is a change to a header section: first removals, then settings.
type Edit struct {
	names fieldname.Set // of the fields that are removed or set: they do not pass from any sender
	set   map[string]Template
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
	return Edit{fieldname.NewSet(slices.Concat(remove, slices.Collect(maps.Keys(set)), also)...), set}
}

// Names returns the names of the fields that do not pass.
func (e *Edit) Names() *fieldname.Set { return &e.names }

// Apply changes h. Lookup returns the value of a variable.
func (e *Edit) Apply(h http.Header, lookup func(variable string) string) {
	e.names.Strip(h)
	for name, t := range e.set {
		h.Set(name, t.value(lookup))
	}
}

func (t Template) value(lookup func(variable string) string) string {
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
