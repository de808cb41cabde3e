package caddy

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

// A condition is a matcher in the text of a Caddyfile, and what it takes.
type condition struct {
	text  string
	path  string // if it asks for one
	takes func(request) bool
}

// takesPath is what Caddy does with a pattern.
func takesPath(pattern, given string) bool {
	clean := importertest.Merged(strings.ToLower(given))
	text := strings.Trim(pattern, "*")
	begins, ends := strings.HasSuffix(pattern, "*"), strings.HasPrefix(pattern, "*")
	switch {
	case begins && ends:
		return strings.Contains(clean, text)
	case begins:
		return strings.HasPrefix(clean, text)
	case ends:
		return strings.HasSuffix(clean, text)
	}
	return clean == text
}

// takesHost is what Caddy does with a host; none is any.
func takesHost(host, given string) bool {
	rest, wild := strings.CutPrefix(host, "*")
	return host == "" || host == given || wild && strings.HasSuffix(given, rest)
}

// A directive is one of a few, and its block.
type directive struct {
	name, rest string
	when       condition
	block      []directive
	strips     string // handle as handle_path
}

// directivesInOrder are the ones that a generated site has, as Caddy asks them.
var directivesInOrder = []string{"rewrite", "uri", "basic_auth", "request_header", "handle", "route", "respond", "reverse_proxy"}

// generator makes sites, with the definitions of the matchers in them.
type generator struct {
	*rand.Rand
	defined strings.Builder
	names   int
}

func (g *generator) pattern() string {
	return importertest.Pick(g.Rand, "/a", "/a*", "/a/*", "/a/b", "/a/b*", "/a/b/*", "/b/*", "*.x", "*/b", "*b*", "/")
}

// everything takes all requests.
var everything = condition{takes: func(request) bool { return true }}

func (g *generator) condition() condition {
	if p := g.pattern(); strings.HasPrefix(p, "/") && g.IntN(3) == 0 {
		return condition{text: p, path: p, takes: func(r request) bool { return takesPath(p, r.Path) }}
	}
	if g.IntN(3) == 0 {
		return everything
	}
	g.names++
	c := condition{text: fmt.Sprintf("@m%d", g.names), takes: everything.takes}
	fmt.Fprintf(&g.defined, "%s {\n", c.text)
	for _, kind := range slices.Compact(slices.Sorted(slices.Values([]int{g.IntN(6), g.IntN(6)}))) {
		before, not := c.takes, g.IntN(3) == 0
		var one func(request) bool
		text := ""
		switch kind {
		case 0:
			p := g.pattern()
			text, one = "path "+p, func(r request) bool { return takesPath(p, r.Path) }
			if !not {
				c.path = p
			}
		case 1:
			text, one = "method POST", func(r request) bool { return r.Method == "POST" }
		case 2:
			host := importertest.Pick(g.Rand, "a.test", "x.b.test", "*.b.test")
			text, one = "host "+host, func(r request) bool { return takesHost(host, r.Host) }
		case 3:
			text, one = "header Upgrade websocket", func(r request) bool { return r.Socket }
		case 4:
			text, one = "header X-Staff yes", func(r request) bool { return r.Staff }
		default:
			text, one = "remote_ip 10.0.0.0/8", func(r request) bool { return r.Near }
		}
		if not {
			text = "not " + text
		}
		g.defined.WriteString(text + "\n")
		c.takes = func(r request) bool { return before(r) && one(r) != not }
	}
	g.defined.WriteString("}\n")
	return c
}

func (g *generator) block(depth int) (all []directive) {
	for range 1 + g.IntN(4) {
		d := directive{name: importertest.Pick(g.Rand, "uri", "rewrite", "basic_auth", "request_header", "handle", "handle", "handle", "route", "respond", "respond", "respond", "reverse_proxy", "reverse_proxy"), when: g.condition()}
		switch d.name {
		case "uri":
			d.rest = "strip_prefix /a"
		case "rewrite":
			d.rest = importertest.Pick(g.Rand, "/b/x", "/b{uri}", "/a{uri}")
		case "request_header":
			d.rest = "-X-Staff"
		case "respond":
			d.rest = importertest.Pick(g.Rand, "403", "404", "200")
		case "reverse_proxy":
			d.rest = importertest.Pick(g.Rand, "a:1", "b:1")
		case "handle", "route":
			if depth == 0 {
				d.name, d.rest = "reverse_proxy", "c:1"
				break
			}
			d.block = g.block(depth - 1)
			if d.name == "handle" && g.IntN(3) == 0 {
				pattern := importertest.Pick(g.Rand, "/a/*", "/a*", "/b/*", "/a/b*")
				d.strips = strings.TrimSuffix(strings.TrimSuffix(pattern, "*"), "/")
				d.when = condition{text: pattern, path: pattern, takes: func(r request) bool { return takesPath(pattern, r.Path) }}
			}
		}
		all = append(all, d)
	}
	return all
}

