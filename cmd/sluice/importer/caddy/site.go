package caddy

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/caddy/handle"
	"sluice/cmd/sluice/importer/mapping"
)

// A unit is one host of a site, with the paths and listeners that its addresses give it.
type unit struct {
	site    *caddyfile.Site
	host    string // "" is any
	path    string
	listens []importer.Listen
	toHTTPS bool            // it does nothing but to send clients to the same URL with https
	shut    []importer.Note // why it answers 403
}

func (u *unit) refuse(pos importer.Pos, text, why string) {
	u.shut = append(u.shut, importer.Note{Kind: importer.Refused, Pos: pos, Text: text, Why: why})
}

func (u *unit) secure() bool {
	return slices.ContainsFunc(u.listens, func(l importer.Listen) bool { return l.TLS })
}

// option returns the first argument of an option for all, or another text.
func (c *config) option(name, otherwise string) string {
	if d := caddyfile.Get(c.global, name); d != nil {
		return cmp.Or(d.Arg(0), otherwise)
	}
	return otherwise
}

// addSite reads the addresses of a site.
func (c *config) addSite(s *caddyfile.Site) error {
	var binds []string
	if d := caddyfile.Get(c.global, "default_bind"); d != nil {
		binds = d.Args
	}
	if found := caddyfile.All(s.Block, "bind"); len(found) > 0 {
		binds = nil
		for _, d := range found {
			binds = append(binds, d.Args...)
		}
	}
	if len(binds) == 0 {
		binds = []string{""}
	}
	for _, key := range s.Addresses {
		host, path, port, secure, err := c.address(key, s)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(c.units, func(u *unit) bool { return u.site == s && u.host == host && u.path == path })
		if at < 0 {
			if at = len(c.units); at == importer.MaxRoutes {
				return key.Pos.Errorf("more than %d hosts: import the sites one by one", importer.MaxRoutes)
			}
			c.units = append(c.units, &unit{site: s, host: host, path: path})
		}
		for _, bind := range binds {
			address, ok := listenAddress(bind, port)
			if !ok {
				return key.Pos.Errorf("bind %s: not an address to listen on", bind)
			}
			if l := (importer.Listen{Address: address, TLS: secure}); !slices.Contains(c.units[at].listens, l) {
				c.units[at].listens = append(c.units[at].listens, l)
			}
		}
	}
	return nil
}

// listenAddress writes an address to listen on.
func listenAddress(bind, port string) (string, bool) {
	if socket, ok := strings.CutPrefix(bind, "unix/"); ok {
		socket, _, _ = strings.Cut(socket, "|")
		return "unix:" + socket, true
	}
	bind = strings.TrimPrefix(bind, "tcp/")
	if bind == "" || bind == "0.0.0.0" || bind == "[::]" || bind == "::" {
		return ":" + port, true
	}
	_, err := netip.ParseAddr(strings.Trim(bind, "[]"))
	return net.JoinHostPort(strings.Trim(bind, "[]"), port), err == nil
}

// address reads one address of a site.
func (c *config) address(key caddyfile.Address, s *caddyfile.Site) (host, path, port string, secure bool, _ error) {
	scheme, rest, ok := strings.Cut(key.Text, "://")
	if !ok {
		scheme, rest = "", key.Text
	}
	rest, path, hasPath := strings.Cut(rest, "/")
	if hasPath {
		path = "/" + path
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		host, port = strings.Trim(rest, "[]"), ""
	}
	host = strings.ToLower(host)
	_, notAddress := netip.ParseAddr(host)
	if _, err := strconv.ParseUint(cmp.Or(port, "1"), 10, 16); err != nil || host != "" && notAddress != nil && !caddyfile.IsHost(host) || !slices.Contains([]string{"", "http", "https"}, scheme) {
		return "", "", "", false, key.Pos.Errorf("%s: not the address of a site, as in example.com, :8080 or http://example.com", key.Text)
	}
	plainPort, securePort := c.option("http_port", "80"), c.option("https_port", "443")
	automatic := c.option("auto_https", "on") != "off"
	switch {
	case scheme == "http" || port == plainPort:
		secure = false
	case scheme == "https" || port == securePort || caddyfile.Get(s.Block, "tls") != nil:
		secure = true
	default:
		secure = host != "" && automatic || port == ""
	}
	if port == "" {
		if port = securePort; !secure {
			port = plainPort
		}
	}
	return host, path, port, secure, nil
}

// secure reports whether some listeners have TLS, and whether some have not.
func (c *config) secure() (secure, plain bool) {
	for _, l := range c.main {
		secure, plain = secure || l.TLS, plain || !l.TLS
	}
	return secure, plain
}

