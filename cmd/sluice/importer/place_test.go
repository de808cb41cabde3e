package importer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/route"
)

// texts are all paths of some segments.
func texts() (all []string) {
	parts := []string{"", "a", "b", "ab", "a.x", ".x", ".y.x", "b.y.x", "@b", "%40b"}
	for _, one := range parts {
		all = append(all, "/"+one)
		for _, two := range parts {
			all = append(all, "/"+one+"/"+two, "/"+one+"/"+two+"/a", "/"+one+"/"+two+"/a.x")
		}
	}
	return all
}

// randomPaths returns a set of paths.
func randomPaths(r *rand.Rand) Paths {
	from := []Paths{
		Beginning("/"), Beginning("/a"), Beginning("/a/"), Beginning("/ab/"), Beginning("/a/b"), Beginning("/b/a/"),
		Exactly("/a"), Exactly("/a/b"), Exactly("/.x"), Exactly("/a.x"), Exactly("/"),
		Ending("/", ".x"), Ending("/", ".y.x"), Ending("/a/", ".x"), Ending("/a", ".x"), Ending("/b/", ".y.x"), {Text: "/a/", Suffix: ".x", Longer: true},
		Beginning("/@b/"), Exactly("/a/@b"), Beginning("/@b"),
		Exactly("/" + Any), Exactly("/" + Any + "/a"), Beginning("/" + Any + "/a/"), Exactly("/a/" + Any),
	}
	return from[r.IntN(len(from))]
}

func TestAnySegmentHasNoCase(t *testing.T) {
	p := Paths{Text: "/Ab/" + Any + "/\u00c9", Suffix: ".X"}
	if got, want := p.fold(), (Paths{Text: "/ab/" + Any + "/\u00e9", Suffix: ".x"}); got != want {
		t.Errorf("%v in lower case is %v, want %v", p, got, want)
	}
	if got, want := p.fold().upper(), (Paths{Text: "/AB/" + Any + "/\u00c9", Suffix: ".X"}); got != want {
		t.Errorf("%v in capitals is %v, want %v", p, got, want)
	}
}

// A request is what rules and routes are asked about.
type request struct {
	host, path, method, header string
	webSocket                  bool
}

// randomRequest returns a request with one of some paths.
func randomRequest(r *rand.Rand, paths []string) request {
	q := request{
		host: []string{"x.test", "a.x.test", "b.a.x.test", "other"}[r.IntN(4)], path: paths[r.IntN(len(paths))],
		method: []string{"GET", "HEAD", "POST", "PUT"}[r.IntN(4)], header: []string{"", "1", "2"}[r.IntN(3)],
	}
	if r.IntN(4) == 0 {
		q.webSocket, q.method = true, "GET"
	}
	return q
}

// randomRule returns a rule which answers with a body of its own or, as a guard, with 403.
func randomRule(r *rand.Rand, line int) *Rule {
	rule := &Rule{Pos: Pos{Line: line}, Action: Action{Respond: &Respond{Status: 200, Body: fmt.Sprint(line)}}}
	if r.IntN(3) == 0 {
		rule.Guard, rule.Action.Respond = true, &Respond{Status: 403}
	}
	for range 1 + r.IntN(2) {
		rule.Paths = append(rule.Paths, randomPaths(r))
	}
	switch r.IntN(12) {
	case 0:
		rule.Methods = [][]string{{"GET"}, {"HEAD"}, {"GET", "HEAD"}, {"GET", "POST"}, {"POST"}}[r.IntN(5)]
	case 1:
		rule.Headers = []Pair{{"X", []string{"1", "2", "*"}[r.IntN(3)]}}
	case 2:
		rule.Protocol = "websocket"
	}
	if r.IntN(3) == 0 {
		rule.Hosts = [][]string{{"x.test"}, {"*.x.test"}, {"a.x.test"}, {"*.a.x.test"}, {"x.test", "*.x.test"}}[r.IntN(5)]
	}
	return rule
}

// takenBy reports whether a rule takes the request in its source, where paths are decoded.
func (q request) takenBy(r *Rule) bool {
	path := strings.ReplaceAll(q.path, "%40", "@")
	return slices.ContainsFunc(r.hosts(), func(h string) bool { return HostContains(h, q.host) }) &&
		slices.ContainsFunc(r.paths(), func(set Paths) bool { return set.Contains(Exactly(path)) }) &&
		(len(r.Methods) == 0 || r.hasMethod(q.method)) && (r.Protocol == "" || q.webSocket) &&
		!slices.ContainsFunc(r.Headers, func(h Pair) bool { return h.Value != q.header && (h.Value != "*" || q.header == "") })
}

// first returns the first rule that takes a request, or nil.
func (p *Plan) first(q request) *Rule {
	for _, r := range p.Rules {
		if q.takenBy(r) {
			return r
		}
	}
	return nil
}

