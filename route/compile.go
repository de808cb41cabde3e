package route

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Conflict is a route that can never take a request. Route and By are indexes into the routes given
// to [Compile].
type Conflict struct {
	Route   int
	By      int // the route that takes its requests, or the first of several; -1 if its pattern is bad
	Message string
}

// Compile builds the table of routes. It also returns, in their order, the routes that can never
// take a request: those with a bad pattern, those that match the same as an earlier route, and those
// whose requests all go to routes before them in precedence. The first two kinds are not in the
// table.
func Compile[T any](routes []Entry[T]) (*Table[T], []Conflict) {
	t := &Table[T]{hosts: make(map[string]*node[T])}
	var conflicts []Conflict
	first := make(map[string]int) // route by its text
	for i, entry := range routes {
		rule, err := newRule(i, entry)
		if err != nil {
			conflicts = append(conflicts, Conflict{Route: i, By: -1, Message: err.Error()})
			continue
		}
		if by, ok := first[rule.text]; ok {
			conflicts = append(conflicts, Conflict{Route: i, By: by, Message: "matches the same requests as another route: " + rule.text})
			continue
		}
		first[rule.text] = i
		t.rules = append(t.rules, rule)
	}

	slices.SortFunc(t.rules, precedes)
	for _, rule := range t.rules {
		// Only rules of the same host and path can take everything that a rule matches: a more
		// specific host or path leaves some of it.
		peers := t.peers(rule)
		if by := covering(rule, *peers); len(by) > 0 {
			conflicts = append(conflicts, Conflict{Route: rule.index, By: by[0].index, Message: shadowed(by)})
		}
		*peers = append(*peers, rule)
	}
	slices.SortFunc(conflicts, func(a, b Conflict) int { return cmp.Compare(a.Route, b.Route) })
	return t, conflicts
}

// peers returns the list of the table that r belongs into: the rules of its host and path.
func (t *Table[T]) peers(r *rule[T]) *[]*rule[T] {
	n := t.hosts[r.host]
	if n == nil {
		n = &node[T]{size: len("/")}
		t.hosts[r.host] = n
	}
	for rest, more := r.path[n.size:], true; ; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if !more && r.prefix {
			return &n.prefix
		}
		n = n.child(segment)
		if !more {
			return &n.exact
		}
	}
}

// covering returns the rules of earlier that together take every request that r matches, or none if
// a request remains. The answer is exact, because it tries the least that r matches: requests with
// the headers and parameters that r names and no others, for each protocol and method.
func covering[T any](r *rule[T], earlier []*rule[T]) []*rule[T] {
	var least []Request
	if r.pattern.Protocol != webSocketOnly {
		for _, method := range r.pattern.Methods {
			least = append(least, Request{Method: method})
		}
		if len(r.pattern.Methods) == 0 {
			least = append(least, Request{}) // a method that no rule names
		}
	}
	if r.pattern.Protocol != plainOnly && takes(r.pattern.Methods, http.MethodGet) {
		least = append(least, Request{WebSocket: true})
	}

	var by []*rule[T]
	for _, q := range least {
		i := slices.IndexFunc(earlier, func(e *rule[T]) bool {
			return e.admits(&q) == None && implies(r.pattern.Headers, e.pattern.Headers) && implies(r.pattern.Query, e.pattern.Query)
		})
		if i < 0 {
			return nil
		}
		if !slices.Contains(by, earlier[i]) {
			by = append(by, earlier[i])
		}
	}
	return by
}

// implies reports whether every request that meets the conditions in given also meets those in
// wanted.
func implies(given, wanted map[string]string) bool {
	for name, want := range wanted {
		if value, ok := given[name]; !ok || want != anyValue && want != value {
			return false
		}
	}
	return true
}

// shadowed returns the message of a rule whose requests all go to the rules in by.
func shadowed[T any](by []*rule[T]) string {
	if len(by) == 1 {
		return fmt.Sprintf("never takes a request: they all go to %s, which comes first in precedence", by[0].text)
	}
	texts := make([]string, len(by))
	for i, rule := range by {
		texts[i] = rule.text
	}
	return fmt.Sprintf("never takes a request: they all go to %s, which come first in precedence", strings.Join(texts, " or "))
}
