package route_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"sluice/route"
)

func TestMatchBySegments(t *testing.T) {
	table, conflicts := route.Compile(named([]route.Pattern{
		pattern("/*"),
		pattern("/users/*"),
		pattern("/users/me"),
		pattern("/users/{id}"),
		pattern("/users/{id}/ws"),
		pattern("/users/{id}/files/*"),
		pattern("/users/{id}/files/{name}/raw"),
		pattern("/*.php"),
		pattern("/app/*.php"),
		pattern("/app/*.min.php"),
		pattern("/app/admin/*"),
		pattern("/%7Bid%7D"),
	}))
	if len(conflicts) > 0 {
		t.Fatal(conflicts)
	}
	for _, tt := range []struct{ path, want, rest, id, name string }{
		{path: "/users/me", want: "/users/me"},
		{path: "/users/7", want: "/users/{id}", id: "7"},
		{path: "/users/a%2Fb", want: "/users/{id}", id: "a%2Fb"},
		{path: "/users/", want: "/users/*", rest: ""},
		{path: "/users/7/", want: "/users/*", rest: "7/"},
		{path: "/users/me/ws", want: "/users/{id}/ws", id: "me"},
		{path: "/users//ws", want: "/users/*", rest: "/ws"},
		{path: "/users/7/ws/x", want: "/users/*", rest: "7/ws/x"},
		{path: "/users/7/files/", want: "/users/{id}/files/*", rest: "", id: "7"},
		{path: "/users/7/files/a/b", want: "/users/{id}/files/*", rest: "a/b", id: "7"},
		{path: "/users/7/files/a/raw", want: "/users/{id}/files/{name}/raw", id: "7", name: "a"},
		{path: "/x.php", want: "/*.php", rest: "x.php"},
		{path: "/a/b/x.php", want: "/*.php", rest: "a/b/x.php"},
		{path: "/app/a/x.min.php", want: "/app/*.min.php", rest: "a/x.min.php"},
		{path: "/.php", want: "/*", rest: ".php"},
		{path: "/x.php/", want: "/*", rest: "x.php/"},
		{path: "/app/x.php", want: "/app/*.php", rest: "x.php"},
		{path: "/app/admin/x.php", want: "/app/admin/*", rest: "x.php"},
		{path: "/users/x.php", want: "/users/{id}", id: "x.php"},
		{path: "/%7Bid%7D", want: "/%7Bid%7D"},
	} {
		m, _ := table.Match(&route.Request{Method: "GET", Path: tt.path})
		if m.Value != tt.want || m.Rest != tt.rest || m.Variables.Value("id") != tt.id || m.Variables.Value("name") != tt.name {
			t.Errorf("%s: route %q, rest %q, id %q, name %q; want %+v", tt.path, m.Value, m.Rest, m.Variables.Value("id"), m.Variables.Value("name"), tt)
		}
	}
}

func TestPathsThatAreNone(t *testing.T) {
	for _, tt := range []struct{ path, err string }{
		{"/a{id}", "a whole segment"},
		{"/{id}.json", "a whole segment"},
		{"/{}", "small letters"},
		{"/{Id}", "small letters"},
		{"/{1}", "small letters"},
		{"/{a}/{a}", "{a} twice"},
		{"/{a}/../b", `the segment ".."`},
		{"/{a}/%2e", `the segment "."`},
		{"/{a}/*.php", "only /* may end it"},
		{"/{a}/x*", "only /* may end it"},
		{"{a}", "does not start with '/'"},
		{"/{a}/%zz", `"%zz"`},
		{"/*/a", "begin its last segment"},
		{"/a*", "begin its last segment"},
		{"/**", "begin its last segment"},
		{"/*.p*p", "begin its last segment"},
		{"/*%zz", `"%zz"`},
	} {
		_, conflicts := route.Compile(named([]route.Pattern{{Paths: []string{tt.path}}}))
		if len(conflicts) != 1 || conflicts[0].By != nil || !strings.Contains(conflicts[0].Message, tt.err) {
			t.Errorf("%s: %+v, want %q", tt.path, conflicts, tt.err)
		}
	}
}

