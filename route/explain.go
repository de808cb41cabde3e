package route

import (
	"fmt"
	"slices"
	"strings"
)

// Step is what one route makes of a request.
type Step struct {
	Route  int    // index into the routes given to Compile
	Takes  bool   // this is the route that takes the request
	Reason string // one sentence, without a full stop
}

// Explain returns, in order of precedence, what each route near r makes of it. A route is near if its
// host matches, or if its path matches and is not just "/*". Of one with several hosts and paths it is
// that pair which comes nearest. The step that takes r, if any, is the route that [Table.Match] returns.
func (t *Table[T]) Explain(r *Request) []Step {
	type attempt struct {
		*rule[T]
		objections []string
	}
	var order []int // routes, by their nearest rules
	nearest := make(map[int]attempt)
	for _, rule := range t.rules {
		host, path := rule.hasHost(r.Host), rule.path.matches(r.Path)
		if !host && (!path || rule.pattern.Paths[0] == everything) {
			continue
		}
		a := attempt{rule, rule.objections(r)}
		switch before, seen := nearest[rule.Route]; {
		case !seen:
			order = append(order, rule.Route)
		case len(before.objections) <= len(a.objections):
			continue
		default: // it stands where its nearest rule does
			order = append(slices.DeleteFunc(order, func(i int) bool { return i == rule.Route }), rule.Route)
		}
		nearest[rule.Route] = a
	}
	var steps []Step
	taken := false
	for _, i := range order {
		step := Step{Route: i}
		switch reasons := nearest[i].objections; {
		case len(reasons) > 0:
			step.Reason = strings.Join(reasons, "; ")
		case taken:
			step.Reason = "matches too, but comes later in precedence"
		default:
			taken = true
			step.Takes, step.Reason = true, "matches, and comes first in precedence"
		}
		steps = append(steps, step)
	}
	return steps
}

func (r *rule[T]) hasHost(host string) bool {
	return r.host == "" || r.host == host || r.host[0] == '.' && strings.HasSuffix(host, r.host)
}

// objections returns every reason why r does not match q.
func (r *rule[T]) objections(q *Request) []string {
	var list []string
	object := func(format string, args ...any) {
		list = append(list, fmt.Sprintf(format, args...))
	}
	if !r.hasHost(q.Host) {
		object("host %q is not %s", q.Host, r.pattern.Hosts[0])
	}
	if !r.path.matches(q.Path) {
		object("path %s %s", q.Path, r.path.objection(q.Path))
	}
	switch r.admits(q) {
	case UpgradeRequired:
		object("the request is not a WebSocket handshake")
	case NotFound:
		object("the request is a WebSocket handshake")
	case MethodNotAllowed:
		if len(r.pattern.Methods) == 0 {
			object("method %s is not named", q.method())
			break
		}
		object("method %s is not among %s", q.method(), strings.Join(r.pattern.Methods, ", "))
	}
	for _, c := range r.headers {
		if !c.inHeader(q.Header) {
			object("no header %s", c)
		}
	}
	for _, c := range r.query {
		if !c.inQuery(q.Query) {
			object("no query parameter %s", c)
		}
	}
	return list
}
