package route_test

import (
	"slices"
	"strings"
	"testing"

	"sluice/route"
)

// FuzzLists: a route with several hosts and paths takes what the routes with one of each take, and has
// their mistakes. Its text is the same for every order of them.
func FuzzLists(f *testing.F) {
	f.Add("a.test B.test *.c.test", "/ws/* /x /*.php", "a.test", "/ws/a")
	f.Add("[::1] 10.0.0.1", "/users/{id}/* /users/me", "[0::1]:80", "/users/me/x")
	f.Add("", "/a /%61 /b/../a", "z", "/a")
	f.Add("*.b a:80 *", "/{a}/x /y/{b} a", "c.b", "/y/x")
	f.Fuzz(func(t *testing.T, hostList, pathList, askedHost, askedPath string) {
		const most = 6
		hosts, paths := strings.Fields(hostList), strings.Fields(pathList)
		if len(hosts) > most || len(paths) > most {
			return
		}
		whole := route.Pattern{Hosts: hosts, Paths: paths}
		table, conflicts := route.Compile([]route.Entry[int]{{Pattern: whole}})

		var singles []route.Entry[int]
		for _, host := range orNone(hosts) {
			for _, path := range orNone(paths) {
				singles = append(singles, route.Entry[int]{Pattern: route.Pattern{Hosts: list(host), Paths: list(path)}})
			}
		}
		ofSingles, conflictsOfSingles := route.Compile(singles)
		if isBad(conflicts) != isBad(conflictsOfSingles) {
			t.Fatalf("%+v has the mistakes %v, and as routes of their own %v", whole, conflicts, conflictsOfSingles)
		}
		if isBad(conflicts) {
			return
		}

		reversed := route.Pattern{Hosts: slices.Clone(hosts), Paths: slices.Clone(paths)}
		slices.Reverse(reversed.Hosts)
		slices.Reverse(reversed.Paths)
		if whole.String() != reversed.String() {
			t.Errorf("%+v is %q, and in another order %q", whole, whole, reversed)
		}

		var err1, err2 error
		q := route.Request{Method: "GET"}
		q.Host, err1 = route.CleanHost(askedHost)
		q.Path, err2 = route.Clean(askedPath)
		if err1 != nil || err2 != nil {
			return
		}
		got, miss := table.Match(&q)
		want, missOfSingles := ofSingles.Match(&q)
		if miss != missOfSingles || got.Rest != want.Rest {
			t.Errorf("%+v: Match(%+v) = rest %q, miss %d; of routes of their own rest %q, miss %d", whole, q, got.Rest, miss, want.Rest, missOfSingles)
		}
	})
}

// orNone returns a list, or one of "" for an empty one.
func orNone(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

// isBad reports whether a pattern is wrong by itself.
func isBad(conflicts []route.Conflict) bool {
	return slices.ContainsFunc(conflicts, func(c route.Conflict) bool { return c.By == nil })
}
