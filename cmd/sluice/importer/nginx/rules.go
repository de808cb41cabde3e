package nginx

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/expression"
	"sluice/cmd/sluice/importer/nginx/syntax"
	"sluice/cmd/sluice/importer/nginx/vocabulary"
)

// rules makes the rules of all servers: those of exact names first, then wildcards, the longest first,
// then names that have no counterpart, then the default server.
func (c *config) rules(servers []*server, main []string) error {
	slices.SortStableFunc(servers, func(a, b *server) int { return cmp.Compare(min(len(a.isolated), 1), min(len(b.isolated), 1)) })
	fallback, implicit := c.defaultServer(servers, main)
	var wildcards []string
	owner := map[string]*server{}
	for _, s := range servers {
		for _, name := range s.wildcards() {
			if owner[name] == nil {
				owner[name] = s
				wildcards = append(wildcards, name)
			}
		}
	}
	slices.SortStableFunc(wildcards, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	shut := slices.ContainsFunc(servers, func(s *server) bool { return s != fallback && s.shutsUnnamed() })
	for _, s := range servers {
		names := slices.DeleteFunc(s.exact(), func(name string) bool {
			return s == fallback && s.isolated == "" && !shut && !slices.ContainsFunc(wildcards, func(w string) bool { return importer.HostContains(w, name) })
		})
		if ownHost.MatchString(s.d.Text) {
			for _, name := range names {
				c.emit(s, []string{name})
			}
		} else if len(names) > 0 {
			c.emit(s, names)
		}
	}
	for _, name := range wildcards {
		c.emit(owner[name], []string{name})
	}
	for _, s := range servers {
		if s != fallback {
			c.noCounterpart(s)
		}
	}
	if fallback != nil {
		c.emit(fallback, nil)
		if names := strings.Join(fallback.names, " "); implicit && names != "" && names != "_" {
			c.plan.Note(importer.Remark, fallback.d.Pos, "server_name "+names, "nginx's first server takes all hosts that no other one has, so its routes have no 'host'")
		}
	}
	return nil
}

// ownHost matches a server that sends clients to the host they asked for.
var ownHost = regexp.MustCompile(`(?:return|rewrite)\s[^;]*\$\{?(?:http_)?(?:host|server_name)`)

// defaultServer returns the server for hosts that none has, and whether that is so only because it is
// the first one.
func (c *config) defaultServer(servers []*server, main []string) (fallback *server, implicit bool) {
	for _, address := range main {
		var here *server
		chosen := false
		for _, s := range c.blocks {
			if l, ok := s.listensOn(address); ok && slices.Contains(servers, s) && (here == nil || l.first && !chosen) {
				here, chosen = s, l.first
			}
		}
		switch {
		case here == nil:
		case fallback == nil:
			fallback, implicit = here, !chosen
		case fallback != here && here.isolated == "":
			fallback.isolated = cmp.Or(fallback.isolated, "it is the default server on one address and not on another, and with sluice a route holds on every listener")
		}
	}
	return fallback, implicit
}

// wildcards returns the names of a server that begin with *.
func (s *server) wildcards() (names []string) {
	for _, name := range s.names {
		rest, ok := strings.CutPrefix(strings.TrimPrefix(name, "*"), ".")
		if ok && hostName.MatchString(rest) {
			names = append(names, "*."+rest)
		}
	}
	return names
}

var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$|^\[[0-9a-f:.]+\]$`)

// exact returns the names of a server that stand for themselves.
func (s *server) exact() (names []string) {
	for _, name := range s.names {
		name = strings.TrimPrefix(name, ".")
		if host := strings.Trim(name, "[]"); hostName.MatchString(name) && !nobody.MatchString(name) && !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	return names
}

// nobody matches names that servers have which are to have none.
var nobody = regexp.MustCompile(`^[_!@#-]*$`)

// unnamed returns the names that have no counterpart, such as expressions and those with a * at the end. Their
// hosts cannot be told from those of the default server.
func (s *server) unnamed() (names []string) {
	return slices.DeleteFunc(slices.Clone(s.names), func(name string) bool {
		return nobody.MatchString(name) || hostName.MatchString(strings.TrimPrefix(strings.TrimPrefix(name, "*"), "."))
	})
}

// shutsUnnamed reports whether a server keeps clients from something under names that have no counterpart.
func (s *server) shutsUnnamed() bool {
	returns := s.scope.Own("return")
	return len(s.unnamed()) > 0 && (len(returns) == 0 || !redirects.MatchString(returns[0].Arg(0)))
}

// redirects matches the first argument of a return that leads elsewhere.
var redirects = regexp.MustCompile(`^(30[12378]$|https?://|\$)`)

// noCounterpart makes a rule for the names of a server that have no counterpart, and tells of one that has no name.
func (c *config) noCounterpart(s *server) {
	if len(s.exact())+len(s.wildcards())+len(s.unnamed()) == 0 {
		c.plan.Note(importer.Remark, s.d.Pos, firstLine(s.d.Text), "it has no name and is not the default server, so no request with a Host leads to it")
	}
	for _, name := range s.unnamed() {
		d := s.scope.Own("server_name")[0]
		if !s.shutsUnnamed() {
			c.lost(d, "the name "+name+" has no counterpart: its hosts get what the default server answers")
			continue
		}
		r := &importer.Rule{Pos: s.d.Pos, Unsure: true}
		r.Note(importer.Refused, d.Pos, d.Text, "the name "+name+" has no counterpart, so all hosts without a route of their own answer 403: name the hosts one by one")
		c.plan.Rules = append(c.plan.Rules, r)
	}
	if !s.shutsUnnamed() {
		return
	}
	first := len(c.plan.Rules)
	c.emit(s, nil)
	for _, r := range c.plan.Rules[first:] {
		d := s.scope.Own("server_name")[0]
		r.Note(importer.Refused, d.Pos, d.Text, "without its hosts this would be for those of other servers too")
		r.Unsure = true
	}
}

// emit makes the rules of a server for some hosts; nil is any. Behind a rule that refuses all of its requests come
// those that say what the server does.
func (c *config) emit(s *server, hosts []string) {
	add := func(r *importer.Rule) {
		r.Hosts = hosts
		c.plan.Rules = append(c.plan.Rules, r)
	}
	if s.isolated != "" {
		r := &importer.Rule{Pos: s.d.Pos, Unsure: true}
		r.Note(importer.Refused, s.d.Pos, s.d.Text, s.isolated)
		add(r)
	}
	if d := s.scope.Get("ssl_reject_handshake"); d != nil && d.Arg(0) == "on" {
		r := &importer.Rule{Pos: d.Pos, Guard: true, Action: importer.Action{Respond: &importer.Respond{Status: 403}}}
		r.Note(importer.Lost, d.Pos, d.Text, "sluice completes the TLS handshake, and answers 403")
		add(r)
		return
	}
	h := &handler{config: c, server: s, hosts: hosts, named: map[string]*location{}, fallbacks: map[*importer.Files]string{}}
	before, end := h.beforeLocations()
	for _, r := range before {
		add(r)
	}
	if end != nil && len(before) == 1 {
		return
	}
	for _, r := range h.locations() {
		if end != nil {
			r.Note(importer.Refused, end.Pos, end.Text, "a rewrite alone may lead past this")
		}
		add(r)
	}
}

// A location is one location block, or the server around them all.
type location struct {
	d      *syntax.Directive
	scope  *syntax.Scope
	paths  importer.Paths
	strong bool // ^~
	regex  string
	fold   bool // ~*
	turns  int  // how many try_files have led from one named location to the next

	exact, prefixes, regexes []*location // in it, the longest prefix first

	// Of a regular expression, once they are asked for.
	known, lower expression.Pattern // with every spelling that it matches, and with those in lower case alone
	rules        []*importer.Rule
}

// read reads the locations in the block of l.
func (h *handler) read(l *location) {
	for _, d := range l.scope.Own("location") {
		in := &location{d: d, scope: &syntax.Scope{Block: d.Block, Up: l.scope}}
		kind, text := modifier(d)
		switch {
		case kind == "~" || kind == "~*":
			in.regex, in.fold = text, kind == "~*"
			l.regexes = append(l.regexes, in)
		case strings.HasPrefix(text, "@"):
			h.named[text] = in
			continue
		case text != "" && !strings.HasPrefix(text, "/"):
			h.config.lost(d, "no path begins so")
			continue
		case kind == "=":
			in.paths = importer.Exactly(text)
			l.exact, h.exact = append(l.exact, in), append(h.exact, in)
		default:
			in.paths, in.strong = importer.Beginning(cmp.Or(text, "/")), kind == "^~"
			l.prefixes = append(l.prefixes, in)
		}
		h.read(in)
	}
	slices.SortStableFunc(l.prefixes, func(a, b *location) int { return cmp.Compare(len(b.paths.Text), len(a.paths.Text)) })
}

// modifier returns what stands before the text of a location, and the text.
func modifier(d *syntax.Directive) (kind, text string) {
	text = d.Arg(len(d.Args) - 1)
	if len(d.Args) > 1 {
		return d.Args[0], text
	}
	for _, kind := range []string{"=", "^~", "~*", "~"} { // location =/x
		if rest, ok := strings.CutPrefix(text, kind); ok {
			return kind, rest
		}
	}
	return "", text
}

// locations makes the rules of a server's locations in the order in which nginx looks.
func (h *handler) locations() (rules []*importer.Rule) {
	root := &location{d: h.server.d, scope: h.server.scope, paths: importer.Beginning("/")}
	h.read(root)
	rules = h.visit(root, nil)
	h.checkFallbacks(rules)
	// nginx adds a missing slash before it looks at expressions.
	return append(h.slashes, rules...)
}

// visit makes the rules of a location and of those in it: exact ones, then the longest prefix. For what has no
// longer one in it, the expressions in l and then those around it come first; those beside a ^~ do not.
func (h *handler) visit(l *location, around []*location) (rules []*importer.Rule) {
	regexes := slices.Concat(l.regexes, around)
	for _, in := range l.exact {
		rules = append(rules, h.rule(in)...)
	}
	for _, in := range l.prefixes {
		if in.strong {
			rules = append(rules, h.visit(in, around)...)
		} else {
			rules = append(rules, h.visit(in, regexes)...)
		}
		h.addSlash(in)
	}
	if slices.ContainsFunc(l.prefixes, func(in *location) bool { return in.paths == l.paths }) {
		return rules // which has all requests
	}
	own := h.rule(l)
	var aside []*importer.Rule
	for i, re := range regexes {
		for _, r := range h.expression(re, regexes[i+1:], l, own[len(own)-1]) {
			if r.Aside {
				aside = append(aside, r)
			} else {
				rules = append(rules, r)
			}
		}
	}
	for _, r := range own {
		r.Unsure = r.Unsure || len(aside) > 0
	}
	return slices.Concat(rules, own, aside)
}

// addSlash adds the rule by which nginx leads from /x to a location /x/ that leads to a backend.
func (h *handler) addSlash(l *location) {
	bare, ok := strings.CutSuffix(l.paths.Text, "/")
	if !ok || bare == "" || h.location(bare) != nil || !slices.ContainsFunc(l.scope.Block, func(d *syntax.Directive) bool { return vocabulary.Passes[d.Name] }) {
		return
	}
	h.slashes = append(h.slashes, &importer.Rule{
		Pos: l.d.Pos, Paths: []importer.Paths{importer.Exactly(bare)},
		Action: importer.Action{Redirect: &importer.Redirect{To: importer.EscapePath(l.paths.Text), Status: 301}},
	})
}
