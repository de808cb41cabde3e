package nginx

import (
	"cmp"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/nginx/syntax"
	"sluice/cmd/sluice/importer/nginx/vocabulary"
)

// A handler makes the rules of one server for some hosts.
type handler struct {
	config    *config
	server    *server
	hosts     []string
	exact     []*location
	named     map[string]*location
	slashes   []*importer.Rule
	fallbacks map[*importer.Files]string // the paths of their last files
	passed    []*syntax.Directive        // ifs that were carried
}

// rule makes the rules of a location: one, and another behind it where limit_except forbids methods.
func (h *handler) rule(l *location) []*importer.Rule {
	r := &importer.Rule{Pos: l.d.Pos, Paths: []importer.Paths{l.paths}}
	if len(l.scope.Own("internal")) > 0 && l.turns == 0 { // a named one is asked for by others alone
		r.Guard, r.Action.Respond = true, &importer.Respond{Status: 404}
		return []*importer.Rule{r}
	}
	if d := h.returns(l); d != nil {
		r = h.returned(d, l.scope.Block, l.paths, l.scope)
		h.response(r, l.scope)
		return h.methods([]*importer.Rule{r}, l.scope)
	}
	h.restrict(r, l.scope, nil)
	access := accessRules(l.scope)
	switch {
	case len(access) == 0 || access[0].Arg(0) == "all" && access[0].Name == "allow":
	case access[0].Arg(0) == "all" && !r.Refused():
		r.Guard, r.Action.Respond = true, &importer.Respond{Status: 403}
		return []*importer.Rule{r}
	default:
		var text []string
		for _, d := range access {
			text = append(text, d.Text)
		}
		r.Note(importer.Refused, access[0].Pos, strings.Join(text, "\n"), "sluice does not decide by the client's address")
	}
	if rules := h.throughNamed(r, l); rules != nil {
		return h.methods(rules, l.scope)
	}
	h.content(r, l)
	return h.methods([]*importer.Rule{r}, l.scope)
}

// returns returns the return that answers the requests of a location, or nil.
func (h *handler) returns(l *location) *syntax.Directive {
	if l.scope == h.server.scope {
		return nil // it has been asked before
	}
	for _, d := range l.scope.Block {
		switch d.Name {
		case "return":
			return d
		case "break":
			return nil
		}
	}
	return nil
}

// methods carries a limit_except: it adds a rule for the methods that it forbids.
func (h *handler) methods(rules []*importer.Rule, s *syntax.Scope) []*importer.Rule {
	for _, d := range s.Own("limit_except") {
		if len(rules) == 1 && len(d.Block) == 1 && d.Block[0].Name == "deny" && d.Block[0].Arg(0) == "all" {
			for _, method := range d.Args {
				rules[0].Methods = append(rules[0].Methods, strings.ToUpper(method))
			}
			return append(rules, &importer.Rule{Pos: d.Pos, Paths: rules[0].Paths, Guard: true, Action: importer.Action{Respond: &importer.Respond{Status: 403}}})
		}
		for _, r := range rules {
			r.Note(importer.Refused, d.Pos, d.Text, "sluice does not decide by the client's address or name")
		}
	}
	return rules
}

// throughNamed makes the rules of a location whose try_files ends in a named one: those of that one, with what
// the first asks for besides. It returns nil if it is not so.
func (h *handler) throughNamed(r *importer.Rule, l *location) []*importer.Rule {
	const mostTurns = 10
	try := l.tries()
	if try == nil || slices.ContainsFunc(l.scope.Block, func(d *syntax.Directive) bool { return vocabulary.Passes[d.Name] || d.Name == "rewrite" }) {
		return nil
	}
	last := try.Arg(len(try.Args) - 1)
	named := h.named[last]
	if named == nil {
		return nil
	}
	if l.turns == mostTurns {
		r.Note(importer.Refused, try.Pos, try.Text, "it leads from one named location to the next without an end")
		return []*importer.Rule{r}
	}
	rules := h.rule(&location{d: named.d, scope: named.scope, paths: l.paths, regex: l.regex, turns: l.turns + 1})
	for _, rule := range rules {
		rule.Note(importer.Lost, try.Pos, try.Text, "sluice does not look for files before it asks a backend: all requests go to "+last)
		rule.Notes = append(rule.Notes, r.Notes...)
	}
	return rules
}

// tries returns the try_files of a location, or nil: it is not inherited.
func (l *location) tries() *syntax.Directive {
	if all := l.scope.Own("try_files"); len(all) > 0 && len(all[0].Args) > 0 {
		return all[0]
	}
	return nil
}

// accessRules returns the allows and denies that hold in a scope.
func accessRules(s *syntax.Scope) (all []*syntax.Directive) {
	for ; s != nil && len(all) == 0; s = s.Up {
		for _, d := range s.Block {
			if d.Name == "allow" || d.Name == "deny" {
				all = append(all, d)
			}
		}
	}
	return all
}

