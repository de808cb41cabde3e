package traefik

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/match"
	"sluice/cmd/sluice/importer/traefik/document"
)

// An entryPoint is an address to listen on.
type entryPoint struct {
	name, address string
	n             *document.Node
	redirects     bool // it sends everything to https
	internal      bool // it is for Traefik's own interface, and for routers that name it
}

// A router is one of HTTP.
type router struct {
	name        string
	n           *document.Node
	match       *match.Matcher
	priority    int
	tls         bool
	internal    bool // all its entry points are
	listens     []importer.Listen
	middlewares []*document.Node // their names
	options     []string         // of TLS, their names
	shut        []importer.Note  // why it answers 403
	unsure      bool             // it may leave some requests to the routers behind it
}

func (r *router) refuse(n *document.Node, why string) {
	r.shut = append(r.shut, importer.Note{Kind: importer.Refused, Pos: n.Pos, Text: n.Text(), Why: why})
}

// doubt refuses what a router takes, and maybe leaves to others.
func (r *router) doubt(n *document.Node, why string) {
	r.refuse(n, why)
	r.unsure = true
}

// entryPoints reads what Traefik listens on. Without its own file it is what most have.
func (c *config) entryPoints() error {
	var err error
	c.root.Get("entryPoints").Each(func(name string, n *document.Node) {
		address, protocol, _ := strings.Cut(n.String("address"), "/")
		if strings.EqualFold(protocol, "udp") {
			return
		}
		host, port, bad := net.SplitHostPort(address)
		if _, notPort := strconv.ParseUint(port, 10, 16); bad != nil || notPort != nil {
			err = cmp.Or(err, n.Pos.Errorf("entry point %s: %q is not an address to listen on", name, n.String("address")))
			return
		}
		if host == "0.0.0.0" || host == "::" {
			host = ""
		}
		e := &entryPoint{name: name, address: net.JoinHostPort(host, port), n: n, internal: strings.EqualFold(name, internalName)}
		if host == "" {
			e.address = ":" + port
		}
		if to := n.Get("http", "redirections", "entryPoint"); to != nil {
			e.redirects = cmp.Or(to.String("scheme"), "https") == "https"
		}
		c.entries = append(c.entries, e)
	})
	if !slices.ContainsFunc(c.entries, func(e *entryPoint) bool { return !e.internal }) {
		c.entries = append(c.entries, &entryPoint{name: "web", address: ":80"}, &entryPoint{name: "websecure", address: ":443"})
	}
	if c.entry(internalName) == nil {
		c.entries = append(c.entries, &entryPoint{name: internalName, address: ":8080", internal: true})
	}
	return err
}

// internalName is that of the entry point for Traefik's own interface.
const internalName = "traefik"

func (c *config) entry(name string) *entryPoint {
	i := slices.IndexFunc(c.entries, func(e *entryPoint) bool { return strings.EqualFold(e.name, name) })
	if i < 0 {
		return nil
	}
	return c.entries[i]
}

// routerKeys are what is known of a router.
var routerKeys = []string{"entrypoints", "middlewares", "service", "rule", "rulesyntax", "priority", "tls", "observability"}

// readRouters reads the routers, the one with the highest priority first.
func (c *config) readRouters() (err error) {
	c.root.Get("http", "routers").Each(func(name string, n *document.Node) {
		if err != nil {
			return
		}
		r := &router{name: name, n: n, tls: n.Get("tls") != nil && n.String("tls") != "false"}
		rule := n.Get("rule")
		if rule == nil || rule.Value == "" {
			err = n.Pos.Errorf("router %s has no rule", name)
			return
		}
		if r.match, err = readRule(rule); err != nil {
			return
		}
		r.priority = len(rule.Value)
		if priority := n.Get("priority"); priority != nil {
			p, ok := priority.Int()
			if !ok {
				err = priority.Pos.Errorf("router %s: priority %q is no number", name, priority.Value)
				return
			}
			r.priority = cmp.Or(p, r.priority)
		}
		n.Each(func(key string, value *document.Node) {
			if !slices.Contains(routerKeys, strings.ToLower(key)) {
				r.doubt(value, "sluice does not know "+key)
			}
		})
		if err = c.listensOf(r); err != nil {
			return
		}
		if len(r.listens) == 0 {
			c.lost(n, "router "+name+" is never asked: its entry points send everything to https")
			return
		}
		c.routers = append(c.routers, r)
	})
	if len(c.routers) > importer.MaxRoutes {
		return errTooMuch
	}
	slices.SortStableFunc(c.routers, func(a, b *router) int { return cmp.Compare(b.priority, a.priority) })
	return err
}

// entriesOf returns the entry points of a router: those that it names, or those for all.
func (c *config) entriesOf(r *router) (entries []*entryPoint, _ error) {
	for _, item := range r.n.Get("entryPoints").Items() {
		for name := range strings.SplitSeq(item.Value, ",") {
			e := c.entry(strings.TrimSpace(name))
			if e == nil {
				return nil, item.Pos.Errorf("router %s: there is no entry point %s: name the file that has it too", r.name, name)
			}
			entries = append(entries, e)
		}
	}
	if entries != nil {
		return entries, nil
	}
	for _, e := range c.entries {
		if e.n.Bool("asDefault") {
			entries = append(entries, e)
		}
	}
	if entries == nil {
		entries = slices.DeleteFunc(slices.Clone(c.entries), func(e *entryPoint) bool { return e.internal })
	}
	return entries, nil
}

