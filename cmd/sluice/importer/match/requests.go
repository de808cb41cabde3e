package match

import (
	"fmt"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/expression"
	"sluice/cmd/sluice/importer/mapping"
)

// Requests is a set of requests, and what has been done to them on their way. It is a value: what changes
// it returns another one.
type Requests struct {
	Hosts    []string // nil is any
	Paths    []importer.Paths
	Methods  []string // nil is any
	Headers  []importer.Pair
	Query    []importer.Pair
	Protocol string
	Narrowed bool // a matcher has taken some away
	FoldCase bool // one whose paths ignore case has
	Unsure   bool // one took them of which it cannot be told which requests it takes

	// The path has With in place of Prefix, which all paths begin with. Both end in no slash.
	Prefix, With string
	Fixed        string // the path is this one

	Keys  mapping.Map // of the route
	Notes []importer.Note
}

// Everything returns the set of all requests for some hosts; nil is any.
func Everything(hosts []string) Requests {
	return Requests{Hosts: hosts, Paths: []importer.Paths{importer.Beginning("/")}}
}

// Note returns the requests with a note about all of them.
func (r Requests) Note(kind importer.Kind, pos importer.Pos, text, why string) Requests {
	if n := (importer.Note{Kind: kind, Pos: pos, Text: text, Why: why}); !slices.Contains(r.Notes, n) {
		r.Notes = append(slices.Clip(r.Notes), n)
	}
	return r
}

// Doubt returns the requests refused: some of them may belong to what comes behind them.
func (r Requests) Doubt(pos importer.Pos, text, why string) Requests {
	r = r.Note(importer.Refused, pos, text, why)
	r.Unsure = true
	return r
}

// Refused reports whether the requests get 403, whatever is done with them.
func (r Requests) Refused() bool {
	return slices.ContainsFunc(r.Notes, func(n importer.Note) bool { return n.Kind == importer.Refused })
}

// Set returns the requests with a key of their route.
func (r Requests) Set(value any, keys ...string) Requests {
	r.Keys = r.Keys.Clone()
	r.Keys.Set(value, keys...)
	return r
}

// Add returns the requests with one more text in a list of their route.
func (r Requests) Add(value string, keys ...string) Requests {
	r.Keys = r.Keys.Clone()
	r.Keys.Add(value, keys...)
	return r
}

// Meet is that of [State].
func (r Requests) Meet(m *Matcher) (part Requests, whole, some, sure bool) {
	part, sure = r, true
	unclear := ""
	const conditions = "sluice cannot tell which requests this is about: it has no such conditions"
	switch m.Kind {
	case Path:
		if part, whole, some, sure = r.meetPaths(m.Paths); !sure {
			part = part.Doubt(m.Pos, m.Text, conditions)
		}
	case Unknown:
		part, whole, some, _ = r.meetPaths(m.Paths)
		if some && m.Words != nil {
			var allHosts bool
			part.Hosts, allHosts = meetHosts(r.Hosts, m.Words)
			whole, some = whole && allHosts, len(part.Hosts) > 0
		}
		part, sure = part.Doubt(m.Pos, m.Text, conditions), false
	case Host:
		if r.changes("Host") {
			unclear = afterChange
		}
		part.Hosts, whole = meetHosts(r.Hosts, m.Words)
		some = len(part.Hosts) > 0
	case Method:
		part.Methods, whole = meetMethods(r.Methods, m.Words)
		some = len(part.Methods) > 0 && (r.Protocol == "" || slices.Contains(part.Methods, "GET"))
	case Header:
		if part.Headers, whole, unclear = meetPair(r.Headers, m.Pair); r.changes(m.Pair.Name) {
			unclear = afterChange
		}
		some = true
	case Query:
		part.Query, whole, unclear = meetPair(r.Query, m.Pair)
		some = true
	case Socket:
		whole, some = r.Protocol == "websocket", r.Methods == nil || slices.Contains(r.Methods, "GET") // as handshakes have
		part.Protocol = "websocket"
	}
	if unclear != "" {
		return r.Doubt(m.Pos, m.Text, unclear), true, true, false
	}
	part.Narrowed = r.Narrowed || !whole
	part.FoldCase = r.FoldCase || !whole && m.FoldCase
	return part, whole, some, sure
}

const afterChange = "the header has been changed before, and sluice asks for what the client sent"

