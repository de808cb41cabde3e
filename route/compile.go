package route

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Spot is one host and one path of a route: indexes into the routes given to [Compile], and into the
// lists of its pattern, 0 where a list is empty. In a [Conflict] an index is -1 where it is not about
// a host or a path.
type Spot struct{ Route, Host, Path int }

// Conflict is a part of a route that can never take a request, or takes some that another one could.
type Conflict struct {
	Spot
	By      *Spot // what takes its requests, or the first of several; nil if the pattern is bad
	Message string
}

// Compile builds the table of routes. It also returns, in their order, what can never take a request:
// bad patterns, those that match the same as an earlier one, and those whose requests all go to others
// before them in precedence; and what overlaps without one being narrower. The first two kinds are not
// in the table.
func Compile[T any](routes []Entry[T]) (*Table[T], []Conflict) {
	t := &Table[T]{hosts: make(map[string]*node[T])}
	var conflicts []Conflict
	first := make(map[string]*rule[T]) // by its text
	for i, entry := range routes {
		rules, bad := newRules(i, entry)
		conflicts = append(conflicts, bad...)
		for _, rule := range rules {
			if by := first[rule.text]; by != nil {
				conflicts = append(conflicts, rule.conflict(by, rule.twice(by)))
				continue
			}
			first[rule.text] = rule
			t.rules = append(t.rules, rule)
		}
	}

	slices.SortFunc(t.rules, precedes)
	for _, rule := range t.rules {
		// Only rules of the same host and path can take everything that a rule matches: a more
		// specific host or path leaves some of it.
		peers := t.peers(rule)
		if by := covering(rule, ofPath(*peers, &rule.path)); len(by) > 0 {
			conflicts = append(conflicts, rule.conflict(by[0], shadowed(by)))
		}
		*peers = append(*peers, rule)
	}
	conflicts = append(conflicts, t.ambiguities()...)
	slices.SortStableFunc(conflicts, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path))
	})
	return t, conflicts
}

// peers returns the list of the table that r belongs into: the rules of its host and path, and for one
// that ends in a suffix those of other suffixes too.
func (t *Table[T]) peers(r *rule[T]) *[]*rule[T] {
	n := t.hosts[r.host]
	if n == nil {
		n = &node[T]{}
		t.hosts[r.host] = n
	}
	for _, s := range r.path.segments {
		n = n.child(s)
	}
	switch r.path.end {
	case exact:
		return &n.exact
	case suffix:
		return &n.suffix
	}
	return &n.prefix
}

// ofPath returns the rules of a list of the table whose path is the same but for names, or wider.
func ofPath[T any](rules []*rule[T], p *path) []*rule[T] {
	if p.end != suffix {
		return rules // the list is for one path
	}
	return slices.DeleteFunc(slices.Clone(rules), func(r *rule[T]) bool { return !p.narrower(&r.path) })
}

// ambiguities returns the rules of which another one takes some requests, and neither is more
// specific: each with one of these, as there may be many.
func (t *Table[T]) ambiguities() (conflicts []Conflict) {
	named := make(map[*rule[T]]bool)
	for start, end := 0, 0; start < len(t.rules); start = end {
		for end = start; end < len(t.rules) && t.rules[end].host == t.rules[start].host; end++ {
		}
		ofHost := t.rules[start:end]
		for i, r := range ofHost {
			if !r.path.wild() {
				continue
			}
			for j, o := range ofHost {
				if o.path.end == exact && !o.path.wild() || j <= i && o.path.wild() { // each pair once
					continue
				}
				first, later := r, o
				if first.after(later) {
					first, later = later, first
				}
				if !named[later] && r.path.ambiguous(&o.path) && meet(&r.pattern, &o.pattern) {
					named[later] = true
					conflicts = append(conflicts, later.conflict(first, fmt.Sprintf(
						"%s and %s both match some paths, and neither is narrower: change one of them", later.text, first.text)))
				}
			}
		}
	}
	return conflicts
}

// meet reports whether a request can have the protocol and a method of both patterns.
func meet(a, b *Pattern) bool {
	if a.Protocol != "" && b.Protocol != "" && a.Protocol != b.Protocol {
		return false
	}
	return len(a.Methods) == 0 || len(b.Methods) == 0 ||
		slices.ContainsFunc(a.Methods, func(m string) bool { return takes(b.Methods, m) }) ||
		slices.ContainsFunc(b.Methods, func(m string) bool { return takes(a.Methods, m) })
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

// twice returns the message of a rule that is the same as one before it.
func (r *rule[T]) twice(by *rule[T]) string {
	if by.Route == r.Route {
		return "stands for the same requests as another host or path of this route: " + r.text
	}
	return "matches the same requests as another route: " + r.text
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