// listensOf reads where a router listens, and what it gets by that: middlewares, and options of TLS if it has
// none of its own. Where everything is sent to https nothing comes to it.
func (c *config) listensOf(r *router) error {
	entries, err := c.entriesOf(r)
	if err != nil {
		return err
	}
	r.internal = !slices.ContainsFunc(entries, func(e *entryPoint) bool { return !e.internal })
	own := r.tls
	for _, e := range entries {
		if e.redirects {
			continue
		}
		options := e.n.Get("http", "tls")
		if own {
			options = r.n.Get("tls")
		}
		tls := own || options != nil
		r.listens = append(r.listens, importer.Listen{Address: e.address, TLS: tls})
		if name := cmp.Or(local(options.String("options")), "default"); tls && !slices.Contains(r.options, name) {
			r.options = append(r.options, name)
		}
		for _, m := range e.n.Get("http", "middlewares").Items() {
			if !slices.Contains(r.middlewares, m) {
				r.middlewares = append(r.middlewares, m)
			}
		}
		r.tls = r.tls || tls
	}
	r.middlewares = append(r.middlewares, r.n.Get("middlewares").Items()...)
	return nil
}

// sendsToHTTPS reports whether a router without TLS does nothing but to send clients to https.
func (c *config) sendsToHTTPS(r *router) bool {
	if r.tls || len(r.middlewares) == 0 {
		return false
	}
	m := c.root.Get("http", "middlewares", local(r.middlewares[0].Value)).Get("redirectScheme")
	return m != nil && m.String("scheme") == "https"
}

// listeners chooses the listeners: those that most routers share. With sluice a route holds on every
// listener, so a router that has others is left out or, if it has some of these too, answers 403: without a
// route its requests there would go to the next router.
func (c *config) listeners() {
	secure := slices.ContainsFunc(c.routers, func(r *router) bool { return r.tls })
	redirects := func(r *router) bool { return secure && c.sendsToHTTPS(r) }
	var sites [][]importer.Listen
	for _, r := range c.routers {
		if !redirects(r) && !r.internal {
			sites = append(sites, r.listens)
		}
	}
	c.main = importer.SharedListens(sites)
	for _, l := range c.main {
		var keys mapping.Map
		if l.TLS {
			keys.Set(true, "tls")
		}
		c.listenerKeys(&keys, l)
		c.plan.Listen(l.Address, keys)
	}
	var plain []string
	c.routers = slices.DeleteFunc(c.routers, func(r *router) bool {
		elsewhere := !slices.ContainsFunc(r.listens, func(l importer.Listen) bool { return slices.Contains(c.main, l) })
		if elsewhere && redirects(r) {
			for _, l := range r.listens {
				plain = append(plain, l.Address)
			}
			return true
		}
		if importer.Covers(r.listens, c.main) {
			for _, l := range r.listens {
				if !slices.Contains(c.main, l) {
					c.plan.Note(importer.Lost, r.n.Pos, "router "+r.name, "it listens on "+l.Address+" too, where the other routers are not")
				}
			}
			return false
		}
		var at []string
		for _, l := range r.listens {
			at = append(at, l.Address)
		}
		why := "router " + r.name + " listens on " + strings.Join(at, ", ") + " alone, and with sluice a route holds on every listener: give it a file and a process of its own"
		if !elsewhere {
			r.doubt(r.n, why)
			return false
		}
		c.lost(r.n, why)
		return true
	})
	for _, e := range c.entries {
		if e.redirects {
			plain = append(plain, e.address)
		}
	}
	if c.secure() {
		for _, address := range plain {
			c.plan.Listen(address, mapping.Map{{Key: "redirect_https", Value: true}})
		}
	}
}

// secure reports whether all listeners have TLS.
func (c *config) secure() bool {
	return !slices.ContainsFunc(c.main, func(l importer.Listen) bool { return !l.TLS })
}

// plain reports whether no listener has TLS.
func (c *config) plain() bool {
	return !slices.ContainsFunc(c.main, func(l importer.Listen) bool { return l.TLS })
}

// listenerKeys carries the options of an entry point.
func (c *config) listenerKeys(keys *mapping.Map, l importer.Listen) {
	i := slices.IndexFunc(c.entries, func(e *entryPoint) bool { return e.address == l.Address })
	n := c.entries[i].n
	if p := n.Get("proxyProtocol"); p != nil {
		keys.Set(true, "proxy_protocol")
		if c.trust(p); c.plan.Keys.Get("trusted_proxies") == nil {
			c.plan.Keys.Add("127.0.0.1", "trusted_proxies")
		}
	}
	if f := n.Get("forwardedHeaders"); f != nil {
		c.trust(f)
	}
	if t, ok := duration(n.String("transport", "respondingTimeouts", "readTimeout")); ok {
		keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "timeouts", "header")
	}
	if t, ok := duration(n.String("transport", "respondingTimeouts", "idleTimeout")); ok {
		keys.Set(mapping.Duration(t, time.Millisecond, 24*time.Hour), "timeouts", "idle")
	}
	if max, ok := n.Int("http2", "maxConcurrentStreams"); ok && l.TLS && max > 0 {
		keys.Set(min(max, 10_000), "max_streams")
	}
}

// trust carries the proxies in front.
func (c *config) trust(n *document.Node) {
	for _, network := range n.Strings("trustedIPs") {
		_, notAddress := netip.ParseAddr(network)
		_, notNetwork := netip.ParsePrefix(network)
		if notAddress != nil && notNetwork != nil {
			c.lost(n, "not an address or a network: "+network)
			continue
		}
		c.plan.Keys.Add(network, "trusted_proxies")
	}
	if n.Bool("insecure") {
		c.lost(n, "Traefik believes everybody here; list the proxies in front in 'trusted_proxies'")
	}
}

// duration reads a time: 500ms, 1h, or a number of seconds.
func duration(text string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second, n > 0
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d > 0
}
