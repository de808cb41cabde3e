package route

import (
	"cmp"
	"strings"

	"sluice/internal/header"
	"sluice/internal/httpsyntax"
)

// rule is a compiled route.
type rule[T any] struct {
	pattern Pattern // canonical
	text    string  // of pattern
	value   T
	index   int // in the routes given to Compile

	// The pattern, in the form that matching needs.
	host   string // exact, ".example.com" for a wildcard, "" for any
	path   string // exact, or a prefix that ends in '/'
	prefix bool

	headers, query []condition
}

func newRule[T any](index int, e Entry[T]) (*rule[T], error) {
	p, err := e.Pattern.canonical()
	if err != nil {
		return nil, err
	}
	path, prefix := strings.CutSuffix(p.Path, "*")
	return &rule[T]{
		pattern: p,
		text:    p.text(),
		value:   e.Value,
		index:   index,
		host:    strings.TrimPrefix(p.Host, "*"),
		path:    path,
		prefix:  prefix,
		headers: conditions(p.Headers),
		query:   conditions(p.Query),
	}, nil
}

// precedes orders rules as [Table] says. Of the hosts that match one name, the exact one is the
// longest, and the empty one, for any name, the shortest.
func precedes[T any](a, b *rule[T]) int {
	return cmp.Or(
		cmp.Compare(len(b.host), len(a.host)),
		falseFirst(a.prefix, b.prefix),
		cmp.Compare(len(b.path), len(a.path)),
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
