package nginx

import (
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/nginx/syntax"
	"sluice/cmd/sluice/importer/nginx/vocabulary"
)

// A server is one server block.
type server struct {
	d        *syntax.Directive
	scope    *syntax.Scope
	names    []string
	listens  []listen
	redirect *syntax.Directive // it answers everything with a redirect to https, which this is
	plainTo  *syntax.Directive // the same for what comes without TLS
	isolated string            // why it answers 403: no listener of sluice can be its own
}

// A listen is one address of a server.
type listen struct {
	address    string
	tls, proxy bool
	first      bool // default_server
}

// addServer reads what a server listens on and which names it has.
func (c *config) addServer(d *syntax.Directive) error {
	s := &server{d: d, scope: &syntax.Scope{Block: d.Block, Up: c.http}}
	for _, names := range s.scope.Own("server_name") {
		for _, name := range names.Args {
			s.names = append(s.names, strings.ToLower(name))
		}
	}
	for _, l := range s.scope.Own("listen") {
		address, ok := address(l.Arg(0))
		if !ok {
			return l.Pos.Errorf("listen %s: not an address with one port, such as 8080 or 10.0.0.1:8080", l.Arg(0))
		}
		has := func(option string) bool { return slices.Contains(l.Args, option) }
		if has("quic") {
			c.lost(l, "sluice does not speak HTTP/3")
			continue
		}
		s.listens = append(s.listens, listen{address, has("ssl") || s.scope.Value("ssl") == "on", has("proxy_protocol"), has("default_server") || has("default")})
	}
	if len(s.listens) == 0 {
		s.listens = []listen{{address: "0.0.0.0:80"}}
	}
	s.redirect = s.toHTTPS()
	if s.redirect == nil {
		s.plainTo = plainRedirect(s.scope)
	}
	c.blocks = append(c.blocks, s)
	return nil
}

// toHTTPS returns the directive by which a server without TLS sends all requests to the same host with
// https, or nil.
func (s *server) toHTTPS() *syntax.Directive {
	if slices.ContainsFunc(s.listens, func(l listen) bool { return l.tls }) {
		return nil
	}
	if d := s.scope.Get("return"); d != nil && len(s.scope.Own("return")) > 0 && s.sameHost(d) {
		return d
	}
	for _, d := range s.scope.Own("rewrite") {
		if target := d.Arg(1); d.Arg(0) == "^" || d.Arg(0) == "^(.*)$" || d.Arg(0) == "^(.*)" || d.Arg(0) == "^/(.*)$" || d.Arg(0) == "^/(.*)" || d.Arg(0) == ".*" {
			if s.sameHost(&syntax.Directive{Args: []string{"301", strings.NewReplacer("$1", "$request_uri", "/$1", "$request_uri").Replace(target)}}) {
				return d
			}
		}
	}
	// As certbot writes it: if ($host = name) { return 301 https://$host$request_uri; }, for each name,
	// and 404 for the rest.
	var last *syntax.Directive
	hosts := map[string]bool{}
	for _, d := range s.scope.Own("if") {
		if host, ok := ifHost(d); ok && len(d.Block) == 1 && d.Block[0].Name == "return" && s.sameHost(d.Block[0]) {
			hosts[host] = true
			last = d
		}
	}
	if last != nil && !slices.ContainsFunc(s.names, func(n string) bool { return !hosts[n] }) {
		return last
	}
	if locations := s.scope.Own("location"); len(locations) > 0 {
		var root *syntax.Directive
		for _, l := range locations {
			switch {
			case l.Arg(0) == "/" && len(l.Args) == 1:
				root = l
			case !strings.Contains(strings.Join(l.Args, " "), "/.well-known/"):
				return nil
			}
		}
		if root != nil {
			for _, d := range root.Block {
				if d.Name == "return" && s.sameHost(d) {
					return d
				}
			}
		}
	}
	return nil
}