func TestPathsThatOverlap(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b route.Pattern
		bad  bool
	}{
		{"crossed", pattern("/{a}/x"), pattern("/y/{b}"), true},
		{"crossed prefixes", pattern("/{a}/x/*"), pattern("/y/*"), true},
		{"segments and a prefix", pattern("/users/{id}/ws"), pattern("/users/me/*"), true},
		{"suffixes of two directories", pattern("/a/*.php"), pattern("/*.min.php"), true},
		{"a suffix beside segments that do not begin as it does", pattern("/y/*.php"), pattern("/{a}/x/*"), true},
		{"other hosts", route.Pattern{Hosts: []string{"a"}, Paths: []string{"/{a}/x"}}, pattern("/y/{b}"), false},
		{"other protocols", route.Pattern{Paths: []string{"/{a}/x"}, Protocol: "http"}, route.Pattern{Paths: []string{"/y/{b}"}, Protocol: "websocket"}, false},
		{"other methods", route.Pattern{Paths: []string{"/{a}/x"}, Methods: []string{"GET"}}, route.Pattern{Paths: []string{"/y/{b}"}, Methods: []string{"POST"}}, false},
		{"HEAD, which GET covers", route.Pattern{Paths: []string{"/{a}/x"}, Methods: []string{"GET"}}, route.Pattern{Paths: []string{"/y/{b}"}, Methods: []string{"HEAD"}}, true},
		{"one narrower", pattern("/{a}/x"), pattern("/y/x"), false},
		{"one narrower by a variable", pattern("/{a}/{b}"), pattern("/y/{b}"), false},
		{"no common path", pattern("/{a}/x"), pattern("/y/z/{b}"), false},
		{"an empty segment is no variable", pattern("/{a}/x"), pattern("//{b}"), false},
		{"a suffix and a directory", pattern("/*.php"), pattern("/api/*"), false},
		{"a suffix and a segment", pattern("/*.php"), pattern("/{page}"), false},
		{"suffixes, one longer", pattern("/*.php"), pattern("/*.min.php"), false},
		{"suffixes, one deeper", pattern("/*.php"), pattern("/a/*.php"), false},
		{"a suffix and everything", pattern("/*.php"), pattern("/*"), false},
	} {
		for _, both := range [][]route.Pattern{{tt.a, tt.b}, {tt.b, tt.a}} {
			_, conflicts := route.Compile(named(both))
			bad := len(conflicts) == 1 && conflicts[0].Route == 1 && conflicts[0].By != nil && conflicts[0].By.Route == 0 && strings.Contains(conflicts[0].Message, "neither is narrower")
			if bad != tt.bad || !bad && len(conflicts) > 0 {
				t.Errorf("%s: %+v, want a mistake: %v", tt.name, conflicts, tt.bad)
			}
		}
	}
	_, conflicts := route.Compile(named([]route.Pattern{pattern("/{a}/x"), pattern("/{a}/z"), pattern("/y/{b}")}))
	if len(conflicts) != 1 || conflicts[0].Route != 2 || conflicts[0].By.Route != 0 {
		t.Errorf("one that overlaps with two: %+v, want one mistake", conflicts)
	}
	_, conflicts = route.Compile(named([]route.Pattern{pattern("/{a}"), pattern("/{b}")}))
	if len(conflicts) != 1 || !strings.Contains(conflicts[0].Message, "never takes a request") {
		t.Errorf("the same but for its name: %+v", conflicts)
	}
}