// content carries what a location answers with.
func (h *handler) content(r *importer.Rule, l *location) {
	own := func(name string) *syntax.Directive {
		if l.scope == h.server.scope {
			return nil
		}
		if all := l.scope.Own(name); len(all) > 0 {
			return all[0]
		}
		return nil
	}
	for _, name := range []string{"proxy_pass", "grpc_pass"} {
		if d := own(name); d != nil {
			h.proxy(r, l, d)
			if try := l.tries(); try != nil {
				r.Note(importer.Refused, try.Pos, try.Text, "sluice does not look for files before it asks a backend")
			}
			return
		}
	}
	if d := own("rewrite"); d != nil {
		if !h.redirectByRewrite(r, d) {
			r.Note(importer.Refused, d.Pos, d.Text, "sluice has no regular expressions")
		}
		return
	}
	h.files(r, l)
}

// files carries a location that serves files.
func (h *handler) files(r *importer.Rule, l *location) {
	root, alias := l.scope.Value("root"), ""
	if a := l.scope.Get("alias"); a != nil && len(l.scope.Own("root")) == 0 {
		alias = a.Arg(0)
		if len(l.scope.Own("alias")) == 0 || l.regex != "" {
			r.Note(importer.Refused, a.Pos, a.Text, "sluice serves a directory at a path: an alias of an expression, or of the location around, has no counterpart")
		}
	}
	if root == "" && alias == "" {
		if r.Refused() {
			return
		}
		r.Note(importer.Lost, l.d.Pos, firstLine(l.d.Text), "nothing says what is answered here but nginx's own page: it is 404")
		r.Guard, r.Action.Respond = true, &importer.Respond{Status: 404}
		return
	}
	f := &importer.Files{Root: h.config.absolute(root), Index: "index.html", Browse: l.scope.Value("autoindex") == "on"}
	if alias != "" {
		if l.paths.Exact || strings.HasSuffix(l.paths.Text, "/") != strings.HasSuffix(alias, "/") {
			r.Note(importer.Refused, l.d.Pos, l.d.Text, "an alias that replaces a part of a name of a file has no counterpart")
		}
		f.Root, r.Action.Prefix = h.config.absolute(alias), l.paths.Text
	}
	if vocabulary.HasVariable(f.Root) {
		r.Note(importer.Refused, l.d.Pos, firstLine(l.d.Text), "sluice serves one directory, whatever the request")
	}
	if index := l.scope.Get("index"); index != nil {
		for i, name := range index.Args {
			if strings.HasSuffix(name, ".php") {
				r.Note(importer.Refused, index.Pos, index.Text, "sluice speaks HTTP to backends, not FastCGI: it would send the source of PHP files")
			}
			if i == 0 || f.Index == index.Args[0] && strings.HasSuffix(name, ".html") && !strings.HasSuffix(f.Index, ".html") {
				f.Index = name
			}
		}
	}
	if try := l.tries(); try != nil {
		h.fallback(r, f, try)
	}
	r.Action.Files = f
	h.response(r, l.scope)
}

// fallback carries the last argument of a try_files.
func (h *handler) fallback(r *importer.Rule, f *importer.Files, try *syntax.Directive) {
	for _, name := range try.Args[:len(try.Args)-1] {
		if name != "$uri" && name != "$uri/" && name != "" {
			r.Note(importer.Lost, try.Pos, try.Text, "sluice looks for the file and for the index of a directory, not for "+name)
		}
	}
	last := try.Args[len(try.Args)-1]
	path, _, _ := strings.Cut(last, "?")
	path = strings.TrimSuffix(path, "$is_args$args")
	switch {
	case last == "$uri" || last == "$uri/" || strings.HasPrefix(last, "=4"):
	case strings.HasPrefix(path, cmp.Or(r.Action.Prefix, "/")) && !strings.HasSuffix(path, "/") && !vocabulary.HasVariable(path) && !strings.HasSuffix(path, ".php"):
		f.Fallback = strings.TrimPrefix(strings.TrimPrefix(path, r.Action.Prefix), "/")
		h.fallbacks[f] = path
	default:
		r.Note(importer.Refused, try.Pos, try.Text, "sluice falls back to a file below the same directory alone")
	}
}

// checkFallbacks refuses rules whose last file nginx would serve by another rule, which may keep clients from it.
func (h *handler) checkFallbacks(rules []*importer.Rule) {
	for _, r := range rules {
		path, ok := h.fallbacks[r.Action.Files]
		if !ok || r.Action.Files == nil {
			continue
		}
		for _, by := range rules {
			if !slices.ContainsFunc(by.Paths, func(p importer.Paths) bool { return p.Contains(importer.Exactly(path)) }) {
				continue
			}
			if by.Guard || by.Refused() || by.Action.Files == nil || by.Action.Files.Root != r.Action.Files.Root {
				r.Note(importer.Refused, r.Pos, path, "nginx serves this file, where another one is missing, by a rule of its own at "+by.Pos.String())
			}
			break
		}
	}
}

// location returns the exact location of a path, or nil.
func (h *handler) location(path string) *location {
	for _, l := range h.exact {
		if l.paths.Text == path {
			return l
		}
	}
	return nil
}

func firstLine(text string) string {
	line, _, more := strings.Cut(text, "\n")
	if more {
		return line + " ..."
	}
	return line
}
