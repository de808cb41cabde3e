package admin

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Parameter is a parameter of a query.
type Parameter struct {
	Name string
	Kind string // string, integer, number, boolean or duration
	Doc  string
}

// query is the parameters of a request. Each has a value.
type query map[string]string

// mostQuery is how many bytes a query may have.
const mostQuery = 8 << 10

// parseQuery reads a query that may have these parameters, each once.
func parseQuery(raw string, may []Parameter) (query, error) {
	if len(raw) > mostQuery {
		return nil, fmt.Errorf("the query has %d bytes; at most %d are read", len(raw), mostQuery)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fmt.Errorf("the query is malformed: %w", err)
	}
	q := make(query, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(may, func(p Parameter) bool { return p.Name == name })
		switch value := values[name]; {
		case i < 0:
			return nil, fmt.Errorf("there is no parameter %q: %s", shorten(name), known(may))
		case len(value) > 1:
			return nil, fmt.Errorf("the parameter %s is given %d times", name, len(value))
		case value[0] == "":
			return nil, fmt.Errorf("the parameter %s is empty: give it a value or leave it out", name)
		case !utf8.ValidString(value[0]):
			return nil, fmt.Errorf("the parameter %s is not UTF-8", name)
		default:
			q[name] = value[0]
		}
	}
	return q, nil
}

// known lists parameters for a message.
func known(may []Parameter) string {
	if len(may) == 0 {
		return "none is known here"
	}
	names := make([]string, len(may))
	for i, p := range may {
		names[i] = p.Name
	}
	return "known here are " + strings.Join(names, ", ")
}

// flag returns a parameter that is true or false.
func (q query) flag(name string) (bool, error) {
	switch q[name] {
	case "true":
		return true, nil
	case "", "false":
		return false, nil
	}
	return false, fmt.Errorf("%s %q is neither true nor false", name, shorten(q[name]))
}

// shorten returns s, and of a long s only the beginning.
func shorten(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// errNoFilter is returned where all sessions could be meant by mistake.
var errNoFilter = errors.New("there is no filter: to end all sessions, write all=true")
