package route

import (
	"cmp"
	"strings"

	"sluice/internal/header"
	"sluice/internal/httpsyntax"
)

// rule is a compiled route, or one host and one path of it.
type rule[T any] struct {
	Spot
	pattern Pattern // canonical, with one path and at most one host
	text    string  // of pattern
	value   T

	// The pattern, in the form that matching needs.
	host      string // exact, ".example.com" for a wildcard, "" for any
	path      path
	variables []place // of path

	headers, query []condition
}

// newRules returns the rules of a route, or what is wrong with its pattern.
func newRules[T any](index int, e Entry[T]) (rules []*rule[T], wrong []Conflict) {
	hosts, paths := e.Pattern.Hosts, e.Pattern.Paths
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	if len(paths) == 0 {
		paths = []string{everything}
	}
	rest := e.Pattern
	rest.Hosts, rest.Paths = nil, nil
	rest, err := rest.canonical()
	if err != nil {
		return nil, []Conflict{{Spot: Spot{index, -1, -1}, Message: err.Error()}}
	}
	var cleanHosts []string
	for i, text := range hosts {
		host, err := cleanPatternHost(text)
		if err != nil {
			wrong = append(wrong, Conflict{Spot: Spot{index, i, -1}, Message: err.Error()})
		}
		cleanHosts = append(cleanHosts, host)
	}
	var parsed []path
	for i, text := range paths {
		path, err := parsePath(text)
		if err != nil {
			wrong = append(wrong, Conflict{Spot: Spot{index, -1, i}, Message: err.Error()})
		}
		parsed = append(parsed, path)
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	headers, query := conditions(rest.Headers), conditions(rest.Query)
	for h, host := range cleanHosts {
		for i, path := range parsed {
			p := rest
			if p.Paths = []string{path.String()}; host != "" {
				p.Hosts = []string{host}
			}
			rules = append(rules, &rule[T]{
				Spot:      Spot{index, h, i},
				pattern:   p,
				text:      p.text(),
				value:     e.Value,
				host:      strings.TrimPrefix(host, "*"),
				path:      path,
				variables: path.variables(),
				headers:   headers,
				query:     query,
			})
		}
	}
	return rules, nil
}

// conflict returns the conflict of r with a rule that takes its requests.
func (r *rule[T]) conflict(by *rule[T], message string) Conflict {
	return Conflict{Spot: r.Spot, By: &by.Spot, Message: message}
}

// after reports whether r stands behind another rule in what was compiled.
func (r *rule[T]) after(o *rule[T]) bool {
	return cmp.Or(cmp.Compare(r.Route, o.Route), cmp.Compare(r.Host, o.Host), cmp.Compare(r.Path, o.Path)) > 0
}

// precedes orders rules as [Table] says. Of the hosts that match one name, the exact one is the
// longest, and the empty one, for any name, the shortest.
func precedes[T any](a, b *rule[T]) int {
	return cmp.Or(
		cmp.Compare(len(b.host), len(a.host)),
		cmp.Compare(a.host, b.host),
		a.path.precedes(&b.path),
		falseFirst(a.pattern.Protocol == "", b.pattern.Protocol == ""),
		falseFirst(len(a.pattern.Methods) == 0, len(b.pattern.Methods) == 0),
		cmp.Compare(len(a.pattern.Methods), len(b.pattern.Methods)),
		cmp.Compare(len(b.headers), len(a.headers)),
		cmp.Compare(open(a.headers), open(b.headers)),
		cmp.Compare(len(b.query), len(a.query)),
		cmp.Compare(open(a.query), open(b.query)),
		cmp.Compare(a.text, b.text),
	)
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// open returns how many of the conditions any value meets.
func open(list []condition) (n int) {
	for _, c := range list {
		if c.value == anyValue {
			n++
		}
	}
	return n
}

// check returns why r does not match q, whose host and path match, or None.
func (r *rule[T]) check(q *Request) Miss {
	for _, c := range r.headers {
		if !c.inHeader(q.Header) {
			return NotFound
		}
	}
	for _, c := range r.query {
		if !c.inQuery(q.Query) {
			return NotFound
		}
	}
	return r.admits(q)
}

// admits is check for protocol and method alone.
func (r *rule[T]) admits(q *Request) Miss {
	switch {
	case r.pattern.Protocol == webSocketOnly && !q.WebSocket:
		return UpgradeRequired
	case r.pattern.Protocol == plainOnly && q.WebSocket:
		return NotFound
	case !takes(r.pattern.Methods, q.method()):
		return MethodNotAllowed
	}
	return None
}

// inHeader reports whether one of the values of the header is that of c. Case counts.
func (c condition) inHeader(h header.Fields) bool {
	for i := range h {
		if f := &h[i]; f.Is(c.name) && (c.value == anyValue || f.Value == c.value) {
			return true
		}
	}
	return false
}

// inQuery reports whether one of the parameters of an escaped query is c. A name or value with a
// broken escape equals nothing.
func (c condition) inQuery(query string) bool {
	for query != "" {
		var parameter string
		parameter, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(parameter, "=")
		if unescapesTo(name, c.name) && (c.value == anyValue || unescapesTo(value, c.value)) {
			return true
		}
	}
	return false
}

// unescapesTo reports whether escaped, a name or value of a query, stands for want. It allocates
// nothing.
func unescapesTo(escaped, want string) bool {
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			var ok bool
			if c, ok = httpsyntax.Unescape(escaped[i:]); !ok {
				return false
			}
			i += len("XX")
		}
		if want == "" || want[0] != c {
			return false
		}
		want = want[1:]
	}
	return want == ""
}