// changes reports whether a header of the requests is not that of the client by now.
func (r Requests) changes(name string) bool {
	set, _ := r.Keys.Get("request", "set_headers").(mapping.Map)
	removed, _ := r.Keys.Get("request", "remove_headers").([]string)
	return slices.ContainsFunc(set, func(e mapping.Entry) bool { return strings.EqualFold(e.Key, name) }) ||
		slices.ContainsFunc(removed, func(other string) bool { return strings.EqualFold(other, name) })
}

// meetPaths returns the requests whose path, as it is by now, is one of those wanted; nil is all. It may be
// more than these if it is not exact.
func (r Requests) meetPaths(wanted []importer.Paths) (part Requests, whole, some, exact bool) {
	if wanted == nil {
		return r, true, true, true
	}
	if r.Fixed != "" {
		some = Among(importer.Exactly(r.Fixed), wanted)
		return r, some, some, true
	}
	part, whole, exact = r, true, true
	part.Paths = nil
	original := r.original(wanted)
	for _, have := range r.Paths {
		covered := false
		for _, p := range original {
			both, ok := have.Intersect(p)
			covered = covered || p.Contains(have)
			exact = exact && (!ok || have.Contains(both) && p.Contains(both))
			if ok && !slices.Contains(part.Paths, both) {
				part.Paths = append(part.Paths, both)
			}
		}
		whole = whole && covered
	}
	return part, whole, len(part.Paths) > 0, exact
}

// Among reports whether some path is in p and in one of several sets.
func Among(p importer.Paths, sets []importer.Paths) bool {
	return slices.ContainsFunc(sets, func(q importer.Paths) bool { _, ok := p.Intersect(q); return ok })
}

// original returns the paths of clients that are now those wanted.
func (r Requests) original(wanted []importer.Paths) (paths []importer.Paths) {
	if r.Prefix == "" && r.With == "" {
		return wanted
	}
	for _, p := range wanted {
		rest, ok := strings.CutPrefix(p.Text, r.With)
		switch {
		case !p.Exact && strings.HasPrefix(r.With+"/", p.Text):
			q := p
			if q.Text = r.Prefix + "/"; p.Text == "/" && r.With == "" && (p.Suffix == "" || !strings.HasSuffix(r.Prefix, p.Suffix)) {
				q.Text = r.Prefix // also what goes on in the same segment
			}
			paths = append(paths, q)
			if r.Prefix != "" && (p.Suffix == "" || strings.HasSuffix(r.With, p.Suffix)) { // sources have a '/' behind With
				paths = append(paths, importer.Exactly(r.Prefix))
			}
		case ok && strings.HasPrefix(rest, "/"):
			q := p
			q.Text = r.Prefix + rest
			paths = append(paths, q)
			if rest == "/" && r.Prefix != "" {
				paths = append(paths, importer.Exactly(r.Prefix))
			}
		case ok && rest == "" && r.Prefix != "":
			paths = append(paths, importer.Exactly(r.Prefix))
		}
	}
	return paths
}

// Replace returns the requests with a change to the beginning of their path: without prefix, and with
// another one in its place. ok is false if the path does not always begin so.
func (r Requests) Replace(prefix, with string) (changed Requests, ok bool) {
	prefix, with = strings.TrimSuffix(prefix, "/"), strings.TrimSuffix(with, "/")
	changed = r
	if rest, inside := strings.CutPrefix(r.With, prefix); inside {
		changed.With = with + rest
		return changed, r.Fixed == "" && (rest == "" || rest[0] == '/')
	}
	rest, inside := strings.CutPrefix(prefix, r.With)
	inside = inside && strings.HasPrefix(rest, "/")
	changed.Prefix, changed.With = r.Prefix+rest, with
	for _, p := range r.Paths {
		if p.Text != changed.Prefix && !strings.HasPrefix(p.Text, changed.Prefix+"/") {
			inside = false
		}
	}
	return changed, inside && r.Fixed == ""
}

// meetHosts returns the patterns for the hosts that are in both lists, and whether those are all of a.
func meetHosts(a, b []string) (both []string, whole bool) {
	if a == nil {
		return slices.Clone(b), false
	}
	whole = true
	for _, host := range a {
		if slices.ContainsFunc(b, func(pattern string) bool { return importer.HostContains(pattern, host) }) {
			both = append(both, host)
			continue
		}
		whole = false
		for _, pattern := range b {
			if importer.HostContains(host, pattern) && !slices.Contains(both, pattern) {
				both = append(both, pattern)
			}
		}
	}
	return both, whole
}

