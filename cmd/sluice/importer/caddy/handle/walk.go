package handle

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/match"
)

// order is the one in which Caddy asks the directives of a block, wherever they stand in it.
var order = []string{
	"tracing", "map", "vars", "fs", "root", "log_append", "skip_log", "log_skip", "log_name", "log_level",
	"header", "request_body", "timeouts", "redir", "method", "rewrite", "uri", "try_files",
	"basicauth", "basic_auth", "forward_auth", "request_header", "encode", "push", "intercept", "templates",
	"invoke", "handle", "route", "abort", "error", "respond", "metrics", "reverse_proxy", "php_fastcgi", "file_server", "acme_server",
}

// A block is directives in the order in which they are asked.
type block struct{ steps []*step }

// A step is one directive that does something with requests.
type step struct {
	*caddyfile.Directive
	when  *match.Matcher
	path  string   // of when, if it is nothing but one path
	rest  []string // its arguments behind the matcher
	inner *block
}

const maxSteps = 20_000 // that are made, and that are taken

var errTooMuch = errors.New("the directives and matchers make too many routes: import the sites one by one")

// steps reads the directives of a block. scope has the matchers of the blocks around it.
func (c *Config) steps(directives []*caddyfile.Directive, scope map[string]named, ordered bool, depth int) (*block, error) {
	matchers := map[string]named{}
	maps.Copy(matchers, scope)
	for _, d := range directives {
		if strings.HasPrefix(d.Name, "@") {
			matchers[d.Name] = c.define(d)
		}
	}
	b := &block{}
	for _, d := range directives {
		if strings.HasPrefix(d.Name, "@") || slices.Contains(ofSite, d.Name) {
			continue
		}
		if c.made++; c.made > maxSteps || depth > importer.MaxDepth {
			return nil, errTooMuch
		}
		s := &step{Directive: d, rest: d.Args}
		if err := s.matcher(matchers); err != nil {
			return nil, err
		}
		if err := c.inner(s, matchers, depth); err != nil {
			return nil, err
		}
		b.steps = append(b.steps, s)
	}
	if ordered {
		slices.SortStableFunc(b.steps, c.compare)
	}
	return b, nil
}

// ofSite are directives that are no steps.
var ofSite = []string{"tls", "bind", "log", "handle_errors"}

// matcher reads the matcher of a directive, if it has one.
func (s *step) matcher(scope map[string]named) error {
	first := s.Arg(0)
	alone := len(s.Args) == 1 && slices.Contains([]string{"redir", "rewrite", "root", "method"}, s.Name)
	switch {
	case len(s.Args) == 0 || alone || s.Name == "try_files":
		return nil
	case first == "*":
	case strings.HasPrefix(first, "/"):
		s.when = paths(s.Directive, s.Args[:1])
		s.path = first
	case strings.HasPrefix(first, "@"):
		m, ok := scope[first]
		if !ok {
			return s.Pos.Errorf("the matcher %s is not defined", first)
		}
		s.when, s.path = m.Matcher, m.path
	default:
		return nil
	}
	s.rest = s.Args[1:]
	return nil
}

// inner reads the block of a step that has steps in it.
func (c *Config) inner(s *step, matchers map[string]named, depth int) (err error) {
	switch s.Name {
	case "handle", "handle_path":
		s.inner, err = c.steps(s.Block, matchers, true, depth+1)
	case "route":
		s.inner, err = c.steps(s.Block, matchers, false, depth+1)
	case "invoke":
		name := strings.Join(s.rest, " ")
		route, ok := c.routes[name]
		if !ok {
			return s.Pos.Errorf("there is no route &(%s)", name)
		}
		s.inner, err = c.steps(route, nil, true, depth+1)
	}
	return err
}

// group is the name under which a directive is sorted, and under which one at most is done.
func (s *step) group() string {
	if s.Name == "handle_path" {
		return "handle"
	}
	return s.Name
}