// write writes a block.
func write(b *strings.Builder, all []directive) {
	for _, d := range all {
		name := d.name
		if d.strips != "" {
			name = "handle_path"
		}
		fmt.Fprintf(b, "%s %s %s", name, cmp.Or(d.when.text, "*"), d.rest)
		switch {
		case d.block != nil:
			b.WriteString(" {\n")
			write(b, d.block)
			b.WriteString("}")
		case d.name == "basic_auth":
			b.WriteString(" {\nu $2a$14$x\n}")
		}
		b.WriteString("\n")
	}
}

// sorted returns directives as Caddy asks them.
func sorted(all []directive) []directive {
	all = slices.Clone(all)
	given := func(d directive) int {
		if d.when.text != "" {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b directive) int {
		if c := slices.Index(directivesInOrder, a.name) - slices.Index(directivesInOrder, b.name); c != 0 {
			return c
		}
		if a.when.path == "" || b.when.path == "" {
			return given(a) - given(b)
		}
		x, y := strings.TrimSuffix(a.when.path, "*"), strings.TrimSuffix(b.when.path, "*")
		if x == y {
			return len(a.when.path) - len(b.when.path)
		}
		return cmp.Or(len(y)-len(x), strings.Compare(x, y))
	})
	return all
}

// strip removes a prefix from the path of a request.
func strip(r *request, prefix string) {
	if r.Path = importertest.Merged(r.Path); strings.HasPrefix(strings.ToLower(r.Path), prefix) {
		r.Path = cmp.Or(r.Path[len(prefix):], "/")
	}
}

// opens reports whether Caddy gives a request something, and whether it gives it an answer at all.
func opens(all []directive, r *request) (open, answered bool) {
	done := map[string]bool{} // of those of which one at most is done
	for _, d := range all {
		if done[d.name] || !d.when.takes(*r) {
			continue
		}
		switch d.name {
		case "uri":
			strip(r, "/a")
		case "rewrite":
			done[d.name] = true
			if with, ok := strings.CutSuffix(d.rest, "{uri}"); ok {
				r.Path = with + r.Path
			} else {
				r.Path = d.rest
			}
		case "request_header":
			r.Staff = false
		case "basic_auth":
			return false, true
		case "respond":
			return d.rest == "200", true
		case "reverse_proxy":
			return true, true
		case "handle", "route":
			inner := d.block
			if d.name == "handle" {
				done[d.name] = true
				inner = sorted(inner)
				strip(r, d.strips)
			}
			if open, answered := opens(inner, r); answered {
				return open, true
			}
		}
	}
	return false, false
}

// A generated site is what is done for a host, and for paths if it has one.
type generated struct {
	host, path string
	block      []directive
}

// generate makes sites, the first ones before those that are about more, and returns their text.
func generate(g *generator) (sites []generated, text string) {
	addresses := []generated{{host: "a.test", path: "/a/*"}, {host: "a.test"}, {host: "x.b.test"}, {host: "*.b.test"}, {}}
	var b strings.Builder
	for _, s := range addresses {
		if g.IntN(3) > 0 && (s.host != "" || len(sites) > 0) {
			continue
		}
		g.defined.Reset()
		// With a backend that takes what is left: where none is, paths in another case are left to files.
		s.block = append(g.block(2), directive{name: "reverse_proxy", rest: "d:1", when: everything})
		if g.IntN(4) == 0 {
			s.block[len(s.block)-1].when = condition{text: "/b/*", path: "/b/*", takes: func(r request) bool { return takesPath("/b/*", r.Path) }}
		}
		sites = append(sites, s)
		var body strings.Builder
		write(&body, s.block)
		fmt.Fprintf(&b, "http://%s%s {\n%s%s}\n", s.host, s.path, g.defined.String(), body.String())
	}
	return sites, b.String()
}

// refuses reports whether Caddy gives a request nothing.
func refuses(sites []generated, r request) bool {
	for _, s := range sites {
		if !takesHost(s.host, r.Host) {
			continue
		}
		if s.path == "" || takesPath(s.path, r.Path) {
			open, _ := opens(sorted(s.block), &r)
			return !open
		}
	}
	return true
}

// FuzzNothingIsOpenThatIsNotInCaddy compares what becomes of generated sites with what Caddy does with them.
func FuzzNothingIsOpenThatIsNotInCaddy(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	paths := []string{"/", "/a", "/A", "/a/", "/ab", "/a/b", "/A/b", "/a/B/", "/a/b/c", "/a/bc", "/b", "/b/", "/b/a", "/c.x", "/C.X", "/.x", "/a/c.x", "//a", "/a//b", "//", "/c/b", "/c//b"}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
		sites, text := generate(g)
		importertest.NothingMoreIsOpen(t, Read, "Caddyfile", text, paths, func(r request) bool { return refuses(sites, r) })
	})
}
