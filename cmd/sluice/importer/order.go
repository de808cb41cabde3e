package importer

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"
)

// A placed rule is a rule at one host and cell: a route to be written.
type placed struct {
	host string
	cell cell
	rule *Rule
	why  string // it answers 403, whatever its rule does, and why; "" for what the rule says
}

// answers403 reports whether the route refuses what its source may have allowed.
func (p placed) answers403() bool { return p.why != "" || p.rule.Refused() }

const (
	whyRest   = "the source's rule takes paths that go on in the same segment too, which sluice cannot tell from the others here"
	whyCase   = "the source's rule ignores the case of paths, sluice does not"
	whyEscape = "the source takes %40 for @ in a path, and the like for other marks, sluice does not"
	whySlash  = "the source takes // for /, sluice does not: without this route // would lead past a rule"
	whyBehind = "the source asks another rule before this one where both match, sluice would not"
	whyMixed  = "these paths and those of other rules have some in common, and sluice could not tell which rule is meant"
)

var errTooMuch = errors.New("the rules make too many routes: import the hosts one by one")

// place turns rules of which the first one decides into routes of which the most specific one does.
// For each host that a rule names it makes the cells that rules have there, finds the rules that take
// each cell, in order, and leaves out the cells that a wider one stands for.
func (p *Plan) place() (all []placed, g *grid, _ error) {
	g = &grid{kept: map[string][]decision{}, whole: map[string]bool{}}
	rules := slices.DeleteFunc(slices.Clone(p.Rules), func(r *Rule) bool { return r.Aside })
	for _, host := range p.hosts() {
		if err := g.decide(host, rules, p.MergesSlashes); err != nil {
			return nil, nil, err
		}
		var here []placed
		for _, d := range g.kept[host] {
			here = append(here, d.routes(host)...)
		}
		// The order means nothing to sluice, and that of the source something to its reader.
		slices.SortStableFunc(here, func(a, b placed) int {
			return cmp.Or(strings.Compare(a.rule.Pos.File, b.rule.Pos.File), cmp.Compare(a.rule.Pos.Line, b.rule.Pos.Line))
		})
		if all = append(all, here...); len(all) > MaxRoutes {
			return nil, nil, errTooMuch
		}
	}
	return all, g, nil
}

