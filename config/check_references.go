package config

import (
	"slices"
	"strings"

	"sluice/config/report"
	"sluice/internal/httpsyntax"
)

// references finds the backends that routes name, and makes one for each address or URL that a route
// has in place of a name.
func (k *checker) references(at report.Path) {
	c := k.config
	known := make(map[string]bool, len(c.Backends))
	var names []string
	for _, b := range c.Backends {
		known[b.Name] = true
		names = append(names, b.Name)
	}
	for i := range c.Routes {
		r, at := &c.Routes[i], at.Index(i)
		k.reference(r.Backend, at.Key("backend"), known, names)
		for j, s := range r.Split {
			k.reference(s.Backend, at.Key("split").Index(j).Key("backend"), known, names)
		}
		if r.Mirror != nil {
			k.reference(r.Mirror.Backend, at.Key("mirror").Key("backend"), known, names)
		}
	}
}

func (k *checker) reference(name string, at report.Path, known map[string]bool, names []string) {
	switch {
	case !k.text(at, name) || known[name]:
	case strings.ContainsAny(name, ":/"):
		b := Backend{Pos: k.Pos(at), Name: name}
		k.setDefaults(&b)
		e := Endpoint{Pos: b.Pos, Text: name}
		k.setDefaults(&e)
		if wrong := e.parse(); wrong != "" {
			k.rejectName(at, wrong)
			return
		}
		if k.loop(&e, at) {
			return
		}
		b.Endpoints = []Endpoint{e}
		k.config.Backends = append(k.config.Backends, b)
		known[name] = true
	case strings.Trim(name, "0123456789") == "" && k.Source(at).Literal:
		k.Reject(at, "is only a port: write the host too, as in 127.0.0.1:%s", name)
	default:
		k.Fail(at, "unknown backend %s%s", k.Quoted(at), k.nearest(name, names))
	}
}

// nearest returns the advice for a name that is none of names.
func (k *checker) nearest(name string, names []string) string {
	if advice := report.Suggest(name, slices.Values(names)); advice != "" {
		return advice
	}
	if len(names) == 0 || len(names) > 8 {
		return ": it is not a key of 'backends', and an address has a port, as in host:8080"
	}
	return ": the backends are " + strings.Join(names, ", ") + "; an address has a port, as in host:8080"
}

// split checks what a route does with several backends.
func (k *checker) split(r *Route, at report.Path) {
	section, cookie := at.Key("split"), at.Key("split_cookie")
	if k.Has(cookie) && !k.Has(section) {
		k.Fail(cookie, "is for 'split': remove the key")
	} else if k.text(cookie, r.SplitCookie) && !httpsyntax.IsToken(r.SplitCookie) {
		k.Reject(cookie, "is not a name of a cookie")
	}
	if !k.Has(section) || k.Broken(section) {
		return
	}
	total := 0
	seen := map[string]report.Path{}
	for i, s := range r.Split {
		at := section.Index(i).Key("backend")
		if first, twice := seen[s.Backend]; twice {
			k.Reject(at, "is there twice, first at %s", k.Where(first))
		}
		seen[s.Backend] = at
		total += s.Weight
	}
	if total == 0 {
		k.Fail(section, "all weights are 0: no request would be served")
	}
}

// mirror checks where copies of a route's requests go.
func (k *checker) mirror(r *Route, at report.Path) {
	section := at.Key("mirror")
	switch {
	case !k.Has(section):
	case !k.hasBackend(at):
		k.Fail(section, "copies what goes to a backend: the route has none; remove the section")
	case r.Protocol == "websocket":
		k.Fail(section, "copies plain requests only: the route has 'protocol: websocket'; remove one of the two")
	case r.Mirror.Backend == r.Backend || slices.ContainsFunc(r.Split, func(s Split) bool { return s.Backend == r.Mirror.Backend }):
		k.Fail(section, "names a backend of the route itself: it would get each request twice")
	}
}

// hasBackend reports whether the route at a path sends requests to backends.
func (k *checker) hasBackend(at report.Path) bool {
	return k.Has(at.Key("backend")) || k.Has(at.Key("split"))
}
