package route_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"sluice/route"
)

func TestConflicts(t *testing.T) {
	get, post, head := []string{"GET"}, []string{"POST"}, []string{"HEAD"}
	one, two, star := map[string]string{"X": "1"}, map[string]string{"X": "2"}, map[string]string{"X": "*"}
	type conflict struct {
		route, by int
		message   string // a part of it
	}
	tests := []struct {
		name   string
		routes []route.Pattern
		want   []conflict
	}{
		{name: "nothing", routes: nil},
		{name: "different hosts and paths", routes: []route.Pattern{{}, {Paths: []string{"/a"}}, {Paths: []string{"/a/*"}}, {Hosts: []string{"a"}}, {Hosts: []string{"*.a"}}}},
		{
			name:   "duplicate in another spelling",
			routes: []route.Pattern{{Hosts: []string{"a"}, Paths: []string{"/%61/*"}, Methods: []string{"PUT", "GET"}}, {Hosts: []string{"A."}, Paths: []string{"/b/../a/*"}, Methods: []string{"GET", "HEAD", "PUT", "PUT"}}},
			want:   []conflict{{route: 1, by: 0, message: "a/a/* methods GET,PUT"}},
		},
		{
			name:   "duplicate of a duplicate",
			routes: []route.Pattern{{}, {}, {}},
			want:   []conflict{{route: 1, by: 0, message: "same requests"}, {route: 2, by: 0, message: "same requests"}},
		},
		{
			name:   "HEAD under GET",
			routes: []route.Pattern{{Methods: head}, {Methods: get}},
			want:   []conflict{{route: 0, by: 1, message: "/* methods GET, which"}},
		},
		{name: "GET is more than HEAD", routes: []route.Pattern{{Methods: head}, {Methods: post}, {}}},
		{
			name:   "both protocols",
			routes: []route.Pattern{{}, {Protocol: "http"}, {Protocol: "websocket"}},
			want:   []conflict{{route: 0, by: 1, message: "/* protocol http or /* protocol websocket"}},
		},
		{
			name:   "both protocols under a condition",
			routes: []route.Pattern{{Headers: one}, {Protocol: "http"}, {Protocol: "websocket", Headers: star}},
			want:   []conflict{{route: 0, by: 1, message: "or"}},
		},
		{name: "both protocols under another condition", routes: []route.Pattern{{Headers: one}, {Protocol: "http"}, {Protocol: "websocket", Headers: two}}},
		{
			name:   "each method on its own",
			routes: []route.Pattern{{Methods: []string{"GET", "POST"}}, {Methods: post}, {Methods: get}},
			want:   []conflict{{route: 0, by: 2, message: "methods GET or /* methods POST"}},
		},
		{
			name:   "each method on its own within one protocol",
			routes: []route.Pattern{{Protocol: "http", Methods: []string{"GET", "POST"}}, {Protocol: "http", Methods: post}, {Protocol: "http", Methods: get}},
			want:   []conflict{{route: 0, by: 2, message: "or"}},
		},
		{name: "a method is left", routes: []route.Pattern{{Methods: []string{"GET", "POST"}}, {Methods: post}, {Methods: head}}},
		{
			name:   "a handshake is a GET",
			routes: []route.Pattern{{Protocol: "websocket"}, {Protocol: "websocket", Methods: get}},
			want:   []conflict{{route: 0, by: 1, message: "methods GET"}},
		},
		{name: "header values leave others", routes: []route.Pattern{{Headers: one}, {Headers: two}, {Headers: star}, {}}},
		{
			name:   "handshakes only by another method",
			routes: []route.Pattern{{Protocol: "websocket", Methods: post}},
			want:   []conflict{{route: 0, by: -1, message: "leave out GET"}},
		},
		{
			name:   "conflicts come in the order of routes",
			routes: []route.Pattern{{Methods: head}, {Paths: []string{"x"}}, {Methods: get}, {Hosts: []string{"a:80"}}, {}, {}},
			want:   []conflict{{route: 0, by: 2}, {route: 1, by: -1, message: "does not start with '/'"}, {route: 3, by: -1, message: "a port"}, {route: 5, by: 4}},
		},
		{name: "bad escape", routes: []route.Pattern{{Paths: []string{"/%zz"}}}, want: []conflict{{by: -1, message: `"%zz"`}}},
		{name: "star within a segment", routes: []route.Pattern{{Paths: []string{"/a*"}}}, want: []conflict{{by: -1, message: "%2A"}}},
		{name: "star in the middle", routes: []route.Pattern{{Paths: []string{"/*/a"}}}, want: []conflict{{by: -1, message: "%2A"}}},
		{name: "star as host", routes: []route.Pattern{{Hosts: []string{"*"}}}, want: []conflict{{by: -1, message: "holds '*'"}}},
		{name: "wildcard of nothing", routes: []route.Pattern{{Hosts: []string{"*."}}}, want: []conflict{{by: -1, message: "no name below"}}},
		{name: "wildcard of an address", routes: []route.Pattern{{Hosts: []string{"*.127.0.0.1"}}}, want: []conflict{{by: -1, message: "no name below"}}},
		{name: "bad method", routes: []route.Pattern{{Methods: []string{"GET "}}}, want: []conflict{{by: -1, message: `"GET "`}}},
		{name: "bad header", routes: []route.Pattern{{Headers: map[string]string{"a b": "*"}}}, want: []conflict{{by: -1, message: `"a b"`}}},
		{name: "Host as header", routes: []route.Pattern{{Headers: map[string]string{"host": "a"}}}, want: []conflict{{by: -1, message: "'host'"}}},
		{name: "header twice", routes: []route.Pattern{{Headers: map[string]string{"x": "1", "X": "2"}}}, want: []conflict{{by: -1, message: "X twice"}}},
		{name: "nameless parameter", routes: []route.Pattern{{Query: map[string]string{"": "1"}}}, want: []conflict{{by: -1, message: "without a name"}}},
		{name: "bad protocol", routes: []route.Pattern{{Protocol: "ws"}}, want: []conflict{{by: -1, message: `"ws"`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got := route.Compile(named(tt.routes))
			ok := len(got) == len(tt.want)
			for i := range min(len(got), len(tt.want)) {
				ok = ok && got[i].Route == tt.want[i].route && by(got[i]) == tt.want[i].by && strings.Contains(got[i].Message, tt.want[i].message)
			}
			if !ok {
				t.Errorf("Compile(%+v) has conflicts %+v; want %+v", tt.routes, got, tt.want)
			}
		})
	}
}

// What is wrong with one host or path of a route says which one it is.
func TestConflictsOfSeveralHostsAndPaths(t *testing.T) {
	_, got := route.Compile(named([]route.Pattern{
		{Hosts: []string{"a", "b"}, Paths: []string{"/x", "/y"}},
		{Hosts: []string{"c", "b"}, Paths: []string{"/z", "/%78"}},
		{Hosts: []string{"d", "d:1"}, Paths: []string{"/w", "/a*", "/{a"}},
		{Hosts: []string{"e"}, Paths: []string{"/{v}", "/{w}"}},
	}))
	type conflict struct {
		at, by  route.Spot
		message string
	}
	want := []conflict{
		{route.Spot{Route: 1, Host: 1, Path: 1}, route.Spot{Route: 0, Host: 1}, "b/x"},
		{route.Spot{Route: 2, Host: -1, Path: 1}, route.Spot{Route: -1}, "begin its last segment"},
		{route.Spot{Route: 2, Host: -1, Path: 2}, route.Spot{Route: -1}, "a whole segment"},
		{route.Spot{Route: 2, Host: 1, Path: -1}, route.Spot{Route: -1}, "has a port"},
		{route.Spot{Route: 3, Path: 1}, route.Spot{Route: 3}, "e/{v}"},
	}
	ok := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		by := route.Spot{Route: -1}
		if got[i].By != nil {
			by = *got[i].By
		}
		ok = ok && got[i].Spot == want[i].at && by == want[i].by && strings.Contains(got[i].Message, want[i].message)
	}
	if !ok {
		t.Errorf("conflicts are %+v; want %+v", got, want)
	}
}