// listeners chooses the listeners: those that most units share. With sluice a route holds on every
// listener, so a unit that has others is left out or, if it has some of these too, answers 403: without a
// route its requests there would go to a site with a wider host.
func (c *config) listeners() {
	anySecure := slices.ContainsFunc(c.units, (*unit).secure)
	for _, u := range c.units {
		u.toHTTPS = anySecure && !u.secure() && sendsToHTTPS(u)
	}
	var sites [][]importer.Listen
	for _, u := range c.units {
		if !u.toHTTPS {
			sites = append(sites, u.listens)
		}
	}
	if c.main = importer.SharedListens(sites); c.main == nil { // nothing but redirects
		c.main = c.units[0].listens
	}
	for _, l := range c.main {
		var keys mapping.Map
		if l.TLS {
			keys.Set(true, "tls")
		}
		c.plan.Listen(l.Address, keys)
	}
	secure, _ := c.secure()
	automatic := c.option("auto_https", "on")
	var redirects []string
	c.units = slices.DeleteFunc(c.units, func(u *unit) bool {
		elsewhere := !slices.ContainsFunc(u.listens, func(l importer.Listen) bool { return slices.Contains(c.main, l) })
		if u.toHTTPS && secure && elsewhere {
			for _, l := range u.listens {
				redirects = append(redirects, l.Address)
			}
			return true
		}
		if !importer.Covers(u.listens, c.main) {
			why := u.name() + " listens on " + u.at() + " alone, and with sluice a route holds on every listener: give it a file and a process of its own"
			if elsewhere {
				c.plan.Note(importer.Lost, u.site.Pos, u.site.Text, why)
				return true
			}
			u.refuse(u.site.Pos, u.site.Text, why)
		}
		for _, l := range u.listens {
			if l.TLS && u.host != "" && automatic != "off" && automatic != "disable_redirects" {
				if bind, _, err := net.SplitHostPort(l.Address); err == nil {
					address, _ := listenAddress(bind, c.option("http_port", "80"))
					redirects = append(redirects, address)
				}
			}
		}
		return false
	})
	for _, address := range redirects {
		c.plan.Listen(address, mapping.Map{{Key: "redirect_https", Value: true}})
	}
	for _, u := range c.units {
		for _, l := range u.listens {
			if len(u.shut) == 0 && !slices.Contains(c.main, l) {
				c.plan.Note(importer.Lost, u.site.Pos, u.name(), "it listens on "+l.Address+" too, where the other sites are not")
			}
		}
	}
}

func (u *unit) name() string { return cmp.Or(u.host, "the site for any host") }

func (u *unit) at() string {
	var addresses []string
	for _, l := range u.listens {
		addresses = append(addresses, l.Address)
	}
	return strings.Join(addresses, ", ")
}

// sendsToHTTPS reports whether a unit without TLS redirects everything to the same URL with https.
func sendsToHTTPS(u *unit) bool {
	var does []*caddyfile.Directive
	for _, d := range u.site.Block {
		if d.Name != "log" && d.Name != "bind" {
			does = append(does, d)
		}
	}
	if len(does) != 1 || does[0].Name != "redir" {
		return false
	}
	args := does[0].Args
	if len(args) > 0 && args[0] == "*" {
		args = args[1:]
	}
	if len(args) == 0 || len(args) > 2 {
		return false
	}
	rest, ok := strings.CutPrefix(args[0], "https://")
	host, keeps := strings.CutSuffix(rest, "{uri}")
	return ok && keeps && (host == "{host}" || host == "{http.request.host}" || u.host != "" && host == u.host)
}

// rules makes the rules of all units: those of exact hosts first, then wildcards, the longest first, then
// those for any host. Of one host, the longest path comes first.
func (c *config) rules(file *caddyfile.File) error {
	secure, plain := c.secure()
	sites := handle.New(c.plan, file, c.dir, secure, plain)
	rank := func(u *unit) int {
		switch {
		case u.host == "":
			return 1 << 20
		case strings.HasPrefix(u.host, "*"):
			return 1<<19 - len(u.host)
		}
		return 0
	}
	slices.SortStableFunc(c.units, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(len(b.path), len(a.path)))
	})
	done := map[*unit]bool{}
	for _, u := range c.units {
		if done[u] {
			continue
		}
		hosts, within := []string{u.host}, c.within(u)
		if rank(u) == 0 && !handle.NamesHost(u.site.Text) {
			for _, other := range c.units {
				if other != u && other.site == u.site && other.path == u.path && rank(other) == 0 && slices.Equal(other.shut, u.shut) {
					done[other] = true
					hosts, within = append(hosts, other.host), within || c.within(other)
				}
			}
		}
		if u.host == "" {
			hosts = nil
		}
		if err := sites.Rules(handle.Site{Site: u.site, Hosts: hosts, Path: u.path, Within: within, Shut: u.shut}); err != nil {
			return err
		}
	}
	return nil
}

// within reports whether another site would take what this one does not answer.
func (c *config) within(u *unit) bool {
	return slices.ContainsFunc(c.units, func(other *unit) bool {
		return other != u && importer.HostContains(other.host, u.host)
	})
}

func isNetwork(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(text)
	return err == nil
}