// table returns the routes that the rules of a plan become.
func (p *Plan) table(t *testing.T) *route.Table[placed] {
	t.Helper()
	all, _, err := p.place()
	if err == nil {
		all, err = needed(all)
	}
	if err != nil {
		t.Fatalf("%s\nbecome routes that are refused: %v", describe(p), err)
	}
	var entries []route.Entry[placed]
	for _, one := range all {
		entries = append(entries, route.Entry[placed]{Pattern: one.pattern(), Value: one})
	}
	table, conflicts := route.Compile(entries)
	if len(conflicts) > 0 {
		t.Fatalf("%s\nbecome routes that are refused: %v", describe(p), conflicts)
	}
	return table
}

// Whatever the rules are, a request is answered as by the first rule that takes it, or with 403. What goes on
// in the segment in which a beginning ends, as /ab for /a, and other spellings of a mark, as %40 for @, may miss
// a rule that keeps nobody out.
func TestRoutesDecideAsTheRulesDo(t *testing.T) {
	t.Parallel()
	paths := texts()
	r := rand.New(rand.NewPCG(1, 2))
	answered := 0
	for range 2000 {
		p := &Plan{MergesSlashes: r.IntN(2) == 0}
		for i := range 1 + r.IntN(6) {
			p.Rules = append(p.Rules, randomRule(r, i))
		}
		table := p.table(t)
		for range 60 {
			q := randomRequest(r, paths)
			asked := route.Request{Host: q.host, Path: q.path, Method: q.method, WebSocket: q.webSocket}
			if q.header != "" {
				asked.Header.AddName("X", q.header)
			}
			match, miss := table.Match(&asked)
			found := miss == route.None
			if found && (match.Value.answers403() || match.Value.rule.Action.Respond.Status == 403) {
				continue
			}
			source := q
			if p.MergesSlashes {
				for strings.Contains(source.path, "//") {
					source.path = strings.ReplaceAll(source.path, "//", "/")
				}
			}
			want := p.first(source)
			if found && want != nil && match.Value.rule.source().same(want) {
				answered++
				continue
			}
			if want != nil && !want.Guard && !want.leavesOut(q.path) && source == q || found && (want == nil || want.Guard) {
				t.Fatalf("slashes merged: %v, %s\n%+v is answered by %+v (%v), and in the source by %+v", p.MergesSlashes, describe(p), q, match.Value.rule, match.Value.cell, want)
			}
		}
	}
	if answered < 15_000 {
		t.Errorf("only %d requests are answered by their rule", answered)
	}
}

// leavesOut reports whether no route can be for what the rule has to do with a path.
func (r *Rule) leavesOut(path string) bool {
	return !slices.ContainsFunc(r.paths(), func(set Paths) bool {
		return slices.ContainsFunc(set.cells(), func(c cell) bool { return c.Contains(Exactly(path)) })
	})
}

func describe(p *Plan) string {
	var b strings.Builder
	for _, r := range p.Rules {
		fmt.Fprintf(&b, "%q %+v %v %v %s guard=%v\n", r.Hosts, r.Paths, r.Methods, r.Headers, r.Protocol, r.Guard)
	}
	return b.String()
}

func TestPathsAreWritten(t *testing.T) {
	for _, tt := range []struct {
		paths Paths
		want  string
	}{
		{Exactly("/a b"), "/a%20b"},
		{Beginning("/"), "/*"},
		{Beginning("/a"), "/a/* /a"},
		{Beginning("/a/"), "/a/*"},
		{Ending("/", ".php"), "/*.php /.php"},
		{Ending("/a", ".php"), "/a/*.php /a/.php"},
		{Ending("/x.php", ".php"), "/x.php/*.php /x.php /x.php/.php"},
		{Paths{Text: "/a/", Suffix: ".php", Longer: true}, "/a/*.php"},
		{Exactly("/u/" + Any + "/" + Any), "/u/{id}/{id2}"},
		{Beginning("/u/" + Any + "/x"), "/u/{id}/x/* /u/{id}/x"},
		{Exactly("/{x}*"), "/%7Bx%7D%2A"},
	} {
		var got []string
		for _, c := range tt.paths.cells() {
			got = append(got, written(c))
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%+v is written as %s, want %s", tt.paths, text, tt.want)
		}
	}
}

// What sets have in common is in both, and what is in both they have in common.
func TestIntersections(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	paths := texts()
	for range 5000 {
		p, q := randomPaths(r), randomPaths(r)
		both, ok := p.Intersect(q)
		exact := !p.open() && !q.open()
		for _, path := range paths {
			one := Exactly(path)
			want := p.Contains(one) && q.Contains(one)
			got := ok && both.Contains(one)
			if got != want && (exact || want) {
				t.Fatalf("%+v and %+v have %+v in common (%v), and %s is in both: %v", p, q, both, ok, path, want)
			}
			if p.Contains(q) && q.Contains(one) && !p.Contains(one) {
				t.Fatalf("%+v contains %+v, but not %s", p, q, path)
			}
		}
	}
}