// sameHost reports whether a return leads to the same URL with https.
func (s *server) sameHost(d *syntax.Directive) bool {
	if !slices.Contains([]string{"301", "302", "303", "307", "308"}, d.Arg(0)) {
		return false
	}
	rest, ok := strings.CutPrefix(d.Arg(1), "https://")
	host, found := strings.CutSuffix(rest, "$request_uri")
	host = strings.Trim(host, "{}")
	return ok && found && (host == "$host" || host == "$http_host" || host == "$server_name" || host == "${host}" || len(s.names) == 1 && host == s.names[0])
}

// ifHost returns the host that if ($host = name) asks for.
func ifHost(d *syntax.Directive) (host string, ok bool) {
	condition := strings.Fields(strings.Trim(strings.Join(d.Args, " "), "() "))
	if len(condition) == 3 && (condition[0] == "$host" || condition[0] == "$http_host") && condition[1] == "=" {
		return strings.ToLower(condition[2]), true
	}
	return "", false
}

// plainRedirect returns the if by which requests without TLS are sent to https.
func plainRedirect(s *syntax.Scope) *syntax.Directive {
	for _, d := range s.Own("if") {
		condition := strings.Join(strings.Fields(strings.Trim(strings.Join(d.Args, " "), "() ")), " ")
		if !slices.Contains([]string{"$scheme = http", `$scheme != https`, "$https =", "$ssl_protocol =", "$https != on"}, strings.TrimSpace(condition)) || len(d.Block) != 1 {
			continue
		}
		if r := d.Block[0]; r.Name == "return" && strings.HasPrefix(r.Arg(1), "https://") && strings.HasSuffix(r.Arg(1), "$request_uri") {
			return d
		}
	}
	return nil
}

// content returns the addresses at which the server does more than to send to https.
func (s *server) content() (addresses []string) {
	for _, l := range s.listens {
		if s.redirect == nil && (l.tls || s.plainTo == nil) && !slices.Contains(addresses, l.address) {
			addresses = append(addresses, l.address)
		}
	}
	slices.Sort(addresses)
	return addresses
}

func (s *server) listensOn(address string) (listen, bool) {
	i := slices.IndexFunc(s.listens, func(l listen) bool { return l.address == address })
	if i < 0 {
		return listen{}, false
	}
	return s.listens[i], true
}

// place chooses the listeners and makes the rules. In nginx each server has listeners of its own; with
// sluice a route holds on every listener. So the listeners are those that most servers share, and a
// server that has others answers 403.
func (c *config) place() error {
	main := c.mainListeners()
	shadowed := c.shadowed(main)
	var content []*server
	for _, s := range c.blocks {
		mine := s.content()
		if len(mine) == 0 {
			continue
		}
		switch content = append(content, s); {
		case shadowed != "":
			s.isolated = shadowed
		case !containsAll(mine, main):
			s.isolated = "it listens on " + strings.Join(mine, ", ") + " alone, and with sluice a route holds on every listener: give it a file and a process of its own"
		}
	}
	redirected := c.listeners(main)
	if c.tls {
		c.certificates(main)
	}
	for _, s := range c.blocks {
		if s.redirect != nil && len(redirected) == 0 {
			content = append(content, s) // there is no TLS here to redirect to
		}
	}
	return c.rules(content, main)
}

