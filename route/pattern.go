package route

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/httpsyntax"
)

// Values of [Pattern.Protocol].
const (
	plainOnly     = "http"
	webSocketOnly = "websocket"
)

// everything is the path of a pattern that has none.
const everything = "/*"

// anyValue is the value of a condition that a header or a parameter with any value meets.
const anyValue = "*"

// Pattern is which requests one route matches: those that meet every field. The zero value matches
// every request but TRACE.
type Pattern struct {
	Hosts    []string          // each exact, or "*.example.com" for any name below; none means any
	Paths    []string          // each exact; everything below with "/*" at its end, or what of it ends in .php with "/*.php"; none means "/*". {name} is any one segment
	Methods  []string          // none means any but TRACE; GET covers HEAD
	Headers  map[string]string // name to value; "*" is any value
	Query    map[string]string // name to value, both unescaped; "*" is any value
	Protocol string            // "websocket" for handshakes only, "http" for the rest only, "" for both
}

// String returns all of p in a canonical form: the same for every spelling of the same matchers but
// for the names of segments, and different for different matchers. It is the identity of a route that
// has no name.
func (p Pattern) String() string {
	if c, err := p.canonical(); err == nil {
		p = c
	}
	return p.text()
}

// text formats the fields of p as they are.
func (p Pattern) text() string {
	var b strings.Builder
	for i, host := range p.Hosts {
		b.WriteString(separator(i) + httpsyntax.Bracket(host))
	}
	for i, path := range p.Paths {
		b.WriteString(separator(i) + path)
	}
	if p.Protocol != "" {
		b.WriteString(" protocol " + p.Protocol)
	}
	if len(p.Methods) > 0 {
		b.WriteString(" methods " + strings.Join(p.Methods, ","))
	}
	for _, c := range conditions(p.Headers) {
		b.WriteString(" header " + c.String())
	}
	for _, c := range conditions(p.Query) {
		b.WriteString(" query " + c.String())
	}
	return b.String()
}

// separator is what stands in a list before the element i.
func separator(i int) string {
	if i == 0 {
		return ""
	}
	return "|" // neither a host nor a clean path has one
}

// canonical returns p in its one spelling, or the reason why p can match nothing. The canonical form
// of a canonical pattern is that pattern. It shares no memory with p that a caller could change.
func (p Pattern) canonical() (Pattern, error) {
	hosts, err := cleanList(p.Hosts, cleanPatternHost)
	if err != nil {
		return p, err
	}
	paths, err := cleanList(p.Paths, cleanPatternPath)
	if err != nil {
		return p, err
	}
	if paths == nil {
		paths = []string{everything}
	}
	methods, err := cleanMethods(p.Methods)
	if err != nil {
		return p, err
	}
	headers, err := cleanHeaders(p.Headers)
	if err != nil {
		return p, err
	}
	if _, ok := p.Query[""]; ok {
		return p, errors.New("query names a parameter without a name")
	}
	switch p.Protocol {
	case "", plainOnly:
	case webSocketOnly:
		if !takes(methods, http.MethodGet) {
			return p, fmt.Errorf("methods %s leave out GET, the method of every WebSocket handshake", strings.Join(methods, ", "))
		}
	default:
		return p, fmt.Errorf("protocol %q is neither %q nor %q", p.Protocol, plainOnly, webSocketOnly)
	}
	return Pattern{
		Hosts:    hosts,
		Paths:    paths,
		Methods:  methods,
		Headers:  headers,
		Query:    maps.Clone(p.Query),
		Protocol: p.Protocol,
	}, nil
}

// cleanList returns the elements of a list in their one spelling, in order, each once.
func cleanList(list []string, clean func(string) (string, error)) ([]string, error) {
	var all []string
	for _, text := range list {
		text, err := clean(text)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// cleanMethods returns methods in order, each once, and without HEAD where GET covers it.
func cleanMethods(methods []string) ([]string, error) {
	for _, m := range methods {
		if !httpsyntax.IsToken(m) {
			return nil, fmt.Errorf("methods name %q, which is not a method", m)
		}
	}
	methods = slices.Compact(slices.Sorted(slices.Values(methods)))
	if slices.Contains(methods, http.MethodGet) {
		methods = slices.DeleteFunc(methods, func(m string) bool { return m == http.MethodHead })
	}
	return methods, nil
}

// cleanHeaders returns headers with the names as net/http writes them.
func cleanHeaders(headers map[string]string) (map[string]string, error) {
	clean := make(map[string]string, len(headers))
	for _, c := range conditions(headers) {
		name := http.CanonicalHeaderKey(c.name)
		switch _, twice := clean[name]; {
		case !httpsyntax.IsToken(name):
			return nil, fmt.Errorf("headers name %q, which is not a header", c.name)
		case name == "Host":
			return nil, errors.New("headers name Host: match it with 'host' instead")
		case twice:
			return nil, fmt.Errorf("headers name %s twice", name)
		}
		clean[name] = c.value
	}
	return clean, nil
}

// takes reports whether canonical methods cover method. Only a route that names TRACE takes it,
// because the answer to a TRACE shows everything that the backend is sent.
func takes(methods []string, method string) bool {
	return len(methods) == 0 && method != http.MethodTrace || slices.Contains(methods, method) ||
		method == http.MethodHead && slices.Contains(methods, http.MethodGet)
}

// condition is a header or a query parameter that a request has to have.
type condition struct {
	name, value string
}

// conditions returns the conditions of m, sorted by name.
func conditions(m map[string]string) []condition {
	var list []condition
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, condition{name: name, value: m[name]})
	}
	return list
}

// String returns c in a form that no other condition has.
func (c condition) String() string {
	name := c.name
	if !httpsyntax.IsToken(name) {
		name = strconv.Quote(name)
	}
	if c.value == anyValue {
		return name
	}
	return name + "=" + strconv.Quote(c.value)
}