// hosts returns the patterns of hosts that rules have, those that contain others first.
func (p *Plan) hosts() []string {
	var hosts []string
	seen := map[string]bool{}
	for _, r := range p.Rules {
		for _, h := range r.hosts() {
			if !seen[h] {
				seen[h] = true
				hosts = append(hosts, h)
			}
		}
	}
	rank := func(h string) int {
		switch {
		case h == "":
			return 0
		case strings.HasPrefix(h, "*"):
			return len(h)
		}
		return 1 << 20
	}
	slices.SortStableFunc(hosts, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return hosts
}

func (r *Rule) hosts() []string {
	if len(r.Hosts) == 0 {
		return []string{""}
	}
	return r.Hosts
}

func (r *Rule) paths() []Paths {
	if len(r.Paths) == 0 {
		return []Paths{root}
	}
	return r.Paths
}

// conditional reports whether the rule asks for more than host and path.
func (r *Rule) conditional() bool {
	return len(r.Methods)+len(r.Headers)+len(r.Query) > 0 || r.Protocol != ""
}

// A decision is which rules take a cell: those before the last have conditions.
type decision struct {
	cell  cell
	rules []*Rule
	why   string // the last rule answers 403 here, and why
}

// same reports whether requests are answered in the same way by both.
func (d decision) same(other decision) bool {
	return d.why == other.why && slices.EqualFunc(d.rules, other.rules, (*Rule).same)
}

// same reports whether the rules differ in their paths alone, or have nothing to say for themselves and
// do the same.
func (r *Rule) same(other *Rule) bool {
	return r.source() == other.source() || len(r.Notes)+len(other.Notes) == 0 && r.guards() == other.guards() && r.Protocol == other.Protocol &&
		reflect.DeepEqual(r.Action, other.Action) && slices.Equal(r.Methods, other.Methods) &&
		slices.Equal(r.Headers, other.Headers) && slices.Equal(r.Query, other.Query)
}

func (d decision) last() *Rule { return d.rules[len(d.rules)-1] }

// is403 reports whether all requests get 403.
func (d decision) is403() bool {
	return len(d.rules) == 1 && !d.rules[0].conditional() && (d.why != "" || d.rules[0].Refused() || d.isPlain403())
}

// isPlain403 reports whether all requests get 403 as in the source, and there is nothing to say about it.
func (d decision) isPlain403() bool {
	if len(d.rules) != 1 || d.why != "" {
		return false
	}
	r := d.rules[0]
	return len(r.Notes) == 0 && !r.conditional() && r.Action.Respond != nil && r.Action.Respond.Status == 403
}

// givesNoDotFiles reports whether files with a name that begins with a dot get nothing but a refusal.
func (d decision) givesNoDotFiles() bool {
	return d.isFiles() || !d.givesAway()
}

// givesAway reports whether some requests get more than a refusal or a redirect.
func (d decision) givesAway() bool {
	rules := d.rules
	if d.why != "" {
		rules = rules[:len(rules)-1]
	}
	return slices.ContainsFunc(rules, func(r *Rule) bool { return !r.harmless() })
}

// isFiles reports whether all requests get files.
func (d decision) isFiles() bool {
	return len(d.rules) == 1 && d.why == "" && d.rules[0].Action.Files != nil && !d.rules[0].Refused() && !d.rules[0].conditional()
}

// routes returns the routes of a decision. Of rules with conditions that one request may meet, the one
// that sluice asks first has to be the one that the source asks first.
func (d decision) routes(host string) []placed {
	var all []placed
	for i, r := range d.rules {
		at := placed{host: host, cell: d.cell, rule: r}
		if i == len(d.rules)-1 {
			at.why = d.why
		}
		if r.conditional() && at.why == "" {
			for _, before := range d.rules[:i] {
				if before.overlaps(r) && before.precedence(r) >= 0 && !r.harmless() {
					at.why = whyBehind
				}
			}
		}
		all = append(all, at)
	}
	return all
}

// methods returns those that the rule asks for as package route has them: GET stands for HEAD too.
func (r *Rule) methods() []string {
	all := slices.Compact(slices.Sorted(slices.Values(r.Methods)))
	if slices.Contains(all, "GET") {
		all = slices.DeleteFunc(all, func(m string) bool { return m == "HEAD" })
	}
	return all
}

// hasMethod reports whether a method is among those that the rule asks for.
func (r *Rule) hasMethod(method string) bool {
	return slices.Contains(r.Methods, method) || method == "HEAD" && slices.Contains(r.Methods, "GET")
}

// asksLess reports whether all requests that meet the conditions of another rule meet those of r.
func (r *Rule) asksLess(other *Rule) bool {
	among := func(mine, others []Pair) bool {
		return !slices.ContainsFunc(mine, func(p Pair) bool {
			return !slices.ContainsFunc(others, func(q Pair) bool { return strings.EqualFold(p.Name, q.Name) && (p.Value == q.Value || p.Value == "*") })
		})
	}
	return (r.Protocol == "" || r.Protocol == other.Protocol) &&
		(len(r.Methods) == 0 || len(other.Methods) > 0 && !slices.ContainsFunc(other.Methods, func(m string) bool { return !r.hasMethod(m) })) &&
		among(r.Headers, other.Headers) && among(r.Query, other.Query)
}

// overlaps reports whether a request may meet the conditions of both rules.
func (r *Rule) overlaps(other *Rule) bool {
	if len(r.Methods) > 0 && len(other.Methods) > 0 && !slices.ContainsFunc(r.Methods, other.hasMethod) && !slices.ContainsFunc(other.Methods, r.hasMethod) {
		return false
	}
	apart := func(a, b []Pair) bool {
		return slices.ContainsFunc(a, func(x Pair) bool {
			return slices.ContainsFunc(b, func(y Pair) bool {
				return strings.EqualFold(x.Name, y.Name) && x.Value != y.Value && x.Value != "*" && y.Value != "*"
			})
		})
	}
	return !apart(r.Headers, other.Headers)
}

// precedence compares by the conditions alone, as package route does: what is negative is asked first.
func (r *Rule) precedence(other *Rule) int {
	given := func(methods []string) int { return min(len(methods), 1) }
	named := func(protocol string) int { return min(len(protocol), 1) }
	exact := func(pairs []Pair) (n int) {
		for _, p := range pairs {
			if p.Value != "*" {
				n++
			}
		}
		return n
	}
	return cmp.Or(
		cmp.Compare(named(other.Protocol), named(r.Protocol)),
		cmp.Compare(given(other.Methods), given(r.Methods)),
		cmp.Compare(len(r.methods()), len(other.methods())),
		cmp.Compare(len(other.Headers), len(r.Headers)),
		cmp.Compare(exact(other.Headers), exact(r.Headers)),
		cmp.Compare(len(other.Query), len(r.Query)),
		cmp.Compare(exact(other.Query), exact(r.Query)),
	)
}