// meetMethods returns the methods in both lists, and whether those are all of a; nil is all.
func meetMethods(a, b []string) (both []string, whole bool) {
	if a == nil {
		return slices.Compact(slices.Sorted(slices.Values(b))), false
	}
	both = slices.DeleteFunc(slices.Clone(a), func(method string) bool { return !slices.Contains(b, method) })
	return both, len(both) == len(a)
}

// meetPair adds a pair to those that have to be there. A name with another value is unclear: a request
// may have both.
func meetPair(have []importer.Pair, pair importer.Pair) (both []importer.Pair, whole bool, unclear string) {
	for i, h := range have {
		switch {
		case !strings.EqualFold(h.Name, pair.Name):
		case h.Value == pair.Value || pair.Value == "*":
			return have, true, ""
		case h.Value == "*":
			both = slices.Clone(have)
			both[i].Value = pair.Value
			return both, false, ""
		default:
			return have, false, "sluice asks for one value of a name"
		}
	}
	return append(slices.Clip(have), pair), false, ""
}

// Rules adds rules to a plan. Those that differ in nothing but their paths are one rule for it.
type Rules struct {
	Plan *importer.Plan
	seen map[string]*importer.Rule
}

// Add adds the rule by which requests are answered. A directory or a backend gets them with the path that
// they have by now; where that cannot be, the rule is refused.
func (a *Rules) Add(r Requests, like importer.Rule) {
	rule := &like
	if act := &rule.Action; r.Fixed != "" && (act.Backend != "" || len(act.Split) > 0 || act.Files != nil) {
		act.Prefix, act.With = r.Paths[0].Text, r.Fixed
		if len(r.Paths) > 1 || !r.Paths[0].Exact {
			r = r.Note(importer.Refused, rule.Pos, "", "sluice rewrites to "+r.Fixed+" where it takes one path, not where it takes many")
		}
	} else if r.Fixed == "" {
		act.Prefix, act.With = r.Prefix, r.With
	}
	rule.Hosts, rule.Methods, rule.Headers, rule.Query, rule.Protocol = r.Hosts, r.Methods, r.Headers, r.Query, r.Protocol
	rule.FoldCase, rule.Unsure = r.FoldCase, r.Unsure
	if spelled, ok := spellings(r.Paths); ok && r.FoldCase && (rule.Guard || r.Refused()) {
		r.Paths, rule.FoldCase = spelled, false
	}
	rule.Action.Keys, rule.Notes = r.Keys.Clone(), slices.Clip(r.Notes)
	if a.seen == nil {
		a.seen = map[string]*importer.Rule{}
	}
	same := describe(rule)
	if a.seen[same] == nil {
		a.seen[same] = rule
	}
	a.Plan.Rules = append(a.Plan.Rules, a.seen[same].At(r.Paths...))
}

// spellings returns paths in every case, if those are not too many.
func spellings(paths []importer.Paths) (all []importer.Paths, ok bool) {
	const most = 300
	for _, p := range paths {
		texts, ok := expression.Spellings(p.Text)
		suffixes, alsoOK := expression.Spellings(p.Suffix)
		if !ok || !alsoOK || len(all)+len(texts)*len(suffixes) > most {
			return nil, false
		}
		for _, p.Text = range texts {
			for _, p.Suffix = range suffixes {
				all = append(all, p)
			}
		}
	}
	return all, true
}

// describe returns a text that two rules share if they differ in nothing but their paths.
func describe(r *importer.Rule) string {
	var answer any
	switch a := r.Action; {
	case a.Redirect != nil:
		answer = *a.Redirect
	case a.Respond != nil:
		answer = *a.Respond
	case a.Files != nil:
		answer = *a.Files
	}
	var notes strings.Builder
	for _, n := range r.Notes {
		notes.WriteString(n.Pos.String() + n.Why)
	}
	return fmt.Sprintf("%v %q %q %q %q %q %q %v %v %q %q %v %s %v %v %v", r.Pos, r.Hosts, r.Methods, r.Headers, r.Query, r.Protocol,
		r.Action.Backend, r.Action.Split, answer, r.Action.Prefix, r.Action.With, r.Action.Keys, notes.String(), r.FoldCase, r.Guard, r.Unsure)
}