// compare orders steps: by directive, then by path, the longer one first. A directive that is not known
// comes first, so that nothing gets past it.
func (c *Config) compare(a, b *step) int {
	rank := func(s *step) int { return slices.Index(c.order, s.group()) }
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	if a.path != "" && b.path != "" {
		trimmedA, trimmedB := strings.TrimSuffix(a.path, "*"), strings.TrimSuffix(b.path, "*")
		switch {
		case trimmedA == trimmedB:
			return len(a.path) - len(b.path)
		case len(trimmedA) == len(trimmedB):
			return strings.Compare(trimmedA, trimmedB)
		}
		return len(trimmedB) - len(trimmedA)
	}
	given := func(s *step) int {
		if s.when != nil {
			return 0
		}
		return 1
	}
	return given(a) - given(b)
}

// A walk follows the requests of one site through its directives, and makes a rule wherever one answers.
// The first rule that takes a request is what Caddy does with it.
type walk struct {
	config *Config
	site   Site
	fold   bool // a backend of the site may take paths in another case for the same
	err    error
}

// run takes the requests of s through steps, and then calls then.
func (w *walk) run(b *block, at int, s state, then func(state)) {
	if w.config.taken++; w.config.taken > maxSteps {
		w.err = errTooMuch
	}
	switch {
	case w.err != nil:
		return
	case at == len(b.steps):
		then(s)
		return
	}
	st := b.steps[at]
	next := func(s state) { w.run(b, at+1, s, then) }
	mine := group{b, st.group()}
	exclusive := mine.name == "handle" || mine.name == "rewrite" || mine.name == "root"
	if exclusive && slices.Contains(s.done, mine) {
		next(s)
		return
	}
	if st.when != nil && st.when.IsUnknown() && slices.Contains(decoration, st.Name) {
		next(s.note(importer.Lost, st.Directive, "sluice cannot tell which requests this is about: it has no such conditions"))
		return
	}
	do := func(s state) {
		if exclusive {
			s.done = append(slices.Clip(s.done), mine)
		}
		w.do(st, s, next)
	}
	known := true // which requests the directive is about
	doubt := func(part state) {
		known = false
		if len(st.Block) == 0 {
			part = part.note(importer.Refused, st.Directive, "sluice cannot tell which requests meet its condition")
		}
		do(part)
	}
	whole := match.Take(s, st.when, func(part state, sure bool) {
		if !sure {
			doubt(part)
			return
		}
		do(part)
	}, func(others state, sure bool) {
		if !sure {
			doubt(others)
			return
		}
		next(others)
	})
	// What follows comes behind the requests that are refused, and says what the source does with those that the
	// directive is not about. Where it follows as well on the way of some of them, once is enough.
	if !whole || !known && (exclusive || st.answers() && (st.inner == nil || !s.Unsure)) {
		next(s)
	}
}

// answers reports whether requests may go no further than a step.
func (s *step) answers() bool {
	return slices.Contains(answers, s.Name) || s.inner != nil && slices.ContainsFunc(s.inner.steps, (*step).answers)
}

// answers are directives behind which requests go no further.
var answers = []string{"respond", "error", "abort", "redir", "reverse_proxy", "file_server", "php_fastcgi", "metrics", "acme_server"}

// decoration are directives without which nothing is less strict.
var decoration = []string{"header", "encode", "push", "tracing", "log_append", "skip_log", "log_skip", "log_name", "log_level", "map", "vars"}

// end makes the rule for requests that no directive answers. Caddy's answer to them is empty; that of
// sluice is 404.
func (w *walk) end(s state) {
	if !s.Narrowed && !w.site.Within && !s.Refused() {
		return
	}
	w.emit(&caddyfile.Directive{Pos: w.site.Pos}, s, importer.Action{Respond: &importer.Respond{Status: 404}})
}

// emit makes the rule for the requests of s.
func (w *walk) emit(d *caddyfile.Directive, s state, a importer.Action) {
	if w.config.taken++; w.config.taken > maxSteps {
		w.err = errTooMuch
		return
	}
	for _, h := range s.soft {
		switch {
		case a.Backend != "":
			s = s.note(importer.Lost, h.d, "sluice sets a header in place of what the backend sends, and does not add to it")
		case s.Keys.Get("response", "set_headers", h.Name) == nil:
			s = s.set(h.Value, "response", "set_headers", h.Name)
		}
	}
	guard := a.Respond != nil && a.Respond.Status >= 400
	s.FoldCase = s.FoldCase && w.fold
	w.config.rules.Add(s.Requests, importer.Rule{Pos: d.Pos, Action: a, Guard: guard})
}
