package traefik

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer/importertest"
)

type request = importertest.Request

// A condition is a rule, and what it takes.
type condition struct {
	text  string
	takes func(request) bool
}

// generate makes a rule.
func generate(g *rand.Rand, depth int) condition {
	if depth > 0 {
		x, y := generate(g, depth-1), generate(g, depth-1)
		switch g.IntN(5) {
		case 0:
			return condition{"(" + x.text + " || " + y.text + ")", func(r request) bool { return x.takes(r) || y.takes(r) }}
		case 1:
			return condition{"!" + x.text, func(r request) bool { return !x.takes(r) }}
		case 2, 3:
			return condition{"(" + x.text + " && " + y.text + ")", func(r request) bool { return x.takes(r) && y.takes(r) }}
		}
	}
	switch g.IntN(9) {
	case 0:
		host := importertest.Pick(g, "a.test", "b.test")
		return condition{"Host(`" + host + "`)", func(r request) bool { return r.Host == host }}
	case 1:
		return condition{"HostRegexp(`^.+\\.b\\.test$`)", func(r request) bool { return strings.HasSuffix(r.Host, ".b.test") }}
	case 2:
		path := importertest.Pick(g, "/", "/a", "/a/b", "/a/")
		return condition{"Path(`" + path + "`)", func(r request) bool { return r.Path == path }}
	case 3:
		return condition{"Method(`POST`)", func(r request) bool { return r.Method == "POST" }}
	case 4:
		return condition{"Header(`X-Staff`, `yes`)", func(r request) bool { return r.Staff }}
	case 5:
		return condition{"Header(`Upgrade`, `websocket`)", func(r request) bool { return r.Socket }}
	case 6:
		return condition{"ClientIP(`10.0.0.0/8`)", func(r request) bool { return r.Near }}
	}
	prefix := importertest.Pick(g, "/", "/a", "/a/", "/a/b", "/ab", "/b/")
	return condition{"PathPrefix(`" + prefix + "`)", func(r request) bool { return strings.HasPrefix(r.Path, prefix) }}
}

// A generated router.
type generated struct {
	condition
	priority int
	refuses  bool
}

// FuzzNothingIsOpenThatIsNotInTraefik compares what becomes of generated routers with what Traefik does with them.
func FuzzNothingIsOpenThatIsNotInTraefik(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	paths := []string{"/", "/a", "/a/", "/ab", "/ab/c", "/a/b", "/a/bc", "/a/b/c", "/b", "/b/c", "//a", "/a//b", "//", "/c"}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := rand.New(rand.NewPCG(seed, 1))
		var routers []generated
		file := strings.Builder{}
		file.WriteString("entryPoints: {web: {address: ':80'}}\nhttp:\n  services: {a: {loadBalancer: {servers: [{url: 'http://a:1'}]}}}\n" +
			"  middlewares: {auth: {basicAuth: {users: ['u:x']}}, strip: {stripPrefix: {prefixes: [/a]}}, both: {chain: {middlewares: [strip, auth]}}}\n  routers:\n")
		for i := range 1 + g.IntN(5) {
			r := generated{condition: generate(g, g.IntN(3))}
			if r.priority = len(r.text); g.IntN(4) == 0 {
				r.priority = 1 + g.IntN(100)
			}
			service, middlewares := importertest.Pick(g, "a", "a", "a", "gone"), importertest.Pick(g, "", "", "strip", "auth", "both", "gone")
			r.refuses = service == "gone" || middlewares != "" && middlewares != "strip"
			fmt.Fprintf(&file, "    r%d: {rule: '%s', priority: %d, service: %s, middlewares: [%s]}\n", i, r.text, r.priority, service, middlewares)
			routers = append(routers, r)
		}
		slices.SortStableFunc(routers, func(a, b generated) int { return cmp.Compare(b.priority, a.priority) })
		refuses := func(r request) bool {
			r.Path = importertest.Merged(r.Path)
			i := slices.IndexFunc(routers, func(one generated) bool { return one.takes(r) })
			return i < 0 || routers[i].refuses
		}
		importertest.NothingMoreIsOpen(t, Read, "traefik.yml", file.String(), paths, refuses)
	})
}