// by returns the route that takes what another one would, or -1.
func by(c route.Conflict) int {
	if c.By == nil {
		return -1
	}
	return c.By.Route
}

// Compile reports a route if it takes none of the requests of a small world, and only then. That
// world has a request for each difference that the patterns can tell.
func TestConflictsAreExact(t *testing.T) {
	var world []route.Request
	for _, method := range askedMethods {
		for _, header := range askedHeaders {
			for _, query := range []string{"", "j=1", "j=2", "j=3", "k=1", "k=2", "k=3", "j=1&k=1", "j=1&k=2", "j=1&k=3", "j=2&k=1", "j=2&k=2", "j=2&k=3", "j=3&k=1", "j=3&k=2", "j=3&k=3"} {
				world = append(world,
					route.Request{Method: method, Header: header, Query: query},
					route.Request{Method: method, Header: header, Query: query, WebSocket: true})
			}
		}
	}
	shadowed := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		host, path := pick(r, worldHosts), pick(r, worldPaths)
		var patterns []route.Pattern
		for range 2 + r.IntN(12) {
			patterns = append(patterns, randomPattern(r, host, path))
		}
		_, conflicts := route.Compile(named(patterns))
		never := make(map[int]route.Conflict)
		for _, c := range conflicts {
			never[c.Route] = c
		}
		ref := newReference(patterns)
		takes := make(map[string]bool)
		for _, q := range world {
			q.Host = strings.Replace(host, "*", "any", 1)
			q.Path = strings.Replace(path, "*", "any", 1)
			text, _, _ := ref.match(q)
			takes[text] = true
		}
		seen := make(map[string]bool)
		for i, p := range patterns {
			c, reported := never[i]
			alive := takes[p.String()] && !seen[p.String()]
			if reported == alive {
				t.Fatalf("seed %d: route %d (%s) of %s: takes a request: %v; reported: %v %+v", seed, i, p, patterns, alive, reported, c)
			}
			if reported && !seen[p.String()] {
				shadowed++
			}
			seen[p.String()] = true
		}
	}
	if shadowed < 20 {
		t.Errorf("only %d shadowed routes came up; the test shows too little", shadowed)
	}
}
