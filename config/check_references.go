package config

import (
	"slices"
	"strings"

	"sluice/internal/httpsyntax"
)

// references finds the backends that routes name, and makes one for each
// address or URL that a route gives in place of a name.
func (k *checker) references(at path) {
	c := k.config
	known := make(map[string]bool, len(c.Backends))
	var names []string
	for _, b := range c.Backends {
		known[b.Name] = true
		names = append(names, b.Name)
	}
	for i := range c.Routes {
		r, at := &c.Routes[i], at.index(i)
		k.reference(r.Backend, at.key("backend"), known, names)
		for j, s := range r.Split {
			k.reference(s.Backend, at.key("split").index(j).key("backend"), known, names)
		}
		if r.Mirror != nil {
			k.reference(r.Mirror.Backend, at.key("mirror").key("backend"), known, names)
		}
	}
}

func (k *checker) reference(name string, at path, known map[string]bool, names []string) {
	switch {
	case !k.text(at, name) || known[name]:
	case strings.ContainsAny(name, ":/"):
		b := k.newBackend(name)
		b.Pos = k.pos(at)
		e := k.newEndpoint(name)
		e.Pos = b.Pos
		if wrong := e.parse(); wrong != "" {
			k.rejectName(at, wrong)
			return
		}
		if line := k.reaches(&e); line > 0 {
			k.reject(at, "is the gateway's own listener at line %d: requests would go round for ever", line)
			return
		}
		b.Endpoints = []Endpoint{e}
		k.config.Backends = append(k.config.Backends, b)
		known[name] = true
	default:
		k.fail(at, "unknown backend %s%s", k.quote(at), k.nearest(name, names))
	}
}

// nearest is the advice for a name that is none of names.
func (k *checker) nearest(name string, names []string) string {
	if advice := suggest(name, slices.Values(names)); advice != "" {
		return advice
	}
	if len(names) == 0 || len(names) > 8 {
		return ": it is not a key of 'backends', and an address has a port, as in host:8080"
	}
	return ": the backends are " + strings.Join(names, ", ") + "; an address has a port, as in host:8080"
}

// split checks what a route does with several backends.
func (k *checker) split(r *Route, at path) {
	section, cookie := at.key("split"), at.key("split_cookie")
	if k.has(cookie) && !k.has(section) {
		k.fail(cookie, "is for 'split': remove the key")
	} else if k.text(cookie, r.SplitCookie) && !httpsyntax.IsToken(r.SplitCookie) {
		k.reject(cookie, "is not a name of a cookie")
	}
	if !k.has(section) || k.broken(section) {
		return
	}
	total := 0
	lines := map[string]int{}
	for i, s := range r.Split {
		at := section.index(i).key("backend")
		if line, twice := lines[s.Backend]; twice {
			k.reject(at, "is there twice, first at line %d", line)
		}
		lines[s.Backend] = k.pos(at).Line
		total += s.Weight
	}
	if total == 0 {
		k.fail(section, "all weights are 0: nobody would be served")
	}
}

// mirror checks where copies of a route's requests go.
func (k *checker) mirror(r *Route, at path) {
	section := at.key("mirror")
	switch {
	case !k.has(section):
	case !k.hasBackend(at):
		k.fail(section, "copies what goes to a backend: the route has none; remove the section")
	case r.Protocol == "websocket":
		k.fail(section, "copies plain requests only: the route has 'protocol: websocket'; remove one of the two")
	case r.Mirror.Backend == r.Backend || slices.ContainsFunc(r.Split, func(s Split) bool { return s.Backend == r.Mirror.Backend }):
		k.fail(section, "names a backend of the route itself: it would get each request twice")
	}
}

// hasBackend tells whether the route at sends requests to backends.
func (k *checker) hasBackend(at path) bool { return k.has(at.key("backend")) || k.has(at.key("split")) }