// Where Compile finds nothing wrong, of two routes that match a path the narrower one is first: what
// the other one matches besides is its own.
func TestTheNarrowerPathIsFirst(t *testing.T) {
	paths := allPaths()
	met := make(map[string][]bool) // which of the paths a pattern matches, by its text
	meet := func(p route.Pattern) []bool {
		text := p.String()
		if met[text] == nil {
			for _, path := range paths {
				_, is := meets(p, route.Request{Path: path})
				met[text] = append(met[text], is)
			}
		}
		return met[text]
	}
	seen := make(map[string]bool)
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		segments := []string{"a", "b", "{v}", "{w}"}
		random := func() route.Pattern {
			path := ""
			for range 1 + r.IntN(3) {
				if s := pick(r, segments); !strings.Contains(path, s) {
					path += "/" + s
				}
			}
			if end := pick(r, []string{"", "", "/*", "/*a", "/*ba"}); end == "/*" || !strings.Contains(path, "{") {
				path += end
			}
			return route.Pattern{Paths: []string{path}}
		}
		one, other := random(), random()
		table, conflicts := route.Compile(named([]route.Pattern{one, other}))
		if pair := one.String() + " " + other.String(); len(conflicts) > 0 || seen[pair] {
			continue
		} else {
			seen[pair] = true
		}
		byOne, byOther := meet(one), meet(other)
		only := make(map[string]int) // paths that only this one matches
		taken := make(map[string]int)
		for i, path := range paths {
			switch {
			case byOne[i] && byOther[i]:
				m, _ := table.Match(&route.Request{Method: "GET", Path: path})
				taken[m.Value]++
			case byOne[i]:
				only[one.String()]++
			case byOther[i]:
				only[other.String()]++
			}
		}
		for winner := range taken {
			loser := one.String()
			if winner == loser {
				loser = other.String()
			}
			suffixes := strings.Contains(one.Paths[0]+other.Paths[0], "/*a") || strings.Contains(one.Paths[0]+other.Paths[0], "/*ba")
			if len(taken) != 1 || only[winner] > 0 && !suffixes || only[loser] == 0 {
				t.Fatalf("%s and %s: %v are taken of those that both match; alone there are %v", one, other, taken, only)
			}
		}
	}
}

// allPaths returns all paths of up to four segments of a few texts.
func allPaths() (all []string) {
	level := []string{""}
	for range 4 {
		var next []string
		for _, p := range level {
			for _, s := range []string{"", "a", "b", "ba", "c"} {
				next = append(next, p+"/"+s)
			}
		}
		all = append(all, next...)
		level = next
	}
	return all
}

func TestRewriteBySegments(t *testing.T) {
	for _, tt := range []struct{ name, path, strip, to, asked, want, err string }{
		{name: "a segment", path: "/users/{id}/ws", to: "/ws/{path.id}", asked: "/users/7/ws", want: "/ws/7"},
		{name: "segments in another order", path: "/{a}/{b}/*", to: "/{path.b}-x/{path.a}/*", asked: "/1/2/3/4", want: "/2-x/1/3/4"},
		{name: "escaped", path: "/{a}", to: "/x/{path.a}/y", asked: "/%2F%3f..", want: "/x/%2F%3F../y"},
		{name: "a rewrite that is normalised", path: "/{a}", to: "/é/{path.a}", asked: "/1", want: "/%C3%A9/1"},
		{name: "strip", path: "/app/{a}/*", strip: "/app", asked: "/app/1/2", want: "/1/2"},
		{name: "strip a segment", path: "/app/{a}/*", strip: "/app/{a}", err: "not a beginning"},
		{name: "a suffix", path: "/*.php", to: "/x/*", asked: "/a/b.php", want: "/x/a/b.php"},
		{name: "unknown", path: "/{a}", to: "/{path.b}", err: "no segment {b}"},
		{name: "unclosed", path: "/{a}", to: "/{path.a", err: "no segment {a}"},
		{name: "a dot segment", path: "/{a}", to: "/{path.a}/../x", err: "dot segment beside"},
		{name: "a host", path: "/{a}", to: "//{path.a}", err: "reads as a host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := route.Pattern{Paths: []string{tt.path}}
			w, err := route.NewRewrite(p.Paths, tt.strip, tt.to)
			if !says(err, tt.err) {
				t.Fatalf("the error is %v, want %q", err, tt.err)
			}
			if err != nil {
				return
			}
			table, _ := route.Compile([]route.Entry[route.Rewrite]{{Pattern: p, Value: w}})
			clean, err := route.Clean(tt.asked)
			m, miss := table.Match(&route.Request{Method: "GET", Path: clean})
			if err != nil || miss != route.None {
				t.Fatal(err, miss)
			}
			if got := m.Value.Path(clean, m.Rest, m.Variables); got != tt.want {
				t.Errorf("%s becomes %s, want %s", clean, got, tt.want)
			}
		})
	}
	if _, err := route.NewRewrite([]string{"/{a}/x", "/{b}/y"}, "", "/{path.a}"); !says(err, "/{b}/y has no segment {a}") {
		t.Errorf("a segment that one path lacks: %v", err)
	}
}