// shadowed returns why no server may be carried: one listens on an address of its own within one of the main
// listeners, which so has fewer connections in nginx than with sluice.
func (c *config) shadowed(main []string) (why string) {
	for _, s := range c.blocks {
		for _, l := range s.listens {
			for _, address := range main {
				if importer.Within(l.address, address) && !slices.Contains(main, l.address) {
					return "nginx gives the connections to " + l.address + " to other servers than those to " + address + ", and with sluice a route holds on every listener: let all servers listen alike"
				}
			}
		}
	}
	return ""
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// mainListeners returns the addresses that most servers share.
func (c *config) mainListeners() (best []string) {
	score := func(set []string) (n int, tls bool) {
		for _, s := range c.blocks {
			if mine := s.content(); len(mine) > 0 && containsAll(mine, set) {
				n++
				l, _ := s.listensOn(set[0])
				tls = tls || l.tls
			}
		}
		return n, tls
	}
	most, secure := 0, false
	for _, s := range c.blocks {
		set := s.content()
		if len(set) == 0 {
			continue
		}
		if n, tls := score(set); n > most || n == most && (tls && !secure || tls == secure && len(set) > len(best)) {
			best, most, secure = set, n, tls
		}
	}
	if best == nil { // nothing but redirects
		for _, l := range c.blocks[0].listens {
			best = append(best, l.address)
		}
	}
	return best
}

// listeners adds the listeners and returns the addresses of those that redirect to https.
func (c *config) listeners(main []string) (redirected []string) {
	add := func(address string, keys mapping.Map) {
		host, port, _ := strings.Cut(address, "]:")
		if host == "[::" {
			address = ":" + port
			c.plan.Listeners = slices.DeleteFunc(c.plan.Listeners, func(l importer.Listener) bool { return l.Address == "0.0.0.0:"+port })
		}
		if rest, ok := strings.CutPrefix(address, "0.0.0.0"); ok && slices.ContainsFunc(c.plan.Listeners, func(l importer.Listener) bool { return l.Address == rest }) {
			return
		}
		c.plan.Listeners = append(c.plan.Listeners, importer.Listener{Address: address, Keys: keys})
	}
	var plain []string
	for _, address := range main {
		var keys mapping.Map
		for _, s := range c.blocks {
			l, ok := s.listensOn(address)
			if ok && l.tls {
				c.tls = true
				keys.Set(true, "tls")
			}
			if ok && l.proxy {
				keys.Set(true, "proxy_protocol")
				c.trustSomebody(s.d)
			}
		}
		c.clientLimits(c.listenerKeys(&keys, address), address, &keys)
		add(address, keys)
	}
	c.addresses = len(main)
	for _, s := range c.blocks {
		for _, l := range s.listens {
			switch {
			case slices.Contains(main, l.address):
			case (s.redirect != nil || s.plainTo != nil && !l.tls) && c.tls:
				if !slices.Contains(plain, l.address) {
					plain = append(plain, l.address)
				}
			case s.isolated == "" && !slices.Contains(plain, l.address):
				c.lost(s.d, "it listens on "+l.address+" too, on which sluice does not listen: other servers must not be there")
			}
		}
	}
	for _, address := range plain {
		var keys mapping.Map
		keys.Set(true, "redirect_https")
		c.listenerKeys(&keys, address)
		add(address, keys)
		redirected = append(redirected, address)
	}
	return redirected
}

// trustSomebody makes sure that there is somebody from whom PROXY headers come.
func (c *config) trustSomebody(d *syntax.Directive) {
	if c.plan.Keys.Get("trusted_proxies") == nil {
		c.plan.Keys.Add("127.0.0.1", "trusted_proxies")
		c.lost(d, "nginx takes PROXY headers of everybody; sluice refuses connections of those not in 'trusted_proxies': list the load balancers there")
	}
}

// listenerKeys sets what the default server of an address says about its connections, and returns that.
func (c *config) listenerKeys(keys *mapping.Map, address string) (first *server) {
	for _, s := range c.blocks {
		if l, ok := s.listensOn(address); ok && (first == nil || l.first) {
			first = s
		}
	}
	if t, ok := vocabulary.Duration(first.scope.Value("client_header_timeout")); ok && t > 0 {
		keys.Set(mapping.Duration(t, 1e6, 600e9), "timeouts", "header")
	}
	if t, ok := vocabulary.Duration(first.scope.Value("keepalive_timeout")); ok && t > 0 {
		keys.Set(mapping.Duration(t, 1e6, 24*3600e9), "timeouts", "idle")
	}
	return first
}
