package config

import (
	"slices"
	"strings"
)

func (k *checker) backend(b *Backend, at path) {
	if strings.IndexFunc(b.Name, notWord) >= 0 || b.Name == "" {
		k.fail(at, "%s is not a name of a backend: use letters, digits, '_' and '-'", quote(b.Name))
	}
	secure := false
	lines := map[string]int{}
	for i, e := range b.Endpoints {
		at := at.key("endpoints").index(i)
		secure = secure || e.TLS || k.failed[at]
		if !k.good(at) {
			continue
		}
		if line, twice := lines[e.Address]; twice {
			k.reject(at, "is the same address as the endpoint at line %d", line)
			continue
		}
		lines[e.Address] = e.Pos.Line
	}

	tls := at.key("tls")
	if k.good(tls) && !secure {
		k.fail(tls, "no endpoint of this backend is https or wss: write one so or remove the section")
	}
	k.resolve(tls.key("ca"), &b.TLS.CA)
	if name := tls.key("server_name"); k.good(name) {
		var wrong string
		if b.TLS.ServerName, wrong = cleanName(b.TLS.ServerName); wrong != "" {
			k.rejectName(name, wrong)
		}
	}
}

// references finds the backend each route names, and makes one for each address
// or URL that a route gives in its place.
func (k *checker) references(at path) {
	c := k.config
	known := make(map[string]bool, len(c.Backends))
	var names []string
	for _, b := range c.Backends {
		known[b.Name] = true
		names = append(names, b.Name)
	}
	for i := range c.Routes {
		name, at := c.Routes[i].Backend, at.index(i).key("backend")
		switch {
		case !k.text(at, name) || known[name]:
		case strings.ContainsAny(name, ":/"):
			e, wrong := parseEndpoint(name)
			if wrong != "" {
				k.rejectName(at, wrong)
				continue
			}
			e.Pos = k.pos(at)
			b := k.newBackend(name)
			b.Pos, b.Endpoints = e.Pos, []Endpoint{e}
			c.Backends = append(c.Backends, b)
			known[name] = true
		default:
			k.fail(at, "unknown backend %s%s", k.quote(at), k.nearest(name, names))
		}
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
