package nginx

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/nginx/syntax"
	"sluice/cmd/sluice/importer/nginx/vocabulary"
)

// clientLimits carries limit_req and limit_conn over to a listener, if all its servers have the same
// ones for the whole server, and they count by the client's address.
func (c *config) clientLimits(first *server, address string, keys *mapping.Map) {
	for _, name := range []string{"limit_req", "limit_conn"} {
		limits := first.scope.All(name)
		if len(limits) != 1 {
			continue
		}
		same := true
		all := map[*syntax.Directive]bool{}
		for _, s := range c.blocks {
			if _, ok := s.listensOn(address); !ok {
				continue
			}
			mine := s.scope.All(name)
			same = same && len(mine) == 1 && slices.Equal(mine[0].Args, limits[0].Args) && !hasInLocation(s.d, name)
			for _, d := range mine {
				all[d] = true
			}
		}
		if same && c.limit(name, limits[0], keys) {
			for d := range all {
				c.carried[d]++
			}
		}
	}
}

// hasInLocation reports whether a location of a server has a directive of a name.
func hasInLocation(d *syntax.Directive, name string) bool {
	return slices.ContainsFunc(d.Block, func(l *syntax.Directive) bool {
		return l.Name == "location" && (slices.ContainsFunc(l.Block, func(inner *syntax.Directive) bool { return inner.Name == name }) || hasInLocation(l, name))
	})
}

var rate = regexp.MustCompile(`^rate=([0-9]{1,6})r/([sm])$`)

// limit writes one limit; false if there is no counterpart.
func (c *config) limit(name string, d *syntax.Directive, keys *mapping.Map) bool {
	var zone *syntax.Directive
	options := map[string]string{}
	for _, arg := range d.Args {
		key, value, _ := strings.Cut(arg, "=")
		options[key] = value
	}
	wanted := options["zone"]
	if name == "limit_conn" {
		wanted = d.Arg(0)
	}
	for _, z := range c.http.Own(name + "_zone") {
		if slices.ContainsFunc(z.Args, func(arg string) bool { return strings.HasPrefix(arg, "zone="+wanted+":") }) {
			zone = z
		}
	}
	if zone == nil || wanted == "" || zone.Arg(0) != "$binary_remote_addr" && zone.Arg(0) != "$remote_addr" {
		return false
	}
	if name == "limit_conn" {
		n, err := strconv.Atoi(d.Arg(1))
		if err != nil || n < 1 || n > 1_000_000 {
			return false
		}
		keys.Set(n, "connections_per_ip")
		if keys.Get("tls") == true {
			keys.Set(false, "http2") // nginx counts each stream as a connection
		}
		return true
	}
	for _, arg := range zone.Args {
		m := rate.FindStringSubmatch(arg)
		if m == nil {
			continue
		}
		burst := 1
		if _, nodelay := options["nodelay"]; nodelay {
			if n, err := strconv.Atoi(options["burst"]); err == nil && n > 0 && n < 1_000_000 {
				burst += n
			}
		}
		keys.Set(mapping.Amount(m[1]+"/"+m[2]), "request_rate")
		keys.Set(burst, "request_burst")
		return true
	}
	return false
}

// restrict adds notes for all that holds in a scope and cannot be carried, but for the directives to skip. Of
// what keeps clients from something it refuses the rule.
func (h *handler) restrict(r *importer.Rule, s *syntax.Scope, skip func(name string) bool) {
	for _, d := range s.Effective() {
		refuse := func(why string) { r.Note(importer.Refused, d.Pos, d.Text, why) }
		switch {
		case skip != nil && skip(d.Name):
		case d.Name == "allow" || d.Name == "deny":
		case d.Name == "auth_request" && d.Arg(0) == "off":
		case d.Name == "auth_basic" && d.Arg(0) != "off":
			refuse("sluice does not ask for passwords")
		case d.Name == "limit_req" || d.Name == "limit_conn":
			if h.config.carried[d] < h.config.addresses {
				refuse("sluice bounds the requests and connections of a client for a whole listener: 'request_rate' and 'connections_per_ip'")
			}
		case d.Name == "satisfy" && d.Arg(0) == "any":
			refuse("sluice does not know the conditions")
		case d.Name == "if" && d != h.server.plainTo && !slices.Contains(h.passed, d):
			refuse("sluice has no conditions like this")
		case vocabulary.Known[d.Name]:
		case vocabulary.Harmless[d.Name] && (d.Arg(0) == "off" || d.Name == "proxy_redirect" && d.Arg(0) == "default"):
		case vocabulary.Harmless[d.Name]:
			r.Note(importer.Lost, d.Pos, d.Text, "sluice has nothing like it")
		case d.Name == "fastcgi_pass" || d.Name == "uwsgi_pass" || d.Name == "scgi_pass":
			refuse("sluice speaks HTTP to backends: put a server that does too, such as PHP-FPM's nginx, behind it")
		default:
			refuse("sluice does not know " + d.Name)
		}
	}
}
