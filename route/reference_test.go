package route_test

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"sluice/internal/header"
	"sluice/route"
)

// reference is a slow and plain Table: it sorts the routes and tries each. Its patterns are canonical.
type reference []route.Pattern

func newReference(patterns []route.Pattern) reference {
	sorted := slices.Clone(patterns)
	slices.SortFunc(sorted, func(a, b route.Pattern) int {
		return cmp.Or(
			cmp.Compare(hostRank(a), hostRank(b)), cmp.Compare(len(host(b)), len(host(a))),
			comparePaths(a.Paths[0], b.Paths[0]), slices.Compare(rank(a), rank(b)), cmp.Compare(a.String(), b.String()),
		)
	})
	return sorted
}

// list returns a list of a text, none of an empty one.
func list(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func host(p route.Pattern) string { return strings.Join(p.Hosts, "") }

func hostRank(p route.Pattern) int {
	switch {
	case host(p) == "":
		return 2
	case strings.HasPrefix(host(p), "*"):
		return 1
	}
	return 0
}

// comparePaths compares the paths of two patterns segment by segment.
func comparePaths(a, b string) int {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	kind := func(segment string) int {
		switch {
		case segment == "*":
			return 3
		case strings.HasPrefix(segment, "*"):
			return 2
		case strings.HasPrefix(segment, "{"):
			return 1
		}
		return 0
	}
	for i := range min(len(as), len(bs)) {
		if c := cmp.Or(cmp.Compare(kind(as[i]), kind(bs[i])), cmp.Compare(len(bs[i]), len(as[i]))*kind(as[i])/2, cmp.Compare(as[i], bs[i])*(1-kind(as[i])%2)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(bs), len(as)) // no path is one of both: any order will do
}

// rank returns the numbers that precedence compares after host and path, the lowest first.
func rank(p route.Pattern) []int {
	bit := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	stars := func(m map[string]string) (n int) {
		for _, v := range m {
			n += bit(v == "*")
		}
		return n
	}
	return []int{
		bit(p.Protocol == ""), bit(len(p.Methods) == 0), len(p.Methods),
		-len(p.Headers), stars(p.Headers), -len(p.Query), stars(p.Query),
	}
}

// match returns the canonical text of the route that takes r, its rest, and
// the miss.
func (ref reference) match(r route.Request) (string, string, route.Miss) {
	nearest := route.NotFound
	for _, p := range ref {
		rest, ok := meets(p, r)
		if !ok {
			continue
		}
		protocol := p.Protocol == "" || (p.Protocol == "websocket") == r.WebSocket
		method := r.Method
		if r.WebSocket {
			method = "GET"
		}
		allowed := len(p.Methods) == 0 && method != "TRACE"
		for _, m := range p.Methods {
			allowed = allowed || m == method || m == "GET" && method == "HEAD"
		}
		switch {
		case protocol && allowed:
			return p.String(), rest, route.None
		case nearest != route.NotFound:
		case protocol:
			nearest = route.MethodNotAllowed
		case !r.WebSocket:
			nearest = route.UpgradeRequired
		}
	}
	return "", "", nearest
}

// meets reports whether r has the host, path, headers and query of p.
func meets(p route.Pattern, r route.Request) (rest string, ok bool) {
	if suffix, wildcard := strings.CutPrefix(host(p), "*"); wildcard {
		if name, ok := strings.CutSuffix(r.Host, suffix); !ok || name == "" {
			return "", false
		}
	} else if host(p) != "" && host(p) != r.Host {
		return "", false
	}
	directory, suffix, star := strings.Cut(p.Paths[0], "*")
	found := expression(directory, suffix, star).FindStringSubmatch(r.Path)
	switch {
	case found == nil:
		return "", false
	case star:
		rest = found[1]
	}
	for name, want := range p.Headers {
		values := slices.Collect(r.Header.Named(name))
		if len(values) == 0 || want != "*" && !slices.Contains(values, want) {
			return "", false
		}
	}
	for name, want := range p.Query {
		found := false
		for _, parameter := range strings.Split(r.Query, "&") {
			n, v, _ := strings.Cut(parameter, "=")
			n, err := url.QueryUnescape(n)
			v, verr := url.QueryUnescape(v)
			found = found || parameter != "" && err == nil && n == name && (want == "*" || verr == nil && v == want)
		}
		if !found {
			return "", false
		}
	}
	return rest, true
}

var (
	variables   = regexp.MustCompile(`\\\{[a-z]+\\\}`)
	expressions sync.Map // by path
)

// expression returns what matches the same paths as one with a directory and a suffix.
func expression(directory, suffix string, star bool) *regexp.Regexp {
	text := "^" + variables.ReplaceAllString(regexp.QuoteMeta(directory), "[^/]+")
	switch {
	case suffix != "":
		text += "(.+" + regexp.QuoteMeta(suffix) + ")"
	case star:
		text += "(.*)"
	}
	known, ok := expressions.Load(text)
	if !ok {
		known, _ = expressions.LoadOrStore(text, regexp.MustCompile(text+"$"))
	}
	return known.(*regexp.Regexp)
}

// A small world, with so few values that random requests match some of the random routes.
var (
	worldHosts   = []string{"", "b", "a.b", "*.b", "*.a.b", "c.a.b"}
	worldPaths   = []string{"/*", "/", "/x", "/x/*", "/x/", "/x/y", "/x/y/*", "/x//*", "/{a}", "/{a}/*", "/{a}/y", "/x/{b}", "/{a}/{b}/*", "/*y", "/*yy", "/x/*y"}
	worldMethods = [][]string{nil, nil, {"GET"}, {"HEAD"}, {"POST"}, {"GET", "POST"}, {"HEAD", "POST"}, {"TRACE"}, {"GET", "TRACE"}}
	worldValues  = []string{"1", "2", "*"}

	askedHosts   = []string{"", "b", "a.b", "c.a.b", "d.c.a.b", "z"}
	askedPaths   = []string{"/", "/x", "/x/", "/x/y", "/x/y/z", "/x//", "/x//y", "/z", "/yy", "/zy", "/z/y", "/x/yy", "/z/yy/y", "/y", "*"}
	askedMethods = []string{"GET", "HEAD", "POST", "PUT", "TRACE"}
	askedHeaders = headers()
	askedQueries = []string{"", "k=1", "k=2", "k=3", "j=1&k=%31", "k=2&k=1", "k"}
)

// headers returns all header sections of a few values, one of which is in no pattern.
func headers() (list []header.Fields) {
	values := [][]string{nil, {"1"}, {"2"}, {"3"}, {"2", "1"}}
	for _, x := range values {
		for _, y := range values {
			h := http.Header{}
			if x != nil {
				h["X"] = x
			}
			if y != nil {
				h["Y"] = y
			}
			list = append(list, header.FromHTTP(h))
		}
	}
	return list
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// randomPattern returns a canonical pattern with the given host and path.
func randomPattern(r *rand.Rand, host, path string) route.Pattern {
	p := route.Pattern{
		Hosts:    list(host),
		Paths:    list(path),
		Methods:  pick(r, worldMethods),
		Protocol: pick(r, []string{"", "", "http", "websocket"}),
		Headers:  map[string]string{},
		Query:    map[string]string{},
	}
	if p.Protocol == "websocket" && len(p.Methods) > 0 {
		p.Methods = []string{"GET"}
	}
	for _, name := range []string{"X", "Y"} {
		if r.IntN(3) == 0 {
			p.Headers[name] = pick(r, worldValues)
		}
	}
	for _, name := range []string{"j", "k"} {
		if r.IntN(4) == 0 {
			p.Query[name] = pick(r, worldValues)
		}
	}
	return p
}

func randomRequest(r *rand.Rand) route.Request {
	return route.Request{
		Method:    pick(r, askedMethods),
		Host:      pick(r, askedHosts),
		Path:      pick(r, askedPaths),
		Query:     pick(r, askedQueries),
		Header:    pick(r, askedHeaders),
		WebSocket: r.IntN(3) == 0,
	}
}

// named returns a route for each pattern, with the canonical text of the pattern as its value.
func named(patterns []route.Pattern) []route.Entry[string] {
	var entries []route.Entry[string]
	for _, p := range patterns {
		entries = append(entries, route.Entry[string]{Pattern: p, Value: p.String()})
	}
	return entries
}
